"""Statistics and contact sheet of a prepared data set, and `vcjax inspect`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.datasets import CONDITIONS, make_dataset
from vcjax.conditions.preview import LABEL_HEIGHT, LABEL_WIDTH, text_image
from vcjax.data.inspection import _with_caption, contact_sheet, evenly_spaced, histogram, speed, summarise
from vcjax.data.records import PreparedDataset

ROOT = Path(__file__).resolve().parents[2]
SPLITS = {"train": 7, "validation": 2, "train_images": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "set", SPLITS)


def test_counts_sizes_and_lengths_are_those_of_the_records(folder):
    dataset = PreparedDataset(folder)
    found = summarise(dataset, "train", 100)
    split = dataset.split("train")
    assert (found.count, found.examined) == (7, 7)
    raw = np.mean([len(split.raw(i)) for i in range(7)])
    assert set(found.sizes) == {*CONDITIONS, "latents", "other"}
    assert 0.9 * raw < sum(found.sizes.values()) < raw  # the rest is names of fields
    assert (
        found.sizes["latents"] >= 2 * 3 * 4 * 4 * 4 * 2
    )  # mean and standard deviation of 3 frames in float16
    assert found.disk == sum(path.stat().st_size for path in folder.glob("clips-train.*"))
    assert found.seconds == [3 / 8] * 7
    expected = sorted(speed(record["conditions"]["motion"]) for record in split)
    np.testing.assert_allclose(sorted(found.speeds), expected)


def test_images_have_neither_length_nor_motion(folder):
    found = summarise(PreparedDataset(folder), "train_images", 100)
    assert (found.count, found.seconds, found.speeds) == (5, [], [])


def test_records_are_evenly_spaced():
    assert evenly_spaced(1000, 5) == [0, 250, 500, 749, 999]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(0, 5) == []


def test_speed_does_not_depend_on_how_vectors_are_rasterised():
    motion = np.zeros((4, 64, 64, 2), np.float32)
    motion[1:, :, :, 0], motion[1:, :, :, 1] = 3, -4
    assert speed(motion) == pytest.approx(5)
    centres = np.zeros_like(motion)
    centres[:, 4::8, 4::8] = motion[:, 4::8, 4::8]
    assert speed(centres) == pytest.approx(5)
    assert speed(0 * motion) == 0


def test_a_histogram_counts_each_value_once():
    lines = histogram([0.0, 0.0, 2.0, *range(4, 11), 3.5, 0.5])
    assert len(lines) == 10
    assert [int(line.split()[3]) for line in lines] == [3, 0, 1, 1, 1, 1, 1, 1, 1, 2]
    assert [line.count("#") for line in lines] == [40, 0, *[13] * 7, 27]  # in proportion
    assert [line.split()[:2] for line in histogram([2.0, 1.5, 2.0])] == [["1.50", "1"], ["2.00", "2"]]


def test_the_contact_sheet_shows_every_condition(folder):
    sheet = contact_sheet(PreparedDataset(folder), "train", 3)
    assert sheet.shape == (3 * (LABEL_HEIGHT + LABEL_HEIGHT + 16), len(CONDITIONS) * LABEL_WIDTH, 3)
    columns = sheet[2 * LABEL_HEIGHT : 2 * LABEL_HEIGHT + 16].reshape(16, len(CONDITIONS), LABEL_WIDTH, 3)
    assert all(columns[:, i].std() > 5 for i in range(len(CONDITIONS)))  # none is blank
    (words,) = text_image("a caption of train 0", 16, LABEL_WIDTH)
    np.testing.assert_array_equal(columns[:, list(CONDITIONS).index("text")], words)


def test_a_caption_above_its_row_is_wrapped_and_not_cut():
    image = np.zeros((16, 168, 3), np.uint8)
    short, long = _with_caption("a red star", image), _with_caption("a red star moving left " * 4, image)
    assert short.shape == (LABEL_HEIGHT + 16, 168, 3)
    extra = len(long) - len(short)
    assert extra >= 2 * LABEL_HEIGHT
    assert (long[extra : extra + LABEL_HEIGHT] < 128).any()  # the last line holds words


def inspect(*arguments):
    command = [sys.executable, "-m", "vcjax", "inspect", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_statistics_and_writes_the_contact_sheet(folder, tmp_path):
    done = inspect(folder, "--out", tmp_path / "sheet.png", "--examples", 2)
    assert done.returncode == 0, done.stderr
    for text in (
        "train: 7 records",
        "validation: 2 records",
        "train_images: 5 records",
        "motion, pixels",
        "seconds",
    ):
        assert text in done.stdout
    assert all(f"  {name} " in done.stdout for name in CONDITIONS)
    assert Image.open(tmp_path / "sheet.png").height == 2 * (2 * LABEL_HEIGHT + 16)


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "is not a prepared data set"), (("--split", "tset"), "no split 'tset'")]
)
def test_missing_data_sets_and_splits_are_errors(folder, tmp_path, arguments, message):
    done = inspect(folder if arguments else tmp_path, *arguments, "--out", tmp_path / "sheet.png")
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "sheet.png").exists()
