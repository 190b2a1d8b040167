"""`vcjax inspect` counts, weighs and measures what is really there, and shows every condition."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.datasets import CONDITIONS, make_dataset
from vcjax.conditions.preview import LABEL_HEIGHT, LABEL_WIDTH
from vcjax.data.inspection import contact_sheet, histogram, speed, spread, summarise
from vcjax.data.records import Prepared

ROOT = Path(__file__).resolve().parents[2]
SPLITS = {"train": 7, "validation": 2, "train_images": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "set", SPLITS)


def test_counts_sizes_and_lengths_are_those_of_the_records(folder):
    dataset = Prepared(folder)
    found = summarise(dataset, "train", 100)
    split = dataset.split("train")
    assert (found.count, found.looked_at) == (7, 7)
    raw = np.mean([len(split.raw(i)) for i in range(7)])
    assert set(found.sizes) == {*CONDITIONS, "latents", "other"}
    assert 0.9 * raw < sum(found.sizes.values()) < raw  # the rest are names of fields
    assert found.sizes["latents"] >= 2 * 3 * 4 * 4 * 4 * 2  # mean and deviation of 3 frames in float16
    assert found.disk == sum(path.stat().st_size for path in folder.glob("clips-train.*"))
    assert found.seconds == [3 / 8] * 7
    expected = sorted(speed(record["conditions"]["motion"]) for record in split)
    np.testing.assert_allclose(sorted(found.speeds), expected)


def test_images_have_neither_length_nor_motion(folder):
    found = summarise(Prepared(folder), "train_images", 100)
    assert (found.count, found.seconds, found.speeds) == (5, [], [])


def test_a_large_split_is_looked_at_evenly():
    assert spread(1000, 5) == [0, 250, 500, 749, 999]
    assert spread(3, 5) == [0, 1, 2]
    assert spread(0, 5) == []


def test_speed_is_that_of_what_moves_however_vectors_are_laid_out():
    motion = np.zeros((4, 64, 64, 2), np.float32)
    motion[1:, :, :, 0], motion[1:, :, :, 1] = 3, -4
    assert speed(motion) == pytest.approx(5)
    centres = np.zeros_like(motion)
    centres[:, 4::8, 4::8] = motion[:, 4::8, 4::8]
    assert speed(centres) == pytest.approx(5)
    assert speed(0 * motion) == 0


def test_a_histogram_has_each_value_once():
    lines = histogram([0.0, 0.0, 2.0, *range(4, 11), 3.5, 0.5])
    assert len(lines) == 10
    assert [int(line.split()[3]) for line in lines] == [3, 0, 1, 1, 1, 1, 1, 1, 1, 2]
    assert [line.count("#") for line in lines] == [40, 0, *[13] * 7, 27]  # in proportion
    assert [line.split()[:2] for line in histogram([2.0, 1.5, 2.0])] == [["1.50", "1"], ["2.00", "2"]]


def test_the_sheet_shows_every_condition_of_some_records(folder):
    sheet = contact_sheet(Prepared(folder), "train", 3)
    assert sheet.shape == (3 * (LABEL_HEIGHT + LABEL_HEIGHT + 16), len(CONDITIONS) * LABEL_WIDTH, 3)
    columns = sheet[2 * LABEL_HEIGHT : 2 * LABEL_HEIGHT + 16].reshape(16, len(CONDITIONS), LABEL_WIDTH, 3)
    assert all(columns[:, place].std() > 5 for place in range(len(CONDITIONS)))  # none is blank


def inspect(*arguments):
    command = [sys.executable, "-m", "vcjax.cli", "inspect", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_says_it_all_and_writes_the_sheet(folder, tmp_path):
    done = inspect(folder, "--out", tmp_path / "sheet.png", "--clips", 2)
    assert done.returncode == 0, done.stderr
    for told in (
        "train: 7 records",
        "validation: 2 records",
        "train_images: 5 records",
        "motion, pixels",
        "seconds",
    ):
        assert told in done.stdout
    assert all(f"  {name} " in done.stdout for name in CONDITIONS)
    assert Image.open(tmp_path / "sheet.png").height == 2 * (2 * LABEL_HEIGHT + 16)


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "is no prepared data set"), (("--split", "tset"), "no split 'tset'")]
)
def test_what_is_not_there_is_told(folder, tmp_path, arguments, said):
    done = inspect(folder if arguments else tmp_path, *arguments, "--out", tmp_path / "sheet.png")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "sheet.png").exists()
