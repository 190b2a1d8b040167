"""Previews of conditions: maps as RGB images, and a clip beside all its conditions."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Complex, Float, UInt8

from vcjax.conditions.base import ClipShape, Condition
from vcjax.video.clip import Clip

ARROW_CELLS = 8  # cells of the grid of arrows, along the shorter side
MIN_ARROW = 0.1  # arrows shorter than this fraction of the clip's longest are left out
BARBS = 0.4 * np.exp(np.array([-2.6j, 2.6j]))  # tip to ends of the barbs, for an arrow along x of length 1
LABEL_HEIGHT = 16
LABEL_WIDTH = 84  # pixels of the longest condition name in Pillow's default font


def to_rgb(values: Float[np.ndarray, "F H W C"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Convert maps in [0, 1] of 1 or 3 channels to RGB frames of the clip's size."""
    frames = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return resize_to_clip(np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3))), shape)


def resize_to_clip(frames: UInt8[np.ndarray, "F H W 3"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Resize and crop frames to the clip's size."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, shape.height, shape.width, rule="map")


def draw_arrows(
    field: Float[np.ndarray, "F H W 2"], shape: ClipShape, over: UInt8[np.ndarray, "_ h w 3"] | None = None
) -> UInt8[np.ndarray, "F h w 3"]:
    """Draw a motion field as arrows, one for the longest vector of each cell.

    Colour is direction. The clip's longest vector is drawn as long as a cell.

    Args:
        field: motion field.
        shape: shape of the clip.
        over: images whose first, darkened, is the background; black without it.
    """
    from PIL import Image, ImageDraw

    background = np.zeros((shape.height, shape.width, 3), np.uint8) if over is None else over[0] // 2
    side = max(min(shape.height, shape.width) // ARROW_CELLS, 1)
    vectors = _longest_of_cells(field[..., 0] + 1j * field[..., 1], shape.height // side, shape.width // side)
    vectors = vectors / max(np.abs(vectors).max(), np.finfo(np.float32).tiny)
    images = [Image.fromarray(background) for _ in field]
    for frame, row, column in np.argwhere(np.abs(vectors) >= MIN_ARROW):
        vector = vectors[frame, row, column]
        centre = side * (column + 0.5 + 1j * (row + 0.5))
        tip = centre + side * vector / 2
        draw = ImageDraw.Draw(images[frame])
        for end in (tip - side * vector, *(tip + side * vector * BARBS)):
            draw.line([tip.real, tip.imag, end.real, end.imag], fill=_hue(complex(vector)))
    return np.stack([np.asarray(image) for image in images])


def _longest_of_cells(
    vectors: Complex[np.ndarray, "F H W"], rows: int, columns: int
) -> Complex[np.ndarray, "F rows columns"]:
    """Return the longest vector of each cell of a grid; a mean would vanish where most vectors are zero."""
    cells = np.zeros((len(vectors), rows, columns), vectors.dtype)
    for row, of_row in enumerate(np.array_split(vectors, rows, axis=1)):
        for column, cell in enumerate(np.array_split(of_row, columns, axis=2)):
            cell = cell.reshape(len(cell), -1)
            longest = np.abs(cell).argmax(-1)
            cells[:, row, column] = cell[np.arange(len(cell)), longest]
    return cells


def _hue(vector: complex) -> tuple[int, ...]:
    """Return the colour of a direction."""
    thirds = np.array([0, 1 / 3, 2 / 3])  # hues of red, green and blue
    distance = np.abs((np.angle(vector) / (2 * np.pi) - thirds + 0.5) % 1 - 0.5)
    return tuple((255 * np.clip(2 - 6 * distance, 0, 1)).astype(int).tolist())


def previews(
    conditions: Mapping[str, Condition], arrays: Mapping[str, np.ndarray], shape: ClipShape
) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
    """Return RGB previews of conditions, by name.

    Args:
        conditions: the model's conditions.
        arrays: arrays of some of them, as the model takes them.
        shape: shape of the clip.
    """
    images = {}
    for name, array in arrays.items():
        below = conditions[name].drawn_over
        over = {"over": conditions[below].preview(arrays[below], shape)} if below in arrays else {}
        images[name] = conditions[name].preview(array, shape, **over)
    return images


def vector_image(values: np.ndarray, shape: ClipShape) -> np.ndarray:
    """Return a vector as a grey image `[1, H, W, 3]` of squares, row by row, black at its minimum."""
    side = int(np.ceil(np.sqrt(values.size)))
    square = np.full(side * side, values.min(), np.float32)
    square[: values.size] = values.ravel()
    span = max(float(np.ptp(square)), np.finfo(np.float32).tiny)
    square = ((square - square.min()) / span * 255).astype(np.uint8).reshape(side, side)
    rows = np.arange(shape.height) * side // shape.height
    columns = np.arange(shape.width) * side // shape.width
    return np.repeat(square[rows][:, columns][None, ..., None], 3, axis=-1)


def side_by_side(columns: Mapping[str, UInt8[np.ndarray, "F H W 3"]], fps: float) -> Clip:
    """Join frames of one size side by side, below their names; shorter ones repeat their last frame."""
    from PIL import Image, ImageDraw

    count = max(len(frames) for frames in columns.values())
    panels = []
    for name, frames in columns.items():
        _, height, width, _ = frames.shape
        label = Image.new("RGB", (max(width, LABEL_WIDTH), LABEL_HEIGHT))
        ImageDraw.Draw(label).text((2, 2), name, fill="white")
        panel = np.zeros((count, height + LABEL_HEIGHT, label.width, 3), np.uint8)
        panel[:, :LABEL_HEIGHT] = np.asarray(label)
        padded = np.concatenate([frames, np.repeat(frames[-1:], count - len(frames), axis=0)])
        left = (label.width - width) // 2
        panel[:, LABEL_HEIGHT:, left : left + width] = padded
        panels.append(panel)
    return Clip(np.concatenate(panels, axis=2), fps)
