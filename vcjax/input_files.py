"""Bounded reading of files that somebody hands in: regular files only, no more bytes than expected, nothing executed.

Each function raises `BadInput` that names the file, so that what is wrong with it is one sentence.
"""

import functools
import io
import json
import math
import os
import stat
import tokenize
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.errors import BadInput

MEGABYTE = 2**20
MAX_TEXT = 64 * MEGABYTE  # bytes of a configuration, a description or strokes
MAX_ARRAY = 8192 * MEGABYTE  # bytes of a .npy file: longer than any clip that a model takes at once
MAX_DEPTH = 64  # of tables and lists in JSON: far below where Python's recursion ends
MAX_AXES = 32
NUMBERS = "fiub"  # kinds of NumPy types: floating point, integers, booleans

GIGABYTE = 2**30

# What numpy.lib.format raises for a damaged header: it is the text of a Python dictionary.
HEADER_ERRORS = (
    ValueError, TypeError, SyntaxError, EOFError, KeyError, OverflowError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip


def check_regular(path: str | PathLike[str], limit: int | None = None) -> int:
    """Return the size of a file in bytes.

    Raises:
        BadInput: the path is missing, is no regular file (a folder, a pipe or a device, which may never end), or is larger
            than `limit` bytes.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path} is not a regular file; give a file, not a folder, a pipe or a device")
    if limit is not None and status.st_size > limit:
        raise BadInput(
            f"{path} has {status.st_size} bytes, more than the {limit} that such a file may have; give a smaller one"
        )
    return status.st_size


@functools.cache
def machine_memory() -> int:
    """Return the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(needed: int, what: str, instead: str) -> None:
    """Raise BadInput where something takes more bytes than this machine has.

    Args:
        needed: bytes.
        what: what takes them, as the subject of the sentence.
        instead: what to give instead.
    """
    available = machine_memory()
    if needed > available:
        raise BadInput(
            f"{what} take {needed / GIGABYTE:.1f} GiB, more than the {available / GIGABYTE:.1f} GiB of this machine; {instead}"
        )


def read_bytes(path: str | PathLike[str], limit: int = MAX_TEXT) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        BadInput: see `check_regular`, or the file cannot be read.
    """
    check_regular(path, limit)
    try:
        with Path(path).open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: str | PathLike[str], limit: int = MAX_TEXT, encoding: str = "utf-8") -> str:
    """Return the text of a regular file of at most `limit` bytes.

    Raises:
        BadInput: see `read_bytes`, or the file is not text in UTF-8.
    """
    try:
        return read_bytes(path, limit).decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not text in UTF-8") from error


def read_json(path: str | PathLike[str], limit: int = MAX_TEXT) -> Any:
    """Return the content of a JSON file of at most `limit` bytes.

    Raises:
        BadInput: see `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, limit), str(path))


def parse_json(text: str | bytes, where: str, parse_int: Callable[[str], Any] | None = None) -> Any:
    """Return the value of JSON text.

    Args:
        text: the text, or its bytes in UTF-8.
        where: name of the text in error messages.
        parse_int: function from the text of an integer to its value; `int` where None.

    Raises:
        BadInput: the text is not JSON, or tables and lists are nested more than `MAX_DEPTH` deep.
    """
    too_deep = f"{where} is nested more than {MAX_DEPTH} deep"
    try:
        value = json.loads(text, parse_int=parse_int)
    except RecursionError as error:
        raise BadInput(too_deep) from error
    except ValueError as error:  # including integers of thousands of digits, and bytes that are not UTF-8
        raise BadInput(f"{where} is not valid json: {error}") from error
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        tables = [each for each in level if isinstance(each, dict | list)]
        if not tables:
            return value
        level = [item for each in tables for item in (each.values() if isinstance(each, dict) else each)]
    raise BadInput(too_deep)


def read_array(path: str | PathLike[str]) -> np.ndarray:
    """Return the array of numbers in a .npy file; no object in it is unpickled.

    Raises:
        BadInput: see `check_regular`, or the file is not one array of numbers; the header is compared with the size of the
            file before the array is allocated.
    """
    size = check_regular(path, MAX_ARRAY)
    try:
        with Path(path).open("rb") as file:
            return _load_array(file, size, str(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def array_from_bytes(data: bytes, where: str) -> np.ndarray:
    """Return the array of numbers that the content of a .npy file holds; see `read_array`."""
    return _load_array(io.BytesIO(data), len(data), where)


def _load_array(file: Any, size: int, where: str) -> np.ndarray:
    what = f"{where} does not contain an array of numbers written by numpy.save"
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADER_READERS:
            raise BadInput(what)
        shape, _, dtype = HEADER_READERS[version](file)
    except BadInput:
        raise
    except HEADER_ERRORS as error:
        file.seek(0)
        if file.read(4) == b"PK\x03\x04":  # a .npz file
            raise BadInput(f"{where} contains several arrays; save one of them with numpy.save") from error
        raise BadInput(what) from error
    if dtype.kind not in NUMBERS or len(shape) > MAX_AXES or any(type(n) is not int or n < 0 for n in shape):
        raise BadInput(what)
    expected, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if expected != held:
        raise BadInput(
            f"{where} is damaged or cut short: its header declares {_count(expected)} bytes, but {held} follow; "
            "write it again with numpy.save"
        )
    if not expected:
        raise BadInput(f"{where} contains an empty array; give one with numbers")
    file.seek(0)
    return np.load(file, allow_pickle=False)


# Version 3 has names of fields in UTF-8, which arrays of numbers do not have.
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _count(number: int) -> str:
    """Return a number in decimal, or its order of magnitude where that is no size of a file."""
    return str(number) if number < 10**18 else "more than 10^18"
