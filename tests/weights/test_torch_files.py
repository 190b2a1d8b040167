import os
import pickle
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.weights.torch_writer import Call, Global, Storage, plain, tensor, write_legacy, write_zip
from vcjax.errors import BadInput
from vcjax.weights.torch_files import ALIGNMENT, STORAGES, read_tensors, write_tensors

WRITERS = {"zip": write_zip, "legacy": write_legacy}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "uint8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4)])
def test_tensors_of_every_type_are_read_bit_for_bit(tmp_path, write, dtype, shape):
    array = np.random.default_rng(0).integers(0, 2**7, shape).astype(dtype)
    write(tmp_path / "x.pth", {"a.weight": plain(array), "b": plain(np.float32([1, 2]))})
    read = read_tensors(tmp_path / "x.pth")
    assert list(read) == ["a.weight", "b"]
    assert read["a.weight"].dtype == array.dtype
    np.testing.assert_array_equal(read["a.weight"], array)
    np.testing.assert_array_equal(read["b"], [1, 2])


def test_strides_and_shared_storages(tmp_path, write):
    values = np.arange(24, dtype=np.float32)
    storage = Storage(values)
    content = {
        "full": tensor(storage, (4, 6), (6, 1)),
        "transposed": tensor(storage, (6, 4), (1, 6)),
        "slice": tensor(storage, (2, 3), (6, 2), offset=6),
        "repeated": tensor(storage, (3, 2), (0, 1), offset=22),
    }
    write(tmp_path / "x.pth", content)
    read = read_tensors(tmp_path / "x.pth")
    matrix = values.reshape(4, 6)
    np.testing.assert_array_equal(read["full"], matrix)
    np.testing.assert_array_equal(read["transposed"], matrix.T)
    np.testing.assert_array_equal(read["slice"], matrix[1:3, ::2])
    np.testing.assert_array_equal(read["repeated"], [[22, 23]] * 3)
    assert np.shares_memory(read["full"], read["slice"])  # nothing was copied
    assert not read["full"].flags.writeable


def test_a_lightning_checkpoint(tmp_path, write):
    """Like Stable Diffusion's: weights under `state_dict`, beside objects of classes that are not installed."""
    callback = Call(Global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"))
    score = Call(Global("numpy.core.multiarray", "scalar"), Call(Global("numpy", "dtype"), "f8"), b"12345678")
    parameter = Call(
        Global("torch._utils", "_rebuild_parameter"), plain(np.float32([3])), True, OrderedDict()
    )
    content = {
        "epoch": 3,
        "callbacks": {"best": callback, "score": score},
        "state_dict": OrderedDict(a=plain(np.float32([1, 2])), b=parameter),
    }
    write(tmp_path / "x.ckpt", content)
    read = read_tensors(tmp_path / "x.ckpt")
    assert {name: x.tolist() for name, x in read.items()} == {"a": [1, 2], "b": [3]}


def test_safetensors_files_are_read(tmp_path):
    save_file({"a": np.float32([[1, 2]])}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(read_tensors(tmp_path / "x.safetensors")["a"], [[1, 2]])


def test_a_released_file_is_read(shared):
    read = read_tensors(shared / "weights" / "table5_pidinet.pth")
    assert len(read) == 83
    assert all(name.startswith("module.") and np.isfinite(x).all() for name, x in read.items())
    assert 0.01 < read["module.init_block.weight"].std() < 10


def every_kind():
    """Return tensors of every type and of unusual shapes, including views."""
    rng = np.random.default_rng(0)
    named = {name: rng.integers(0, 2, (3, 5)).astype(dtype) for name, dtype in STORAGES.items()}
    full = rng.standard_normal((40, 30), np.float32)
    shapes = {"transposed": full.T, "slice": full[3:, ::2], "scalar": np.float32(2.5), "empty": full[:0]}
    return named | shapes


@pytest.mark.parametrize("nested", [False, True])
def test_written_tensors_are_read_bit_for_bit(tmp_path, nested):
    tensors = every_kind()
    path = tmp_path / "new" / "x.pth"
    write_tensors(path, tensors, nested)
    read = read_tensors(path)
    assert list(read) == list(tensors)
    for name, x in tensors.items():
        assert read[name].dtype == x.dtype
        np.testing.assert_array_equal(read[name], x)
        assert read[name].size == 0 or read[name].ctypes.data % ALIGNMENT == 0  # the mapping starts at a page
    first = path.read_bytes()
    write_tensors(path, tensors, nested)
    assert path.read_bytes() == first  # independent of time and path
    assert [p.name for p in path.parent.iterdir()] == ["x.pth"]
    assert zipfile.ZipFile(path).testzip() is None


def test_a_failed_write_leaves_no_partial_file(tmp_path):
    with pytest.raises(KeyError):  # a type that PyTorch does not have
        write_tensors(tmp_path / "x.pth", {"a": np.ones(3), "b": np.array(["text"])})
    assert list(tmp_path.iterdir()) == []


class Malicious:
    """Its pickle, written by Python's pickler, refers to a command to run."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_is_not_executed(tmp_path, write):
    target = tmp_path / "created"
    runs = Call(Global("os", "system"), f"touch {target}")
    write(tmp_path / "x.pth", {"a": plain(np.float32([1])), "b": runs})
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(BadInput, match=r"x.pth refers to os.system, .* no code in it was run"):
        read_tensors(tmp_path / "x.pth")
    with pytest.raises(BadInput, match=r"raw.pth refers to posix.system"):
        read_tensors(tmp_path / "raw.pth")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw.pth", "x.pth"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("collections", "abc"),
        ("torch._utils", "os.system"),
    ],
)
def test_other_globals_are_refused_by_name(tmp_path, write, module, name):
    write(tmp_path / "x.pth", {"a": Call(Global(module, name), "1")})
    with pytest.raises(BadInput, match=f"refers to {module}.{name}"):
        read_tensors(tmp_path / "x.pth")


def small(path, write):
    write(path, {"a": plain(np.arange(300, dtype=np.float32)), "b": plain(np.float32([1, 2]))})
    return path.read_bytes()


def test_a_file_truncated_anywhere_is_reported_in_one_sentence(tmp_path, write):
    data = small(tmp_path / "x.pth", write)
    for length in np.linspace(1, len(data) - 1, 60).astype(int):
        (tmp_path / "x.pth").write_bytes(data[:length])
        with pytest.raises(BadInput, match=r"x\.pth "):
            read_tensors(tmp_path / "x.pth")


def test_a_damaged_file_raises_no_other_error(tmp_path, write):
    data = small(tmp_path / "x.pth", write)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(min(len(data), 400))] ^= 1 << rng.integers(8)
        (tmp_path / "x.pth").write_bytes(damaged)
        try:
            read_tensors(tmp_path / "x.pth")
        except BadInput:
            refused += 1
    assert refused > 30


def test_other_files_are_reported(tmp_path):
    def refused(path, match):
        with pytest.raises(BadInput, match=match):
            read_tensors(path)

    refused(tmp_path / "nothing.pth", "nothing.pth is not a file")
    refused(tmp_path, "is not a file")
    for name, content in (("empty", b""), ("text", b"<html>404 not found</html>"), ("short", b"\x08")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, f"{name} is neither a PyTorch file nor a safetensors file")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "other.zip", "a zip file without weights")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2, 3]))
    refused(tmp_path / "list.pkl", "a pickle but not a PyTorch file")
    write_zip(tmp_path / "none.pth", {"epoch": 3})
    refused(tmp_path / "none.pth", "contains no named tensors")
    write_zip(tmp_path / "packed.pth", {"a": plain(np.zeros(1000))}, zipfile.ZIP_DEFLATED)
    refused(tmp_path / "packed.pth", "bytes of weights as PyTorch writes them")


def test_a_tensor_that_exceeds_its_storage_is_refused(tmp_path, write):
    for size, stride, offset in (((5,), (1,), 0), ((2, 2), (3, 1), 0), ((1,), (1,), 4), ((4,), (-1,), 3)):
        write(tmp_path / "x.pth", {"a": tensor(Storage(np.float32([1, 2, 3, 4])), size, stride, offset)})
        with pytest.raises(BadInput, match="damaged or cut short"):
            read_tensors(tmp_path / "x.pth")


def is_refused(path, message):
    with pytest.raises(BadInput, match=message):
        read_tensors(path)


def test_a_flipped_byte_in_any_member_is_found(tmp_path):
    path = tmp_path / "x.pth"
    write_zip(path, {"a": plain(np.ones(500, np.float32))})
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        offsets = [info.header_offset + 80 for info in archive.infolist() if info.file_size > 100]
    assert len(offsets) == 2  # the pickle and the storage
    for offset in offsets:
        damaged = bytearray(data)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        is_refused(path, "is damaged")


def test_a_member_that_decompresses_to_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/byteorder", bytes(50_000_000))
    tracemalloc.start()
    is_refused(path, "is damaged")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("end", [pickle.TUPLE2 + pickle.STOP, pickle.BINPERSID + pickle.STOP])
@pytest.mark.parametrize(
    "double", [pickle.DUP + pickle.TUPLE2, pickle.DUP + pickle.TUPLE2 + pickle.EMPTY_TUPLE + pickle.POP]
)
def test_tuples_of_tuples_end_at_once(tmp_path, double, end):
    """Hashing or showing them takes twice as long for each level."""
    key = pickle.EMPTY_TUPLE + 64 * double
    content = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + key + pickle.NONE + pickle.SETITEM + end
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", content)
    began = time.monotonic()
    is_refused(tmp_path / "x.pth", "nested more than")
    assert time.monotonic() - began < 5
