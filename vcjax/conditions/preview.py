"""Conditions to look at: maps as pictures, and a clip with all its conditions side by side."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Complex, Float, UInt8

from vcjax.conditions.base import ClipShape, Condition
from vcjax.video.clip import Clip

CELLS = 8  # in which arrows stand, along the shorter side
SLOWEST_ARROW = 0.1  # share of the clip's fastest; what is slower is left out
BARBS = 0.4 * np.exp(np.array([-2.6j, 2.6j]))  # of an arrow whose shaft is 1
LABEL_HEIGHT = 16
LABEL_WIDTH = 84  # of the longest name in Pillow's own font


def as_picture(values: Float[np.ndarray, "F H W C"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Maps in [0, 1] of 1 or 3 channels as frames of the clip's size."""
    frames = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return fitted(np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3))), shape)


def fitted(frames: UInt8[np.ndarray, "F H W 3"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Frames of any size at the clip's size."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, shape.height, shape.width, rule="map")


def arrows(
    field: Float[np.ndarray, "F H W 2"], shape: ClipShape, over: UInt8[np.ndarray, "_ h w 3"] | None = None
) -> UInt8[np.ndarray, "F h w 3"]:
    """A motion field as arrows over a picture (the first, darkened), or over black: in each cell its fastest vector.

    Colour is direction; the clip's fastest vector is as long as a cell.
    """
    from PIL import Image, ImageDraw

    ground = np.zeros((shape.height, shape.width, 3), np.uint8) if over is None else over[0] // 2
    side = max(min(shape.height, shape.width) // CELLS, 1)
    vectors = _fastest_of_cells(field[..., 0] + 1j * field[..., 1], shape.height // side, shape.width // side)
    vectors = vectors / max(np.abs(vectors).max(), np.finfo(np.float32).tiny)
    pictures = [Image.fromarray(ground) for _ in field]
    for frame, row, column in np.argwhere(np.abs(vectors) >= SLOWEST_ARROW):
        vector = vectors[frame, row, column]
        centre = side * (column + 0.5 + 1j * (row + 0.5))
        tip = centre + side * vector / 2
        draw = ImageDraw.Draw(pictures[frame])
        for end in (tip - side * vector, *(tip + side * vector * BARBS)):
            draw.line([tip.real, tip.imag, end.real, end.imag], fill=_colour(complex(vector)))
    return np.stack([np.asarray(picture) for picture in pictures])


def _fastest_of_cells(
    vectors: Complex[np.ndarray, "F H W"], rows: int, columns: int
) -> Complex[np.ndarray, "F rows columns"]:
    """Of each cell of a grid the longest vector: fields may be zero but for a few pixels."""
    cells = np.zeros((len(vectors), rows, columns), vectors.dtype)
    for row, of_row in enumerate(np.array_split(vectors, rows, axis=1)):
        for column, cell in enumerate(np.array_split(of_row, columns, axis=2)):
            cell = cell.reshape(len(cell), -1)
            longest = np.abs(cell).argmax(-1)
            cells[:, row, column] = cell[np.arange(len(cell)), longest]
    return cells


def _colour(vector: complex) -> tuple[int, ...]:
    """The direction as hue."""
    thirds = np.array([0, 1 / 3, 2 / 3])  # where red, green and blue are brightest
    away = np.abs((np.angle(vector) / (2 * np.pi) - thirds + 0.5) % 1 - 0.5)
    return tuple((255 * np.clip(2 - 6 * away, 0, 1)).astype(int).tolist())


def previews(
    conditions: Mapping[str, Condition], arrays: Mapping[str, np.ndarray], shape: ClipShape
) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
    """Conditions' arrays, as the model takes them, as pictures to look at, by name."""
    pictures = {}
    for name, array in arrays.items():
        below = conditions[name].drawn_over
        over = {"over": conditions[below].preview(arrays[below], shape)} if below in arrays else {}
        pictures[name] = conditions[name].preview(array, shape, **over)
    return pictures


def fingerprint(values: np.ndarray, shape: ClipShape) -> np.ndarray:
    """A vector as one grey picture `[1, H, W, 3]` of little squares, row by row, from its least to its greatest."""
    side = int(np.ceil(np.sqrt(values.size)))
    square = np.full(side * side, values.min(), np.float32)
    square[: values.size] = values.ravel()
    spread = max(float(np.ptp(square)), np.finfo(np.float32).tiny)
    square = ((square - square.min()) / spread * 255).astype(np.uint8).reshape(side, side)
    rows = np.arange(shape.height) * side // shape.height
    columns = np.arange(shape.width) * side // shape.width
    return np.repeat(square[rows][:, columns][None, ..., None], 3, axis=-1)


def side_by_side(columns: Mapping[str, UInt8[np.ndarray, "F H W 3"]], fps: float) -> Clip:
    """Named frames of one size beside one another, each below its name; single pictures are held."""
    from PIL import Image, ImageDraw

    count = max(len(frames) for frames in columns.values())
    panels = []
    for name, frames in columns.items():
        _, height, width, _ = frames.shape
        label = Image.new("RGB", (max(width, LABEL_WIDTH), LABEL_HEIGHT))
        ImageDraw.Draw(label).text((2, 2), name, fill="white")
        panel = np.zeros((count, height + LABEL_HEIGHT, label.width, 3), np.uint8)
        panel[:, :LABEL_HEIGHT] = np.asarray(label)
        held = np.concatenate([frames, np.repeat(frames[-1:], count - len(frames), axis=0)])
        left = (label.width - width) // 2
        panel[:, LABEL_HEIGHT:, left : left + width] = held
        panels.append(panel)
    return Clip(np.concatenate(panels, axis=2), fps)
