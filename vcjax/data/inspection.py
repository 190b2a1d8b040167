"""Statistics of a prepared data set (counts, sizes, motion, lengths), and a contact sheet."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vcjax.conditions.motion import Motion
from vcjax.conditions.preview import LABEL_HEIGHT, MARGIN, previews, side_by_side, wrap
from vcjax.data.records import PreparedDataset
from vcjax.data.shards import FORMAT, NAME

OTHER = "other"
GROUPS = {"mean": "latents", "std": "latents"}  # how fields outside of conditions are counted
CELLS = 8  # cells per side of the grid of `speed`
BINS = 10
BAR_WIDTH = 40  # characters of the longest bar of a histogram
TEXT = "text"  # condition that is shown as its caption


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of one split.

    Attributes:
        count: records in the split.
        disk: total size of its files in bytes.
        examined: number of records, evenly spaced, that the following statistics are of.
        sizes: mean bytes per record of each condition, of `latents`, and of `other` fields.
        seconds: length of each clip; single images are left out.
        speeds: speed of each clip in pixels per frame (see `speed`); empty where motion is not stored.
    """

    count: int
    disk: int
    examined: int
    sizes: Mapping[str, float]
    seconds: list[float]
    speeds: list[float]


def summarise(dataset: PreparedDataset, split: str, max_records: int) -> Summary:
    """Compute statistics of a split from at most `max_records` records, evenly spaced.

    Raises:
        BadInput: no such split, or a missing file.
    """
    motion = [name for name, condition in dataset.conditions.items() if isinstance(condition, Motion)]
    records = dataset.split(split, only=motion)
    chosen = evenly_spaced(len(records), max_records)
    sizes: dict[str, float] = {}
    seconds, speeds = [], []
    for index in chosen:
        for group, size in _sizes(records.raw(index)).items():
            sizes[group] = sizes.get(group, 0.0) + size / len(chosen)
        record = records[index]
        if len(record["mean"]) > 1:
            seconds.append(len(record["mean"]) / record["fps"])
            speeds += [speed(record["conditions"][name]) for name in motion]
    disk = sum(path.stat().st_size for path in dataset.folder.glob(f"{NAME}-{split}.{FORMAT}-*"))
    return Summary(len(records), disk, len(chosen), sizes, seconds, speeds)


def evenly_spaced(count: int, maximum: int) -> list[int]:
    """Return at most `maximum` evenly spaced indices below `count`."""
    return np.linspace(0, count - 1, min(count, maximum)).round().astype(int).tolist()


def speed(motion: Float32[np.ndarray, "F H W 2"]) -> float:
    """Return the speed of a clip in pixels per frame: the longest vector of each of 8x8 cells, averaged.

    The average is over cells and all frames except the first. A mean over pixels would depend on how the
    vectors are rasterised: they may be non-zero at the centres of their blocks only.
    """
    lengths = np.linalg.norm(motion[1:], axis=-1)
    rows = np.array_split(lengths, CELLS, axis=1)
    return float(np.mean([cell.max((1, 2)) for row in rows for cell in np.array_split(row, CELLS, axis=2)]))


def histogram(values: Sequence[float | int]) -> list[str]:
    """Return a histogram as lines of text: a bar per value, or per bin if there are more than ten."""
    found, counts = np.unique(np.round(values, 2), return_counts=True)
    labels = [f"{value:20.2f}" for value in found]
    if len(found) > BINS:
        counts, edges = np.histogram(values, BINS)
        labels = [f"{low:8.2f} to {high:8.2f}" for low, high in itertools.pairwise(edges)]
    bars = ["#" * round(BAR_WIDTH * count / counts.max()) for count in counts]
    return [f"{label} {count:7d} {bar}" for label, count, bar in zip(labels, counts, bars, strict=True)]


def contact_sheet(dataset: PreparedDataset, split: str, max_records: int) -> UInt8[np.ndarray, "Y X 3"]:
    """Return an image with a row per record: its caption above its conditions; records are evenly spaced.

    Conditions are those of the middle frame. Text is shown as the words of the caption.
    """
    records = dataset.split(split)
    rows = []
    for index in evenly_spaced(len(records), max_records):
        record = records[index]
        arrays = {n: dataset.conditions[n].from_stored(m, index) for n, m in record["conditions"].items()}
        caption, shape = record["caption"], dataset.shape
        frames = side_by_side(previews(dataset.conditions, arrays, shape, {TEXT: caption}), shape.fps).frames
        rows.append(_with_caption(caption, frames[len(frames) // 2]))
    return np.concatenate(rows)


def _with_caption(caption: str, image: UInt8[np.ndarray, "Y X 3"]) -> UInt8[np.ndarray, "y X 3"]:
    """Return an image below its caption, in black on white, in as many lines as it needs."""
    from PIL import Image, ImageDraw, ImageFont

    width, font = image.shape[1], ImageFont.load_default()
    lines = wrap(caption, font.getlength, width - 2 * MARGIN)
    strip = Image.new("RGB", (width, LABEL_HEIGHT * len(lines)), "white")
    for row, line in enumerate(lines):
        ImageDraw.Draw(strip).text((MARGIN, MARGIN + LABEL_HEIGHT * row), line, fill="black", font=font)
    return np.concatenate([np.asarray(strip), image])


def _sizes(data: bytes) -> dict[str, int]:
    """Return the bytes of a record by group of fields."""
    from tensorflow_datasets.proto import tf_example_pb2

    messages: Any = tf_example_pb2  # its classes are created at import
    sizes: dict[str, int] = {}
    for field, value in messages.Example.FromString(data).features.feature.items():
        first, *rest = field.split("/")
        group = rest[0] if rest else GROUPS.get(first, OTHER)
        sizes[group] = sizes.get(group, 0) + value.ByteSize()
    return sizes
