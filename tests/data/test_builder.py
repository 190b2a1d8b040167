"""The TFDS builder works without TensorFlow and without a network connection."""

import importlib.metadata
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.training.runs import MODEL, small_parts
from vcjax.data.builder import Clips
from vcjax.data.prepare import Job
from vcjax.data.records import PreparedDataset
from vcjax.data.sprite_clips import SpriteClips


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    model = small_parts(folder / "model", {**MODEL, "conditions": {"text": {}, "motion": {}, "depth": {}}})
    job = Job(source=SpriteClips(train=5, validation=1), model=str(model), files_per_shard=2)
    with pytest.MonkeyPatch.context() as patch:

        def connect(self, address):
            raise AssertionError(f"connection to {address}")

        patch.setattr(socket.socket, "connect", connect)
        builder = Clips(job=job, data_dir=folder / "data")
        builder.download_and_prepare()
    return builder


def test_tfds_and_our_reader_agree(built):
    ours = PreparedDataset(built.data_dir).split("train")
    for source in (
        built.as_data_source("train"),
        tfds.builder_from_directory(built.data_dir).as_data_source("train"),
    ):
        assert len(source) == len(ours) == 5
        for theirs, record in zip(source, ours, strict=True):
            assert theirs["clip"].decode() == record["clip"]
            np.testing.assert_array_equal(theirs["mean"].astype(np.float32), record["mean"])
            np.testing.assert_array_equal(theirs["conditions"]["text"]["text"], record["conditions"]["text"])
            assert theirs["conditions"]["depth"]["depth"][0].startswith(b"\x89PNG")


def test_tfds_reads_version_and_splits(built):
    info = tfds.builder_from_directory(built.data_dir).info
    assert str(info.version) == "2.0.0"
    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 5, "validation": 1}
    assert [split.shard_lengths for split in info.splits.values()] == [[2, 2, 1], [1]]


def test_the_configuration_is_recorded(built):
    recorded = PreparedDataset(built.data_dir).description.made
    assert recorded["source"] == {"kind": "SpriteClips", "train": 5, "validation": 1, "test": 0}
    assert recorded["conditions"] == ["text", "motion", "depth"]
    assert set(recorded["with"]) == {"vcjax", "jax", "av", "pillow"}


def test_tensorflow_is_not_installed_and_not_imported(built):
    names = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    assert "tensorflow-datasets" in names
    assert not {name for name in names if name in ("tensorflow", "tensorflow-cpu", "tf-nightly")}
    reading = f"""
import sys
from vcjax.data.builder import Clips
from vcjax.data.records import PreparedDataset
assert PreparedDataset({built.data_dir!r}).split("train")[0]["caption"]
print([name for name in sys.modules if name.split(".")[0] == "tensorflow"])
"""
    done = subprocess.run([sys.executable, "-c", reading], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
