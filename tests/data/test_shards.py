"""Files of a data set that are damaged, or that dataset.json does not describe, are named in one sentence."""

import json
import resource
import shutil

import numpy as np
import pytest

from tests.data.datasets import make_dataset
from vcjax.data.inspection import contact_sheet, summarise
from vcjax.data.records import PreparedDataset
from vcjax.data.shards import DESCRIPTION, ShardWriter
from vcjax.errors import BadInput


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "set", {"train": 5, "train_images": 3})


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "set")


def read_all(folder):
    dataset = PreparedDataset(folder)
    for split in dataset.splits:
        summarise(dataset, split, 10)
    contact_sheet(dataset, "train", 3)


def test_a_whole_data_set_is_read(folder):
    read_all(folder)


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    damaged = bytearray(data)
    damaged[200] ^= 1
    return bytes(damaged)


@pytest.mark.parametrize("change", [cut, flipped, lambda data: b"", lambda data: bytes(len(data))])
@pytest.mark.parametrize("split", ["train", "train_images"])
def test_a_damaged_file_is_named(folder, change, split):
    path = folder / f"clips-{split}.array_record-00001-of-00002"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadInput, match=rf"{path.name} (is damaged|has 0 records)"):
        read_all(folder)


EDITS = {
    "height": (lambda t: t["clip"].update(height=32), "does not fit dataset.json"),
    "width": (lambda t: t["clip"].update(width=8), "motion has shape"),
    "frames": (lambda t: t["clip"].update(frames=5), "it has 3 frames and not 5"),
    "latent": (lambda t: t.update(latent=[4, 4, 8]), "cannot be decoded"),
    "no latent": (lambda t: t.update(latent=[]), "latent of a data set must be"),
    "negative latent": (lambda t: t.update(latent=[-1, 4, 4]), "latent of a data set must be"),
    "more records": (lambda t: t["splits"].update(train=[9, 9]), "has 3 records, but dataset.json says 9"),
    "fewer records": (lambda t: t["splits"].update(train=[1, 1]), "has 3 records, but dataset.json says 1"),
    "negative records": (lambda t: t["splits"].update(train=[-1, 1]), r"splits\.train of a data set must be"),
    "no files": (lambda t: t["splits"].update(train=[]), r"splits\.train of a data set must be"),
    "huge": (lambda t: t["splits"].update(train=[10**30, 2]), r"splits\.train of a data set must be"),
    "vector": (lambda t: t["conditions"]["style"].update(embed_dim=8), "cannot be decoded"),
    "negative vector": (
        lambda t: t["conditions"]["style"].update(embed_dim=-8),
        r"conditions\.style\.embed_dim must be",
    ),
    "scale": (lambda t: t["conditions"]["depth"].update(scale=2.0), "depth has shape"),
    "not stored": (lambda t: t["conditions"].update(sketch={}), "cannot be decoded"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_description_that_disagrees_with_the_records_is_named(folder, name):
    edit, message = EDITS[name]
    table = json.loads((folder / DESCRIPTION).read_text())
    edit(table)
    (folder / DESCRIPTION).write_text(json.dumps(table))
    with pytest.raises(BadInput, match=message):
        read_all(folder)


def test_a_record_is_read_by_index_from_any_file(folder):
    split = PreparedDataset(folder).split("train")
    names = [split[i]["clip"] for i in range(-5, 5)]
    assert names == 2 * ["train 0", "train 2", "train 4", "train 1", "train 3"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    path, limits = (
        tmp_path / "clips-train.array_record-00000-of-00001",
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )

    def write():
        with ShardWriter(path) as shard:
            for seed in range(30):
                shard.write(np.random.default_rng(seed).bytes(10_000))

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # writes fail as on a full disk
    try:
        with pytest.raises(BadInput, match=rf"{path.name} cannot be written \(File too large\)"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
