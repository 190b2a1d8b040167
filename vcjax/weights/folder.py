"""The model folder: `config.json`, one safetensors file a component, `tokenizer.json`.

Files are written under a temporary name and renamed; `config.json` comes last, so that a folder without it is not a
model. Tensors are read through a memory map, each once, straight into the type and place that are asked for.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.settings import typed
from vcjax.weights.safetensors_files import forget, map_tensors, write_tensors
from vcjax.weights.trees import Tree, flatten, unflatten

FORMAT = 1
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
ALWAYS_VERIFIED = 64 * 2**20  # bytes up to which a file's checksum is verified at every loading


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """What config.json says of the file with a component's parameters.

    Attributes:
        file: its name in the folder.
        bytes: its size.
        sha256: its checksum, in hexadecimal.
    """

    file: str
    bytes: int
    sha256: str


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder.

    Raises:
        BadInput: no such folder, no readable config.json in it, or one of another format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise BadInput(f"{folder} is not a model folder: it has no {CONFIG}")
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as json: {error}") from error
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
    place: Callable[[np.ndarray], Any] = jax.device_put,
) -> Tree:
    """Parameters of one component, as a tree of arrays on the device.

    Args:
        folder: the model folder.
        config: its configuration, which names the file.
        component: name of the component.
        prefixes: only tensors whose name begins with one of these are read.
        dtype: type to hold floating-point parameters in; as stored without it.
        place: puts a host array where it is wanted, onto a sharding say.

    Raises:
        BadInput: the file is missing or damaged. `check_file` says whether it is the one that the configuration means.
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
            flat[name] = place(np.array(tensor, dtype if floating else None))
            forget(mapping)
    if not flat:
        raise BadInput(f"{path} holds nothing of {', '.join(prefix.rstrip('/') for prefix in prefixes)}")
    return unflatten(flat)


def file_of(folder: Path, config: Mapping[str, Any], component: str) -> WeightFile:
    """The file with a component's parameters; BadInput where the configuration does not name one."""
    where = f"{folder / CONFIG}: files"
    files = typed(Mapping[str, Any], config.get("files", {}), where)
    if component not in files:
        raise BadInput(f"{folder} has no {component} network")
    return typed(WeightFile, files[component], f"{where}.{component}")


def check_file(path: Path, entry: WeightFile, *, verify: bool) -> None:
    """Raise BadInput where a file is missing or is not the one that config.json was written with.

    Args:
        path: the file.
        entry: what config.json says of it.
        verify: compare the checksum of a large file too; those up to `ALWAYS_VERIFIED` bytes always are.
    """
    if not path.is_file():
        raise BadInput(f"{path} is missing, though {CONFIG} names it")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BadInput(
            f"{path} has {size} bytes instead of the {entry.bytes} that {CONFIG} names: copy it again"
        )
    if (verify or size <= ALWAYS_VERIFIED) and checksum(path) != entry.sha256:
        raise BadInput(f"{path} is damaged: its checksum is not the one in {CONFIG}")


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_component(folder: Path, component: str, tree: Tree, dtype: Any = None) -> dict[str, Any]:
    """Write one component's parameters and return the entry that config.json's `files` needs for it.

    Args:
        folder: the model folder.
        component: name of the component.
        tree: its parameters.
        dtype: type to store floating-point parameters in; as they are without it.

    Raises:
        BadInput: the file cannot be written (a full disk, no permission); nothing is left of it.
    """
    path = folder / f"{component}.safetensors"
    write_tensors(path, flatten(tree), dtype)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": checksum(path)}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, which makes the folder a model. Call it last."""
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **config}, indent=1) + "\n", "utf-8")
