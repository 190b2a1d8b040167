"""PyTorch's files read and written without PyTorch, and without running anything in them.

A PyTorch file is a pickle that may ask for any function to be called. Here only what weights are made of is known
(tensors, storages, plain containers); whatever else a file asks for by name ends the reading. Tensors are views of
the memory-mapped file: nothing is read before it is used.
"""

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.weights.safetensors_files import map_tensors

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
STORAGE_NAMES = {np.dtype(dtype): name for name, dtype in STORAGES.items()}
# Packages whose objects checkpoints carry beside the weights (progress of the training, numbers): they become `Inert`.
# Nothing of them is imported.
INERT = ("pytorch_lightning", "numpy", "_codecs")
NESTED = "state_dict"  # checkpoints of a training program keep the weights under this name
MAGIC = 0x1950A86A20F9469CFC6C  # of the format before PyTorch 1.6
VERSION = b"3\n"  # of the format since then, which PyTorch's reader asks for
ROOT = "archive/"  # before the names of a zip's members
ALIGNMENT = 64  # bytes, of every storage in a zip, as PyTorch writes them
PADDING = struct.Struct("<2sH")  # an extra field of a zip's header: its kind, and how many bytes follow
LOCAL_HEADER = struct.Struct(
    "<26xHH"
)  # of a zip member: lengths of its name and of its extra field, at their place

# All that a damaged pickle is known to raise (the pickle module's documentation leaves the list open).
DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    OverflowError, RecursionError, MemoryError, struct.error, zipfile.BadZipFile, OSError, NotImplementedError,
)  # fmt: skip

Storage = Callable[[type, str, int], np.ndarray | None]


class Inert:
    """Stands for an object of a class that is not known here and not needed; it takes anything and does nothing."""

    def __init__(self, *_: Any, **__: Any): ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Take an item of a list."""

    def extend(self, items: Any) -> None:
        """Take items of a list."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a PyTorch file (.pth, .ckpt, .bin, .pt) or a safetensors file, by name.

    ```python
    tensors = read_tensors(Path("non_ema_228000.pth"))     # memory-mapped, read-only; bfloat16 is ml_dtypes.bfloat16
    ```

    Raises:
        BadInput: the file is missing, damaged, of another kind, or asks for something that no weights file needs.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file; give a PyTorch or safetensors file")
    try:
        content = _read(path)
    except BadInput:
        raise
    except DAMAGE as error:
        raise BadInput(
            f"{path} is damaged or cut short ({type(error).__name__}: {error}); copy it again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get(NESTED), dict):
        content = content[NESTED]
    tensors = content if isinstance(content, dict) else {}
    tensors = {k: v for k, v in tensors.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
    if not tensors:
        raise BadInput(f"{path} holds no tensors by name; give the file of a network's weights")
    return tensors


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if len(head) == 16 and head[8:9] == b"{":
        return map_tensors(path)[0]
    if head.startswith(b"\x80"):
        return _read_legacy(path)
    raise BadInput(f"{path} is neither a PyTorch file nor a safetensors file")


def _read_zip(path: Path) -> Any:
    """The format since PyTorch 1.6: a zip of one pickle and one uncompressed member for each storage."""
    mapped = np.memmap(path, np.uint8, "r")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise BadInput(f"{path} was written on a big-endian machine; write it again on another")
        if "data.pkl" not in members:
            raise BadInput(f"{path} is a zip file without weights in it; give a PyTorch file")

        def storage(dtype: type, key: str, count: int) -> np.ndarray:
            info = members[f"data/{key}"]
            size = count * np.dtype(dtype).itemsize
            if info.compress_type != zipfile.ZIP_STORED or info.file_size < size:
                raise BadInput(
                    f"{path} is damaged: its member {info.filename} is not {size} bytes of weights"
                )
            header = info.header_offset
            name, extra = LOCAL_HEADER.unpack(mapped[header : header + LOCAL_HEADER.size].tobytes())
            return _view(mapped, header + LOCAL_HEADER.size + name + extra, size, dtype)

        with archive.open(members["data.pkl"]) as file:
            return _Unpickler(file, path, storage).load()


def _read_legacy(path: Path) -> Any:
    """The format before PyTorch 1.6: pickles behind one another, then the storages.

    Where the storages lie is said behind the pickle that needs them, so it is read twice.
    """
    mapped = np.memmap(path, np.uint8, "r")
    kinds: dict[str, type] = {}

    def note(dtype: type, key: str, count: int) -> None:
        kinds[key] = dtype

    with path.open("rb") as file:
        if _Unpickler(file, path, note).load() != MAGIC:
            raise BadInput(f"{path} is a pickle but not a PyTorch file; give a PyTorch or safetensors file")
        for _ in ("protocol", "system"):
            _Unpickler(file, path, note).load()
        start = file.tell()
        _Unpickler(file, path, note).load()
        places = {}
        for key in _Unpickler(file, path, note).load():
            (count,) = struct.unpack("<q", file.read(8))
            size = count * np.dtype(kinds[key]).itemsize
            places[key] = file.tell(), size
            file.seek(size, 1)

        def storage(dtype: type, key: str, count: int) -> np.ndarray:
            place, size = places[key]
            return _view(mapped, place, size, dtype)

        file.seek(start)
        return _Unpickler(file, path, storage).load()


def _view(mapped: np.ndarray, start: int, size: int, dtype: type) -> np.ndarray:
    if size < 0 or start + size > len(mapped):
        raise EOFError(f"{size} bytes are missing at {start}")
    return mapped[start : start + size].view(np.ndarray).view(dtype)


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows tensors and plain containers and nothing else."""

    def __init__(self, file: Any, path: Path, storage: Storage):
        super().__init__(file)
        self._path = path
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_tensor"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module.split(".")[0] in INERT:
            return Inert
        raise BadInput(
            f"{self._path} asks for {module}.{name}, which weights do not need: nothing in it was run; "
            f"give a file of plain weights"
        )

    def persistent_load(self, pid: Any) -> np.ndarray | None:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or dtype not in STORAGES.values():
            raise pickle.UnpicklingError(f"an unknown object {pid!r}")
        view = pid[5] if len(pid) > 5 else None  # of the old format: a storage that is a part of another
        storage = self._storage(dtype, str(key), count)
        if view is None or storage is None:
            return storage
        _, offset, size = view
        return storage[offset : offset + size]


def _tensor(
    storage: np.ndarray | None, offset: int, size: tuple, stride: tuple, *_: Any
) -> np.ndarray | None:
    """A strided view of a storage, which other tensors may share."""
    if storage is None:
        return None
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"a tensor of size {size} with strides {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage):
        raise EOFError(f"a tensor reaches {last + 1} numbers into a storage of {len(storage)}")
    if 0 in size:
        return np.empty(size, storage.dtype)
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _parameter(tensor: np.ndarray | None, *_: Any) -> np.ndarray | None:
    return tensor


def write_tensors(path: Path, tensors: Mapping[str, Any], nested: bool = False) -> None:
    """Write tensors by name in PyTorch's zip format; each is laid out only when its turn comes.

    ```python
    write_tensors(Path("network.pth"), tensors)  # torch.load("network.pth", weights_only=True) gives them back
    ```

    Args:
        path: the file; it appears when it is complete.
        tensors: arrays of the host or the device, views and memory-mapped ones included.
        nested: whether they lie under `state_dict`, as a training program's do.

    Raises:
        BadInput: the file cannot be written (a full disk, no permission); nothing is left of it.
    """
    with replacing(path) as unfinished, unfinished.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{ROOT}data.pkl"), b"".join(_pickled(tensors, nested)))
        archive.writestr(zipfile.ZipInfo(f"{ROOT}byteorder"), b"little")
        for key, tensor in enumerate(tensors.values()):
            data = np.ascontiguousarray(np.asarray(tensor)).reshape(-1)
            member = zipfile.ZipInfo(f"{ROOT}data/{key}")
            member.file_size = data.nbytes  # so that more than 2 GiB are provided for
            member.extra = _padding(file.tell() + LOCAL_HEADER.size + len(member.filename))
            with archive.open(member, "w") as storage:
                storage.write(data.view(np.uint8).data)
        archive.writestr(zipfile.ZipInfo(f"{ROOT}version"), VERSION)


def _padding(place: int) -> bytes:
    """The extra field that, standing at this place of the file, ends where a storage may begin."""
    length = -(place + PADDING.size) % ALIGNMENT
    return PADDING.pack(b"FB", length) + bytes(length)


def _pickled(tensors: Mapping[str, Any], nested: bool) -> Iterator[bytes]:
    """The pickle of a dictionary of tensors, each on a storage of its own, counted from 0.

    It is put together from the pickle machine's operations, since Python's pickler names only what it can import.
    """
    yield pickle.PROTO + b"\x02"
    if nested:
        yield pickle.EMPTY_DICT + _plain(NESTED)
    yield pickle.EMPTY_DICT + pickle.MARK
    for key, (name, tensor) in enumerate(tensors.items()):
        kind, shape = STORAGE_NAMES[np.dtype(tensor.dtype)], tuple(tensor.shape)
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        yield _plain(name) + _name("torch._utils", "_rebuild_tensor_v2") + pickle.MARK
        storage = [_plain("storage"), _name("torch", kind), *map(_plain, (str(key), "cpu", math.prod(shape)))]
        yield pickle.MARK + b"".join(storage) + pickle.TUPLE + pickle.BINPERSID
        yield (
            _plain(0) + _plain(shape) + _plain(strides) + pickle.NEWFALSE
        )  # offset, ..., requires no gradient
        yield _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE  # no hooks
        yield pickle.TUPLE + pickle.REDUCE
    yield pickle.SETITEMS
    if nested:
        yield pickle.SETITEM
    yield pickle.STOP


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _plain(value: str | int | tuple[int, ...]) -> bytes:
    """Operations that put a text, a whole number or a tuple of such on the pickle machine's stack."""
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(_plain, value)) + pickle.TUPLE
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    number = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(number)]) + number
