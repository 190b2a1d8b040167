"""Reading and writing PyTorch files without PyTorch, and without executing code from them.

A PyTorch file is a pickle, which can call any function when it is loaded. This reader accepts only what
weights consist of (tensors, storages, plain containers); any other global in the pickle is an error. Tensors
are views of the memory-mapped file, so data are read from disk on first access.
"""

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from vcjax.errors import BadInput, brief
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
# Packages whose objects occur in checkpoints beside the weights (callback states, NumPy scalars). They are
# replaced by `Inert`; the packages are not imported.
INERT_PACKAGES = ("pytorch_lightning", "numpy", "_codecs")
MAX_NESTED = 16  # tuples within tuples: a tensor takes three
NESTED = "state_dict"  # key of the weights in checkpoints of PyTorch Lightning
MAGIC = 0x1950A86A20F9469CFC6C  # magic number of the format before PyTorch 1.6
VERSION = b"3\n"  # version of the zip format, checked by PyTorch's reader
ROOT = "archive/"  # prefix of the member names in the zip
ALIGNMENT = 64  # bytes: alignment of storages in the zip, as PyTorch writes them
PADDING = struct.Struct("<2sH")  # extra field of a zip header: its id, and the number of bytes that follow
LOCAL_HEADER = struct.Struct("<26xHH")  # zip member header: lengths of name and extra field

# Errors that a damaged pickle is known to raise (the documentation of pickle leaves the list open).
DAMAGE_ERRORS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError,
    OverflowError, RecursionError, MemoryError, struct.error, zipfile.BadZipFile, OSError, NotImplementedError,
)  # fmt: skip

Storage = Callable[[type, str, int], np.ndarray | None]


class Inert:
    """Placeholder for an object of a class that is not needed; it accepts any arguments and does nothing."""

    def __init__(self, *_: Any, **__: Any): ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Ignore an item of a list."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch file (.pth, .ckpt, .bin, .pt) or a safetensors file, by name.

    ```python
    tensors = read_tensors(Path("non_ema_228000.pth"))     # memory-mapped, read-only; bfloat16 is ml_dtypes.bfloat16
    ```

    Raises:
        BadInput: the file is missing, damaged, of another format, or refers to a global that weights do not
            need.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file; give a PyTorch or safetensors file")
    try:
        content = _read(path)
    except BadInput:
        raise
    except DAMAGE_ERRORS as error:
        raise BadInput(
            f"{path} is damaged or cut short ({type(error).__name__}: {error}); copy it again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get(NESTED), dict):
        content = content[NESTED]
    tensors = content if isinstance(content, dict) else {}
    tensors = {k: v for k, v in tensors.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
    if not tensors:
        raise BadInput(f"{path} contains no named tensors; give the file of a network's weights")
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
    """Read the format since PyTorch 1.6: a zip of one pickle and one uncompressed member per storage."""
    mapped = np.memmap(path, np.uint8, "r")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        _check_members(path, archive)
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise BadInput(
                f"{path} was written on a big-endian machine; save it again on a little-endian one"
            )
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


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Check the sizes of a zip file's members before they are read, and the checksum of each.

    Storages are read through a memory map, which the zip module does not check.

    Raises:
        BadInput: a member is compressed, which may take any amount of memory, or differs from its checksum.
    """
    total = path.stat().st_size
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > total:
            raise BadInput(
                f"{path} is damaged: its member {info.filename} is not {info.file_size} bytes of weights as PyTorch writes "
                "them; copy it again"
            )
    damaged = archive.testzip()
    if damaged is not None:
        raise BadInput(f"{path} is damaged: its member {damaged} differs from its checksum; copy it again")


def _read_legacy(path: Path) -> Any:
    """Read the format before PyTorch 1.6: consecutive pickles, then the storages.

    The offsets of the storages follow the pickle that refers to them, so this pickle is read twice.
    """
    mapped = np.memmap(path, np.uint8, "r")
    dtypes: dict[str, type] = {}

    def record_dtype(dtype: type, key: str, count: int) -> None:
        dtypes[key] = dtype

    with path.open("rb") as file:
        if _Unpickler(file, path, record_dtype).load() != MAGIC:
            raise BadInput(f"{path} is a pickle but not a PyTorch file; give a PyTorch or safetensors file")
        for _ in ("protocol", "system"):
            _Unpickler(file, path, record_dtype).load()
        start = file.tell()
        _Unpickler(file, path, record_dtype).load()
        offsets = {}
        for key in _Unpickler(file, path, record_dtype).load():
            (count,) = struct.unpack("<q", file.read(8))
            size = count * np.dtype(dtypes[key]).itemsize
            offsets[key] = file.tell(), size
            file.seek(size, 1)

        def storage(dtype: type, key: str, count: int) -> np.ndarray:
            offset, size = offsets[key]
            return _view(mapped, offset, size, dtype)

        file.seek(start)
        return _Unpickler(file, path, storage).load()


def _view(mapped: np.ndarray, start: int, size: int, dtype: type) -> np.ndarray:
    if size < 0 or start + size > len(mapped):
        raise EOFError(f"{size} bytes are missing at {start}")
    return mapped[start : start + size].view(np.ndarray).view(dtype)


class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Unpickler that accepts only tensors and plain containers.

    It is Python's, whose opcodes can be watched: a tuple of two references to a tuple of two references, and so on, takes
    a hundred bytes, and longer than anyone waits to hash or to show.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # pyright: ignore[reportAttributeAccessIssue]

    def __init__(self, file: Any, path: Path, storage: Storage):
        super().__init__(file)
        self._path = path
        self._storage = storage
        self._depths: dict[
            int, tuple[int, Any]
        ] = {}  # of nested tuples by identity, and the tuples, which keep it

    def _check_depth(self) -> None:
        """Raise UnpicklingError where the tuple that was just built is nested too deeply."""
        built = self.stack[-1]  # pyright: ignore[reportAttributeAccessIssue]
        depth = 1 + max((self._depths[id(x)][0] for x in built if id(x) in self._depths), default=0)
        if depth > MAX_NESTED:
            raise pickle.UnpicklingError(f"tuples nested more than {MAX_NESTED} deep")
        self._depths[id(built)] = depth, built

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_tensor"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): _size,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module.split(".")[0] in INERT_PACKAGES:
            return Inert
        raise BadInput(
            f"{self._path} refers to {module}.{name}, which weights do not need: no code in it was run; "
            f"give a file that contains only weights"
        )

    def persistent_load(self, pid: Any) -> np.ndarray | None:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or dtype not in STORAGES.values():
            raise pickle.UnpicklingError(f"an unknown object {brief(pid)}")
        if not isinstance(key, str | int) or type(count) is not int:
            raise pickle.UnpicklingError(f"a storage with key {brief(key)} of {brief(count)} elements")
        view = (
            pid[5] if len(pid) > 5 else None
        )  # only in the legacy format: a storage that is a slice of another
        storage = self._storage(dtype, str(key), count)
        if view is None or storage is None:
            return storage
        _, offset, size = view
        return storage[offset : offset + size]


def _watched(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function of an opcode that checks the depth of what it builds."""

    def load_and_check(unpickler: Any) -> None:
        load(unpickler)
        unpickler._check_depth()

    return load_and_check


for _opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.FROZENSET):
    _Unpickler.dispatch[_opcode[0]] = _watched(_Unpickler.dispatch[_opcode[0]])


def _size(numbers: Any = ()) -> tuple[int, ...]:
    """Return a `torch.Size`."""
    if not isinstance(numbers, tuple | list) or not all(type(n) is int for n in numbers):
        raise pickle.UnpicklingError("a size of other things than integers")
    return tuple(numbers)


def _tensor(
    storage: np.ndarray | None, offset: int, size: tuple, stride: tuple, *_: Any
) -> np.ndarray | None:
    """Return a strided view of a storage, which tensors may share."""
    if storage is None:
        return None
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"a tensor of size {brief(size)} with strides {brief(stride)}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage):
        raise EOFError(f"a tensor needs {last + 1} elements of a storage of {len(storage)}")
    if 0 in size:
        return np.empty(size, storage.dtype)
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _parameter(tensor: np.ndarray | None, *_: Any) -> np.ndarray | None:
    return tensor


def write_tensors(path: Path, tensors: Mapping[str, Any], nested: bool = False) -> None:
    """Write tensors by name in PyTorch's zip format, converting one at a time.

    ```python
    write_tensors(Path("network.pth"), tensors)  # read with torch.load("network.pth", weights_only=True)
    ```

    Args:
        path: file to write; it appears when it is complete.
        tensors: arrays on host or device by name, including views and memory-mapped arrays.
        nested: whether to nest them under `state_dict`, as in checkpoints of PyTorch Lightning.

    Raises:
        BadInput: the file cannot be written (disk full, no permission); no partial file is left.
    """
    with replacing(path) as unfinished, unfinished.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{ROOT}data.pkl"), b"".join(_pickled(tensors, nested)))
        archive.writestr(zipfile.ZipInfo(f"{ROOT}byteorder"), b"little")
        for key, tensor in enumerate(tensors.values()):
            data = np.ascontiguousarray(np.asarray(tensor)).reshape(-1)
            member = zipfile.ZipInfo(f"{ROOT}data/{key}")
            member.file_size = data.nbytes  # selects the zip64 format for members of more than 2 GiB
            member.extra = _padding(file.tell() + LOCAL_HEADER.size + len(member.filename))
            with archive.open(member, "w") as storage:
                storage.write(data.view(np.uint8).data)
        archive.writestr(zipfile.ZipInfo(f"{ROOT}version"), VERSION)


def _padding(offset: int) -> bytes:
    """Return an extra field that starts at a file offset and ends at a multiple of `ALIGNMENT`."""
    length = -(offset + PADDING.size) % ALIGNMENT
    return PADDING.pack(b"FB", length) + bytes(length)


def _pickled(tensors: Mapping[str, Any], nested: bool) -> Iterator[bytes]:
    """Yield the pickle of a dictionary of tensors, each with its own storage, numbered from 0.

    It is assembled from pickle opcodes, because Python's pickler writes only references to importable
    globals.
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
    """Return pickle opcodes that push a string, an integer or a tuple of these onto the stack."""
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(_plain, value)) + pickle.TUPLE
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    number = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(number)]) + number
