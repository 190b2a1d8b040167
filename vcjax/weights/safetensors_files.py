"""Safetensors files written tensor by tensor, so that a file may be far larger than the memory that writing it takes."""

import json
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
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in names:
            tensor = np.ascontiguousarray(np.asarray(tensors[name]), types[name])
            file.write(tensor.reshape(-1).view(np.uint8).data)


def _stored(have: Any, wanted: Any) -> np.dtype:
    floating = np.dtype(have).kind == "f" or np.dtype(have) == ml_dtypes.bfloat16
    return np.dtype(wanted if floating and wanted is not None else have)
