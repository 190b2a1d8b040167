"""`vcjax doctor`: what this machine has, and what would run where."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import vcjax

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "av", "transformers", "grain")
GIGABYTE = 1e9
NAME_WIDTH = 18


def doctor() -> None:
    """Print versions, devices, caches, free memory and disk, and which extras are installed."""
    for name, text in _findings():
        print(f"{name:{NAME_WIDTH}}{text}")


def _findings() -> Iterator[tuple[str, str]]:
    yield "vcjax", f"{vcjax.__version__} in {Path(vcjax.__file__).parent}"
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for library in LIBRARIES:
        yield library, _version(library) or "not installed"
    yield from _devices()
    yield from _space()
    for extra in metadata.metadata("vcjax").get_all("Provides-Extra") or ():
        needed = sorted(name for name in _needed_by("vcjax", extra) if _version(name) is None)
        yield (
            f"extra {extra}",
            f"lacks {', '.join(needed)}: pip install 'vcjax[{extra}]'" if needed else "installed",
        )


def _devices() -> Iterator[tuple[str, str]]:
    import jax

    from vcjax.composer.loading import compute_dtype

    for device in jax.local_devices():
        limit = (device.memory_stats() or {}).get("bytes_limit")
        size = f", {limit / GIGABYTE:.1f} GB" if limit else ""
        yield f"device {device.id}", f"{device.platform}: {device.device_kind}{size}"
    backend = jax.default_backend()
    yield "computing", f"{compute_dtype(None)} on {backend}; parameters of training in float32"
    if backend == "cpu" and list(Path("/proc/driver/nvidia/gpus").glob("*")):
        yield "gpu", "a GPU is there, but JAX does not use it: pip install 'vcjax[cuda]'"


def _space() -> Iterator[tuple[str, str]]:
    from vcjax.parallel.compilation import cache_folder

    folder = cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    total = sum(path.stat().st_size for path in files)
    yield "compilation cache", f"{folder}, {len(files)} files, {total / GIGABYTE:.2f} GB"
    pages = {
        name: os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES")
    }
    yield (
        "memory",
        f"{pages['SC_AVPHYS_PAGES'] / GIGABYTE:.1f} GB free of {pages['SC_PHYS_PAGES'] / GIGABYTE:.1f} GB",
    )
    disk = shutil.disk_usage(Path.cwd())
    yield "disk", f"{disk.free / GIGABYTE:.1f} GB free of {disk.total / GIGABYTE:.1f} GB in {Path.cwd()}"
    yield "processor", f"{os.cpu_count()} cores, {platform.machine()}"


def _needed_by(package: str, extra: str) -> set[str]:
    """Return the names of the packages of an extra, and of the extras that these name."""
    names: set[str] = set()
    for text in metadata.requires(package) or ():
        found = re.match(rf"([\w.-]+)(?:\[([\w,-]+)\])?.*extra == ['\"]{extra}['\"]", text)
        if found is None:
            continue
        names.add(found[1])
        if found[2] and _version(found[1]) is not None:
            names |= {name for inner in found[2].split(",") for name in _needed_by(found[1], inner)}
    return names


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
