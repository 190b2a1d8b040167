"""Files that somebody hands in: what is damaged, endless, huge or nested is one sentence, before memory is taken."""

import base64
import gzip
import io
import json
import os
import stat
import struct
from pathlib import Path

import numpy as np
import pytest

from vcjax.composer.loading import folder_of
from vcjax.composer.record import read_record
from vcjax.composer.request import Request
from vcjax.conditions.keyframes import keyframes
from vcjax.conditions.media import load_array
from vcjax.conditions.strokes import strokes
from vcjax.conditions.tokenizer import read_merges
from vcjax.data.records import read_description
from vcjax.errors import BadInput
from vcjax.settings import finite, typed
from vcjax.training.run_metadata import read_metadata
from vcjax.video.audio import check_audio
from vcjax.weights.folder import read_config
from vcjax.weights.safetensors_files import map_tensors


def npy(header, data=b""):
    """A .npy file of version 1 with this header."""
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def header(shape="(3,)", descr="'<f4'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


HEADERS = {
    "damaged brace": header().replace("}", "]"),
    "no brace": header().replace("}", ""),
    "huge shape": header("(1000000000000,)"),
    "many digits": "{'descr': '<f4', 'fortran_order': False, 'shape': (1" + "0" * 6000 + ",)}",
    "beyond int64": header("(" + "9" * 30 + ",)"),
    "boolean": header("(True,)"),
    "negative": header("(-3,)"),
    "many axes": header("(" + "1," * 40 + ")"),
    "objects": header(descr="'|O'"),
    "text": header(descr="'<U4'"),
    "fields": header(descr="[('a', '<f4')]"),
    "no shape": "{'descr': '<f4', 'fortran_order': False}",
    "nested": "(" * 5000,
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_damaged_npy_header_is_one_sentence(tmp_path, name):
    path = tmp_path / "depth.npy"
    path.write_bytes(npy(HEADERS[name], bytes(12)))
    with pytest.raises(BadInput, match=r"depth\.npy") as raised:
        load_array(path)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("change", [-1, +1])
def test_a_npy_file_holds_what_its_header_declares(tmp_path, change):
    file = io.BytesIO()
    np.save(file, np.arange(3.0))
    data = file.getvalue()
    path = tmp_path / "depth.npy"
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(BadInput, match=r"declares 24 bytes, but (23|25) follow"):
        load_array(path)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3).T, np.array(3), np.ones((2, 2), bool)])
def test_every_array_of_numbers_is_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), array)


def test_an_array_in_a_request_is_bounded_too():
    data = base64.b64encode(npy(HEADERS["huge shape"])).decode()
    table = {"conditions": {"depth": {"value": {"npy": data}}}}
    with pytest.raises(BadInput, match=r"conditions\.depth\.value\.npy is damaged"):
        Request.from_json(table)


READERS = {
    "a.npy": load_array,
    "a.json": strokes,
    "b.json": keyframes,
    "a.svg": strokes,
    "a.txt.gz": read_merges,
    "a.txt": read_merges,
    "a.safetensors": map_tensors,
    "a.wav": check_audio,
    "a.mp4": read_record,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    with pytest.raises(BadInput, match="not a regular file"):
        READERS[name](path)


def test_an_endless_vocabulary_is_refused():
    with pytest.raises(BadInput, match="not a regular file"):
        read_merges(Path("/dev/zero"))


def test_a_small_file_that_decompresses_to_gigabytes_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "merges.txt.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    read = []
    original = gzip.GzipFile.read

    def counting(self, size=-1):
        data = original(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    with pytest.raises(BadInput, match="not CLIP's vocabulary"):
        read_merges(path)
    assert sum(read) < 20_000_000


def test_a_long_text_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "strokes.json"
    with path.open("wb") as file:
        file.truncate(2**33)  # sparse
    with pytest.raises(BadInput, match="has 8589934592 bytes, more than"):
        strokes(path)


def _model(folder, text):
    (folder / "config.json").write_text(text)
    read_config(folder)


def _dataset(folder, text):
    (folder / "dataset.json").write_text(text)
    read_description(folder)


def _run(folder, text):
    (folder / "run.json").write_text(text)
    read_metadata(folder)


def _header(folder, text):
    path = folder / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode())
    map_tensors(path)


def _strokes(folder, text):
    (folder / "a.json").write_text(text)
    strokes(folder / "a.json")


def _keyframes(folder, text):
    (folder / "b.json").write_text(text)
    keyframes(folder / "b.json")


@pytest.mark.parametrize("read", [_model, _dataset, _run, _header, _strokes, _keyframes])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_one_sentence(tmp_path, read, depth):
    with pytest.raises(BadInput, match="nested more than") as raised:
        read(tmp_path, '{"a":' * depth + "1" + "}" * depth)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("convert", [lambda x: typed(float, x, "scale"), lambda x: finite("scale", x)])
def test_an_integer_that_no_float_holds_is_named(convert):
    with pytest.raises(BadInput, match="scale must be a number below 1e308"):
        convert(10**400)


@pytest.mark.parametrize("value", ["x" * 10_000_000, ["x" * 10_000_000] * 3, 10**400])
def test_messages_do_not_repeat_a_long_value(value):
    with pytest.raises(BadInput) as raised:
        typed(bool, value, "name")
    assert len(str(raised.value)) < 1000


def test_no_message_is_of_megabytes(tmp_path):
    with pytest.raises(BadInput, match="there is no model") as raised:
        folder_of("x/" * 100_000)
    assert len(str(raised.value)) < 5000


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": TENSOR | {"data_offsets": [0.0, 8.0]}},
        {"a": TENSOR | {"data_offsets": [False, 8]}},
        {"a": TENSOR | {"shape": [2**64]}},
        {"a": TENSOR | {"shape": [2**32, 2**32]}},
        {"a": TENSOR | {"shape": [2.0]}},
        {"a": TENSOR | {"shape": [-1, -2]}},
        {"a": TENSOR | {"shape": [1] * 60 + [2]}},
        {"a": TENSOR | {"data_offsets": [0, 4, 8]}},
        {"a": TENSOR, "a/b": TENSOR},
        {"a/b": TENSOR, "a/b/c/d": TENSOR},
        {"a" * 5000: TENSOR},
        {"/".join("a" * 2500): TENSOR},
        {"a": [TENSOR]},
    ],
)
def test_a_header_of_no_sizes_or_no_names_is_one_sentence(tmp_path, tensors):
    text = json.dumps(tensors).encode()
    path = tmp_path / "unet.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match=r"header|does not fit|characters|group") as raised:
        map_tensors(path)
    assert len(str(raised.value)) < 300
