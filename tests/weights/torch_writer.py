"""Writers of PyTorch files with any content, valid or malicious, in both formats, for tests of reading."""

import io
import pickle
import struct
import zipfile

import numpy as np

KINDS = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Global:
    """A reference to a global that the reader resolves, whether or not it exists."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self): ...


class Call:
    """An object that the reader creates by calling a global."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Storage:
    """Values that tensors are views of."""

    def __init__(self, values):
        self.values = np.ascontiguousarray(values)


def tensor(storage, size, stride, offset=0):
    """Return a tensor on a storage; sizes and strides are in elements."""
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, tuple(size), tuple(stride), False, {})


def plain(array):
    """Return a contiguous tensor with its own storage."""
    array = np.asarray(array, order="C")
    return tensor(Storage(array.ravel()), array.shape, [s // array.itemsize for s in array.strides])


class _Pickler(
    pickle._Pickler
):  # the implementation in Python, which can be subclassed to write other globals
    def __init__(self, file, storages):
        super().__init__(file, protocol=2)
        self._storages = storages

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        key = next((k for k, s in self._storages.items() if s is obj), str(len(self._storages)))
        self._storages[key] = obj
        kind = Global("torch", KINDS[str(obj.values.dtype)])
        return ("storage", kind, key, "cpu", obj.values.size, *self._view())

    def _view(self):
        return ()


class _LegacyPickler(_Pickler):
    def _view(self):
        return (None,)


def write_zip(path, content, compression=zipfile.ZIP_STORED):
    """Write the format since PyTorch 1.6."""
    storages, data = {}, io.BytesIO()
    _Pickler(data, storages).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.values.tobytes())


def write_legacy(path, content):
    """Write the format before PyTorch 1.6."""
    storages = {}
    with path.open("wb") as file:
        for preamble in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(preamble, file, protocol=2)
        _LegacyPickler(file, storages).dump(content)
        pickle.dump(list(storages), file, protocol=2)
        for storage in storages.values():
            file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
