"""The model folder: `config.json`, one safetensors file per component, and `tokenizer.json`.

Files are written under a temporary name and then renamed. `config.json` is written last, so a folder without
it is not a model. Tensors are read through a memory map and converted one by one to the requested type and
sharding.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.errors import BadInput, brief
from vcjax.files import copy_file, replacing
from vcjax.input_files import read_json
from vcjax.parallel.placement import place
from vcjax.settings import typed
from vcjax.weights.safetensors_files import map_tensors, release_pages, write_tensors
from vcjax.weights.trees import Tree, flatten, unflatten

FORMAT = 2
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
ALWAYS_VERIFIED = 64 * 2**20  # bytes: size up to which the checksum of a file is verified on every load


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """Entry in config.json for the file with a component's parameters.

    Attributes:
        file: name of the file in the model folder.
        bytes: size of the file.
        sha256: SHA-256 checksum of the file, in hexadecimal.
    """

    file: str
    bytes: int
    sha256: str


def read_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a model folder.

    Raises:
        BadInput: the folder is missing, has no readable config.json, or has one of another format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise BadInput(f"{folder} is not a model folder: it has no {CONFIG}")
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise BadInput(f"{path} has format {found!r}, but this version of vcjax reads format {FORMAT}")
    return config


def read_component(
    folder: Path,
    config: Mapping[str, Any],
    component: str,
    *,
    prefixes: tuple[str, ...] = ("",),
    dtype: Any = None,
    place: Callable[[str, np.ndarray], Any] = place,
) -> Tree:
    """Read the parameters of one component, as a tree of arrays on the device.

    Args:
        folder: the model folder.
        config: configuration of the model, which names the file.
        component: name of the component.
        prefixes: read only tensors whose flat name starts with one of these.
        dtype: type of floating-point parameters; None keeps the stored type.
        place: function of the name of a parameter, such as `unet/conv_in/kernel`, and its host array, which puts it on its
            device or sharding.

    Raises:
        BadInput: the file is missing or damaged. The checksum is not verified; see `check_file`.
    """
    entry = file_of(folder, config, component)
    path = folder / entry.file
    try:
        tensors, mapping = map_tensors(path)
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} is damaged: {error}") from error
    flat = {}
    for name, tensor in tensors.items():
        if name.startswith(prefixes):
            floating = jax.numpy.issubdtype(tensor.dtype, jax.numpy.floating)
            flat[name] = place(f"{component}/{name}", np.array(tensor, dtype if floating else None))
            release_pages(mapping)
    if not flat:
        raise BadInput(
            f"{path} contains no parameters of {', '.join(prefix.rstrip('/') for prefix in prefixes)}"
        )
    return unflatten(flat)


def file_of(folder: Path, config: Mapping[str, Any], component: str) -> WeightFile:
    """Return the entry of the file with a component's parameters.

    Raises:
        BadInput: the configuration has no file for the component, or names one outside of the folder.
    """
    where = f"{folder / CONFIG}: files"
    files = typed(Mapping[str, Any], config.get("files", {}), where)
    if component not in files:
        raise BadInput(f"{folder} has no {component} network")
    entry: WeightFile = typed(WeightFile, files[component], f"{where}.{component}")
    if entry.file in ("", ".", "..") or "/" in entry.file or "\\" in entry.file or "\0" in entry.file:
        raise BadInput(
            f"{where}.{component}.file must be the name of a file in the folder, not {brief(entry.file)}"
        )
    return entry


def copy_frozen(folder: Path, config: Mapping[str, Any], out: Path, *, without: Collection[str] = ()) -> None:
    """Copy tokenizer and weight files of a model to another folder, but those of some components.

    Raises:
        BadInput: a file is missing or damaged, or cannot be written.
    """
    copy_file(folder / TOKENIZER, out / TOKENIZER)
    for component in config.get("files", {}):
        if component not in without:
            entry = file_of(folder, config, component)
            check_file(folder / entry.file, entry, verify=False)
            copy_file(folder / entry.file, out / entry.file)


def check_file(path: Path, entry: WeightFile, *, verify: bool) -> None:
    """Check that a file exists and has the size and checksum given in config.json.

    Args:
        path: the file.
        entry: entry of the file in config.json.
        verify: also verify the checksum of files larger than `ALWAYS_VERIFIED` bytes; smaller ones are always
            verified.

    Raises:
        BadInput: the file is missing, or differs in size or checksum.
    """
    if not path.is_file():
        raise BadInput(f"{path} is missing, but {CONFIG} lists it")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BadInput(
            f"{path} has {size} bytes instead of {entry.bytes} as listed in {CONFIG}: copy it again"
        )
    if (verify or size <= ALWAYS_VERIFIED) and checksum(path) != entry.sha256:
        raise BadInput(f"{path} is damaged: its checksum differs from {CONFIG}")


def checksum(path: Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_component(folder: Path, component: str, tree: Tree, dtype: Any = None) -> dict[str, Any]:
    """Write the parameters of one component and return its entry for `files` in config.json.

    Args:
        folder: the model folder.
        component: name of the component.
        tree: parameters of the component.
        dtype: type that floating-point parameters are stored in; None keeps their type.

    Raises:
        BadInput: the file cannot be written (disk full, no permission); no partial file is left.
    """
    path = folder / f"{component}.safetensors"
    write_tensors(path, flatten(tree), dtype)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": checksum(path)}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, which completes a model folder; call it last."""
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **config}, indent=1) + "\n", "utf-8")
