import os
import pickle
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
def test_numbers_of_every_type_are_read_bit_for_bit(tmp_path, write, dtype, shape):
    array = np.random.default_rng(0).integers(0, 2**7, shape).astype(dtype)
    write(tmp_path / "x.pth", {"a.weight": plain(array), "b": plain(np.float32([1, 2]))})
    read = read_tensors(tmp_path / "x.pth")
    assert list(read) == ["a.weight", "b"]
    assert read["a.weight"].dtype == array.dtype
    np.testing.assert_array_equal(read["a.weight"], array)
    np.testing.assert_array_equal(read["b"], [1, 2])


def test_strides_and_shared_storages(tmp_path, write):
    numbers = np.arange(24, dtype=np.float32)
    storage = Storage(numbers)
    content = {
        "whole": tensor(storage, (4, 6), (6, 1)),
        "transposed": tensor(storage, (6, 4), (1, 6)),
        "part": tensor(storage, (2, 3), (6, 2), offset=6),
        "repeated": tensor(storage, (3, 2), (0, 1), offset=22),
    }
    write(tmp_path / "x.pth", content)
    read = read_tensors(tmp_path / "x.pth")
    matrix = numbers.reshape(4, 6)
    np.testing.assert_array_equal(read["whole"], matrix)
    np.testing.assert_array_equal(read["transposed"], matrix.T)
    np.testing.assert_array_equal(read["part"], matrix[1:3, ::2])
    np.testing.assert_array_equal(read["repeated"], [[22, 23]] * 3)
    assert np.shares_memory(read["whole"], read["part"])  # nothing was copied
    assert not read["whole"].flags.writeable


def test_a_training_programs_checkpoint(tmp_path, write):
    """As Stable Diffusion's is: weights under `state_dict`, and beside them objects of classes that are not here."""
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


def test_safetensors_are_read_too(tmp_path):
    save_file({"a": np.float32([[1, 2]])}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(read_tensors(tmp_path / "x.safetensors")["a"], [[1, 2]])


def test_a_real_file(shared):
    read = read_tensors(shared / "weights" / "table5_pidinet.pth")
    assert len(read) == 83
    assert all(name.startswith("module.") and np.isfinite(x).all() for name, x in read.items())
    assert 0.01 < read["module.init_block.weight"].std() < 10


def every_kind():
    """Tensors of every type and of odd shapes, one of them no more than a view."""
    rng = np.random.default_rng(0)
    named = {name: rng.integers(0, 2, (3, 5)).astype(dtype) for name, dtype in STORAGES.items()}
    whole = rng.standard_normal((40, 30), np.float32)
    shapes = {"transposed": whole.T, "part": whole[3:, ::2], "number": np.float32(2.5), "empty": whole[:0]}
    return named | shapes


@pytest.mark.parametrize("nested", [False, True])
def test_what_is_written_is_read_bit_for_bit(tmp_path, nested):
    tensors = every_kind()
    path = tmp_path / "new" / "x.pth"
    write_tensors(path, tensors, nested)
    read = read_tensors(path)
    assert list(read) == list(tensors)
    for name, x in tensors.items():
        assert read[name].dtype == x.dtype
        np.testing.assert_array_equal(read[name], x)
        assert read[name].size == 0 or read[name].ctypes.data % ALIGNMENT == 0  # the file is mapped at a page
    first = path.read_bytes()
    write_tensors(path, tensors, nested)
    assert path.read_bytes() == first  # nothing of the day or the place
    assert [p.name for p in path.parent.iterdir()] == ["x.pth"]
    assert zipfile.ZipFile(path).testzip() is None


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path):
    with pytest.raises(KeyError):  # a type that PyTorch does not have
        write_tensors(tmp_path / "x.pth", {"a": np.ones(3), "b": np.array(["text"])})
    assert list(tmp_path.iterdir()) == []


class Malicious:
    """Pickled by Python itself, it asks for a command to be run."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_does_nothing(tmp_path, write):
    target = tmp_path / "created"
    runs = Call(Global("os", "system"), f"touch {target}")
    write(tmp_path / "x.pth", {"a": plain(np.float32([1])), "b": runs})
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(BadInput, match=r"x.pth asks for os.system, .* nothing in it was run"):
        read_tensors(tmp_path / "x.pth")
    with pytest.raises(BadInput, match=r"raw.pth asks for posix.system"):
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
def test_what_weights_do_not_need_is_refused_by_name(tmp_path, write, module, name):
    write(tmp_path / "x.pth", {"a": Call(Global(module, name), "1")})
    with pytest.raises(BadInput, match=f"asks for {module}.{name}"):
        read_tensors(tmp_path / "x.pth")


def small(path, write):
    write(path, {"a": plain(np.arange(300, dtype=np.float32)), "b": plain(np.float32([1, 2]))})
    return path.read_bytes()


def test_a_truncated_file_is_one_sentence_wherever_it_was_cut(tmp_path, write):
    data = small(tmp_path / "x.pth", write)
    for length in np.linspace(1, len(data) - 1, 60).astype(int):
        (tmp_path / "x.pth").write_bytes(data[:length])
        with pytest.raises(BadInput, match=r"x\.pth "):
            read_tensors(tmp_path / "x.pth")


def test_a_damaged_file_is_read_or_refused_but_never_anything_else(tmp_path, write):
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


def test_what_is_not_a_weights_file_is_said(tmp_path):
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
    refused(tmp_path / "none.pth", "holds no tensors by name")
    write_zip(tmp_path / "packed.pth", {"a": plain(np.zeros(1000))}, zipfile.ZIP_DEFLATED)
    refused(tmp_path / "packed.pth", "data/0 is not 8000 bytes of weights")


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, write):
    for size, stride, offset in (((5,), (1,), 0), ((2, 2), (3, 1), 0), ((1,), (1,), 4), ((4,), (-1,), 3)):
        write(tmp_path / "x.pth", {"a": tensor(Storage(np.float32([1, 2, 3, 4])), size, stride, offset)})
        with pytest.raises(BadInput, match="damaged or cut short"):
            read_tensors(tmp_path / "x.pth")
