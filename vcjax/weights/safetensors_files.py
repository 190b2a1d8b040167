"""Reading safetensors files through a memory map, and writing them tensor by tensor.

Reading a part of a file, or converting and writing one, thus takes much less memory than the size of the
file.
"""

import itertools
import json
import math
import mmap
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from vcjax.files import replacing
from vcjax.input_files import check_regular, parse_json

# Type names of the format (https://github.com/huggingface/safetensors, README, "Format").
TYPES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.int64): "I64",
    np.dtype(np.int32): "I32",
    np.dtype(np.int16): "I16",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint8): "U8",
    np.dtype(np.bool_): "BOOL",
}
TYPES_BY_NAME = {name: dtype for dtype, name in TYPES.items()}
LENGTH = struct.Struct("<Q")  # of the header, at the start of the file
MAX_HEADER = 100_000_000  # bytes: the limit of the format's own reader
MAX_NAME = 500  # characters: ten times the longest of a model here
MAX_AXES = 32
METADATA = "__metadata__"  # key of the optional free-form metadata in the header


def map_tensors(path: Path) -> tuple[dict[str, np.ndarray], mmap.mmap]:
    """Map a file and return its tensors by name, as read-only views of the memory map, and the memory map.

    Data are read from disk on first access.

    ```python
    tensors, mapping = map_tensors(path)
    for name, tensor in tensors.items():
        use(np.array(tensor))
        release_pages(mapping)     # pages read so far no longer count as memory of this process
    ```

    Raises:
        ValueError: the file is damaged or not a safetensors file.
    """
    check_regular(path)
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = LENGTH.unpack(mapping[: LENGTH.size].ljust(LENGTH.size, b"\0"))
    first = LENGTH.size + length
    if first > len(mapping):
        raise ValueError(f"its header is cut short: {first} bytes of {len(mapping)}")
    if length > MAX_HEADER:
        raise ValueError(f"its header has {length} bytes, more than the format's {MAX_HEADER}")
    header = parse_json(mapping[LENGTH.size : first], "its header")
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop(METADATA, None)
    for name in header:
        _check_name(name, header)
    return {name: _mapped(mapping, first, name, entry) for name, entry in header.items()}, mapping


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file; empty where it has none.

    Raises:
        ValueError: the file is damaged or not a safetensors file.
    """
    check_regular(path)
    with path.open("rb") as file:
        (length,) = LENGTH.unpack(file.read(LENGTH.size).ljust(LENGTH.size, b"\0"))
        header = parse_json(file.read(min(length, MAX_HEADER)), "its header")
    metadata = header.get(METADATA, {}) if isinstance(header, dict) else {}
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError("the metadata of its header are not texts by name")
    return metadata


def _check_name(name: str, names: Collection[str]) -> None:
    """Raise ValueError where a name is too long, or names both a tensor and a group of tensors."""
    if len(name) > MAX_NAME:
        raise ValueError(f"the name {name[:40]}... has more than {MAX_NAME} characters")
    groups = itertools.accumulate(name.split("/")[:-1], "{}/{}".format)
    if both := next((group for group in groups if group in names), None):
        raise ValueError(f"{both} is a tensor, and {name} belongs to a group of the same name")


def _mapped(mapping: mmap.mmap, first: int, name: str, entry: Any) -> np.ndarray:
    """Return a view of one tensor, whose data offsets are relative to byte `first` of the file."""
    try:
        dtype, shape, (start, end) = (
            TYPES_BY_NAME[entry["dtype"]],
            tuple(entry["shape"]),
            entry["data_offsets"],
        )
        counts = all(type(n) is int and n >= 0 for n in (*shape, start, end)) and len(shape) <= MAX_AXES
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its header does not describe {name}") from error
    if not counts:
        raise ValueError(f"its header describes {name} with what are no sizes")
    size = math.prod(shape) * dtype.itemsize
    if not (start <= end <= len(mapping) - first and size == end - start):
        raise ValueError(f"{name} does not fit bytes {start} to {end}")
    data = np.frombuffer(mapping, np.uint8, size, first + start) if size else np.empty(0, np.uint8)
    return data.view(dtype).reshape(shape)


def release_pages(mapping: mmap.mmap) -> None:
    """Release the memory of pages that were read, if the system can; they can be read from disk again."""
    if hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def write_tensors(
    path: Path, tensors: Mapping[str, Any], dtype: Any = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name, converting one at a time.

    Args:
        path: file to write; it appears when it is complete.
        tensors: arrays on host or device by name, including views and memory-mapped arrays.
        dtype: type that floating-point tensors are stored in; None keeps their type.
        metadata: texts by name, see `read_metadata`.

    Raises:
        BadInput: the file cannot be written (disk full, no permission); no partial file is left.
    """
    types = {name: _stored_dtype(tensor.dtype, dtype) for name, tensor in tensors.items()}
    # Wide types come first, so that every tensor is aligned to its item size.
    names = sorted(tensors, key=lambda name: (-types[name].itemsize, name))
    header: dict[str, Any] = {} if metadata is None else {METADATA: dict(metadata)}
    end = 0
    for name in names:
        shape, start = list(tensors[name].shape), end
        end += int(np.prod(shape, dtype=np.int64)) * types[name].itemsize
        header[name] = {"dtype": TYPES[types[name]], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(LENGTH.pack(len(text)))
        file.write(text)
        for name in names:
            tensor = np.ascontiguousarray(np.asarray(tensors[name]), types[name])
            file.write(tensor.reshape(-1).view(np.uint8).data)


def _stored_dtype(dtype: Any, target: Any) -> np.dtype:
    floating = np.dtype(dtype).kind == "f" or np.dtype(dtype) == ml_dtypes.bfloat16
    return np.dtype(target if floating and target is not None else dtype)
