"""Safetensors files, memory-mapped to read and written tensor by tensor.

Files may thus be far larger than the memory that reading a part of them, or converting and writing them, takes.
"""

import json
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from vcjax.files import replacing

# The format's names of types (https://github.com/huggingface/safetensors, README, "Format").
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
METADATA = "__metadata__"  # a header may hold remarks under this name


def map_tensors(path: Path) -> tuple[dict[str, np.ndarray], mmap.mmap]:
    """Tensors by name, as read-only views of the mapped file, and the mapping; nothing is read before it is used.

    ```python
    tensors, mapping = map_tensors(path)
    for name, tensor in tensors.items():
        use(np.array(tensor))
        forget(mapping)     # what was read so far does not count as this process's memory any more
    ```

    Raises:
        ValueError: the file is damaged or not a safetensors file.
    """
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = LENGTH.unpack(mapping[: LENGTH.size].ljust(LENGTH.size, b"\0"))
    first = LENGTH.size + length
    if first > len(mapping):
        raise ValueError(f"its header is cut short: {first} bytes of {len(mapping)}")
    header = json.loads(mapping[LENGTH.size : first])
    if not isinstance(header, dict):
        raise ValueError("its header is not a table")
    return {
        name: _mapped(mapping, first, name, entry) for name, entry in header.items() if name != METADATA
    }, mapping


def _mapped(mapping: mmap.mmap, first: int, name: str, entry: Any) -> np.ndarray:
    """One tensor, whose bytes are counted from `first`."""
    try:
        dtype, shape, (start, end) = (
            TYPES_BY_NAME[entry["dtype"]],
            tuple(entry["shape"]),
            entry["data_offsets"],
        )
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        inside = 0 <= start <= end <= len(mapping) - first and size == end - start
    except (KeyError, TypeError) as error:
        raise ValueError(f"its header does not describe {name}") from error
    if not inside:
        raise ValueError(f"{name} does not lie at bytes {start} to {end}")
    data = np.frombuffer(mapping, np.uint8, size, first + start) if size else np.empty(0, np.uint8)
    return data.view(dtype).reshape(shape)


def forget(mapping: mmap.mmap) -> None:
    """Give pages of a mapping that were read back to the system, where it can be told so; they can be read again."""
    if hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def write_tensors(path: Path, tensors: Mapping[str, Any], dtype: Any = None) -> None:
    """Write tensors by name; each is laid out and converted only when its turn comes.

    Args:
        path: the file; it appears when it is complete.
        tensors: arrays of the host or the device, views and memory-mapped ones included.
        dtype: type to store floating-point tensors in; as they are without it.

    Raises:
        BadInput: the file cannot be written (a full disk, no permission); nothing is left of it.
    """
    types = {name: _stored(tensor.dtype, dtype) for name, tensor in tensors.items()}
    # Wide types first, so that every tensor is aligned to its type.
    names = sorted(tensors, key=lambda name: (-types[name].itemsize, name))
    header, end = {}, 0
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


def _stored(have: Any, wanted: Any) -> np.dtype:
    floating = np.dtype(have).kind == "f" or np.dtype(have) == ml_dtypes.bfloat16
    return np.dtype(wanted if floating and wanted is not None else have)
