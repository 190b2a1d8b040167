"""What is in a prepared data set: how many records, how large, how things move in them, how long they are, and a few to look at."""

import dataclasses
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vcjax.conditions.motion import Motion
from vcjax.conditions.preview import LABEL_HEIGHT, previews, side_by_side
from vcjax.data.records import FORMAT, NAME, Prepared

OTHER = "other"
PARTS = {"mean": "latents", "deviation": "latents"}  # what fields that are no condition's are counted as
CELLS = 8  # a side, in which motion is looked at; see `speed`
BINS = 10
BAR = 40  # characters of a histogram's longest bar
LETTER_WIDTH = 6  # pixels, of Pillow's own font


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the records of one split hold.

    Attributes:
        count: records in the split.
        disk: bytes of its files.
        looked_at: records that the rest is of, evenly spread over the split.
        sizes: mean bytes of a record by what they hold: each condition, `latents`, and `other`.
        seconds: length of each clip; of single images none.
        speeds: how fast each clip moves, in pixels a frame (see `speed`); none where motion is not stored.
    """

    count: int
    disk: int
    looked_at: int
    sizes: Mapping[str, float]
    seconds: list[float]
    speeds: list[float]


def summarise(dataset: Prepared, split: str, most: int) -> Summary:
    """Look at the records of a split, at `most` of them.

    Raises:
        BadInput: no such split, or a missing file.
    """
    motion = [name for name, condition in dataset.conditions.items() if isinstance(condition, Motion)]
    records = dataset.split(split, only=motion)
    chosen = spread(len(records), most)
    sizes: dict[str, float] = {}
    seconds, speeds = [], []
    for index in chosen:
        for part, size in _sizes(records.raw(index)).items():
            sizes[part] = sizes.get(part, 0.0) + size / len(chosen)
        record = records[index]
        if len(record["mean"]) > 1:
            seconds.append(len(record["mean"]) / record["fps"])
            speeds += [speed(record["conditions"][name]) for name in motion]
    disk = sum(path.stat().st_size for path in dataset.folder.glob(f"{NAME}-{split}.{FORMAT}-*"))
    return Summary(len(records), disk, len(chosen), sizes, seconds, speeds)


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers below `count`, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def speed(motion: Float32[np.ndarray, "F H W 2"]) -> float:
    """How fast a clip moves, pixels a frame: of each of 8x8 cells the fastest vector, and their mean over all frames but the first.

    Vectors may stand at the centres of their blocks alone, so a mean over pixels would say little.
    """
    lengths = np.linalg.norm(motion[1:], axis=-1)
    rows = np.array_split(lengths, CELLS, axis=1)
    return float(np.mean([cell.max((1, 2)) for row in rows for cell in np.array_split(row, CELLS, axis=2)]))


def histogram(values: Sequence[float | int]) -> list[str]:
    """Lines of text: a bar for each value where there are few, else for each of ten ranges from the least to the greatest."""
    found, counts = np.unique(np.round(values, 2), return_counts=True)
    labels = [f"{value:20.2f}" for value in found]
    if len(found) > BINS:
        counts, edges = np.histogram(values, BINS)
        labels = [f"{low:8.2f} to {high:8.2f}" for low, high in itertools.pairwise(edges)]
    bars = ["#" * round(BAR * count / counts.max()) for count in counts]
    return [f"{label} {count:7d} {bar}" for label, count, bar in zip(labels, counts, bars, strict=True)]


def contact_sheet(dataset: Prepared, split: str, most: int) -> UInt8[np.ndarray, "Y X 3"]:
    """A few records of a split, evenly spread: a row each, of all its conditions in the middle frame, below its caption."""
    records = dataset.split(split)
    rows = []
    for index in spread(len(records), most):
        record = records[index]
        arrays = {n: dataset.conditions[n].at_load(m, index) for n, m in record["conditions"].items()}
        frames = side_by_side(previews(dataset.conditions, arrays, dataset.shape), dataset.shape.fps).frames
        rows.append(_below(record["caption"], frames[len(frames) // 2]))
    return np.concatenate(rows)


def _below(caption: str, picture: UInt8[np.ndarray, "Y X 3"]) -> UInt8[np.ndarray, "y X 3"]:
    """The picture below a line of text."""
    from PIL import Image, ImageDraw

    width = picture.shape[1]
    line = Image.new("RGB", (width, LABEL_HEIGHT), "white")
    text = textwrap.shorten(caption, width // LETTER_WIDTH, placeholder=" ...")
    ImageDraw.Draw(line).text((2, 2), text, fill="black")
    return np.concatenate([np.asarray(line), picture])


def _sizes(data: bytes) -> dict[str, int]:
    """Bytes of a record by what they hold."""
    from tensorflow_datasets.proto import tf_example_pb2

    messages: Any = tf_example_pb2  # whose classes are made when it is imported
    sizes: dict[str, int] = {}
    for field, value in messages.Example.FromString(data).features.feature.items():
        first, *rest = field.split("/")
        part = rest[0] if rest else PARTS.get(first, OTHER)
        sizes[part] = sizes.get(part, 0) + value.ByteSize()
    return sizes
