"""Random inpainting masks with the distribution of the released model's training.

70 % irregular strokes, 20 % rectangles, 10 % one half of the frame, drawn on a canvas of 512x512 and sampled
at the size of the condition by nearest neighbour. Kinds, counts and ranges are those of the released code
(ModelScope's wheel, `multi_modal/videocomposer/ops/random_mask.py`).

Every random choice is a function of a vector of uniform numbers, so that NumPy (data loading, inference) and
JAX (inside a compiled training step) draw the same masks from the same numbers.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

CANVAS = 512  # pixels a side
STROKES, RECTANGLES = 0.7, 0.2  # probability of each kind; a half of the frame otherwise
MAX_STROKES, MAX_SEGMENTS, MAX_BOXES = 5, 5, 4
ANGLES = 4  # a segment's angle is 0.01, 1.01, 2.01 or 3.01 rad, mirrored in every second stroke
SEGMENT_LENGTH = (10, 210)  # half-open ranges, in pixels of the canvas
THICKNESS = (5, 105)
SIDE = (30, 150)
MARGIN = 10  # of rectangles from the border
HALVES = ((0, 0, 512, 256), (0, 256, 512, 512), (0, 0, 256, 512), (256, 0, 512, 512))  # x0, y0, x1, y1

_PER_STROKE = 3 + 3 * MAX_SEGMENTS
NUMBERS = 2 + MAX_STROKES * _PER_STROKE + 4 * MAX_BOXES + 2  # uniform numbers that one mask takes


class Shapes(NamedTuple):
    """What a mask hides, in pixels of the canvas.

    Attributes:
        segments: thick lines with round ends, `[N, 5]`: x0, y0, x1, y1, radius; a radius below 0 draws
            nothing.
        boxes: `[M, 4]`: x0, y0, x1, y1, the last two exclusive.
    """

    segments: Any
    boxes: Any


def random_mask(seed: int, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Draw the mask of a seed with NumPy; True hides.

    Args:
        seed: it decides everything.
        size: height and width in pixels.
    """
    shapes = shapes_of(np.random.default_rng(seed).random(NUMBERS), np)
    y, x = canvas_positions(size)
    hidden = np.zeros(size, bool)
    for x0, y0, x1, y1, radius in shapes.segments[shapes.segments[:, 4] >= 0]:
        rows = _within(y, min(y0, y1) - radius, max(y0, y1) + radius)
        columns = _within(x, min(x0, x1) - radius, max(x0, x1) + radius)
        distance = _distance(x[columns], y[rows, None], (x0, y0, x1, y1), np)
        hidden[rows, columns] |= distance <= radius
    for x0, y0, x1, y1 in shapes.boxes:
        hidden[_within(y, y0, y1 - 1), _within(x, x0, x1 - 1)] = True
    return hidden


def traced_mask(uniform: Float[Any, "NUMBERS"], size: tuple[int, int]) -> Bool[Any, "H W"]:
    """Draw the mask of `NUMBERS` uniform numbers with JAX, under `jit` and `vmap`; True hides.

    Args:
        uniform: numbers in [0, 1).
        size: height and width in pixels.
    """
    import jax.numpy as jnp

    shapes = shapes_of(uniform, jnp)
    y, x = (jnp.asarray(positions) for positions in canvas_positions(size))
    segments = shapes.segments[:, :, None, None]
    distance = _distance(x, y[:, None], tuple(segments[:, i] for i in range(4)), jnp)
    x0, y0, x1, y1 = (shapes.boxes[:, i, None, None] for i in range(4))
    inside = (x >= x0) & (x < x1) & (y[:, None] >= y0) & (y[:, None] < y1)
    return (distance <= segments[:, 4]).any(0) | inside.any(0)


def shapes_of(uniform: Float[Any, "NUMBERS"], xp: Any) -> Shapes:
    """Return the shapes that uniform numbers stand for.

    Args:
        uniform: numbers in [0, 1).
        xp: `numpy` or `jax.numpy`.
    """
    kind, count = uniform[0], uniform[1]
    strokes = uniform[2 : 2 + MAX_STROKES * _PER_STROKE].reshape(MAX_STROKES, _PER_STROKE)
    boxes = uniform[2 + MAX_STROKES * _PER_STROKE : -2].reshape(MAX_BOXES, 4)
    segments = _segments(strokes, count, xp)
    radius = xp.where(kind < STROKES, segments[:, 4], -1.0)
    segments = xp.concatenate([segments[:, :4], radius[:, None]], 1)
    rectangles = _rectangles(boxes, uniform[-2], xp)
    half = xp.asarray(HALVES, rectangles.dtype)[_integer(uniform[-1], 0, len(HALVES), xp)]
    first = xp.arange(MAX_BOXES)[:, None] == 0
    drawn = xp.where(kind < STROKES + RECTANGLES, rectangles, xp.where(first, half, 0.0))
    return Shapes(segments, xp.where(kind < STROKES, 0.0, drawn))


def canvas_positions(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the canvas that nearest-neighbour sampling at `size` selects."""
    rows, columns = (np.floor(np.arange(n) * (CANVAS / n)).astype(np.float32) for n in size)
    return rows, columns


def _segments(strokes: Any, count: Any, xp: Any) -> Any:
    """Return `[MAX_STROKES * MAX_SEGMENTS, 5]`: each stroke wanders on from where its last segment ended."""
    drawn_strokes = _integer(count, 1, MAX_STROKES + 1, xp)
    index = xp.arange(MAX_STROKES)
    x, y = (_integer(strokes[:, i], 0, CANVAS, xp) for i in (0, 1))
    drawn_segments = _integer(strokes[:, 2], 1, MAX_SEGMENTS + 1, xp)
    segments = []
    for i in range(MAX_SEGMENTS):
        first, second, third = (strokes[:, 3 + 3 * i + j] for j in range(3))
        angle = 0.01 + _integer(first, 0, ANGLES, xp)
        angle = xp.where(index % 2 == 0, 2 * np.pi - angle, angle)
        length = _integer(second, *SEGMENT_LENGTH, xp)
        thickness = _integer(third, *THICKNESS, xp)
        end_x, end_y = (
            xp.clip((start + length * turn(angle)).astype(xp.int32), 0, CANVAS)
            for start, turn in ((x, xp.sin), (y, xp.cos))
        )
        drawn = (index < drawn_strokes) & (i < drawn_segments)
        radius = xp.where(drawn, thickness / 2, -1.0)
        segments.append(xp.stack([x, y, end_x, end_y, radius], -1))
        x, y = end_x, end_y
    return xp.concatenate(segments)


def _rectangles(boxes: Any, count: Any, xp: Any) -> Any:
    """Return `[MAX_BOXES, 4]`; boxes beyond the drawn count are empty."""
    width, height = (_integer(boxes[:, i], *SIDE, xp) for i in (0, 1))
    x, y = (
        _integer(boxes[:, i], MARGIN, CANVAS - MARGIN - side + 1, xp) for i, side in ((2, width), (3, height))
    )
    drawn = xp.arange(MAX_BOXES)[:, None] < _integer(count, 1, MAX_BOXES + 1, xp)
    return xp.where(drawn, xp.stack([x, y, x + width, y + height], -1), 0.0)


def _integer(uniform: Any, low: Any, high: Any, xp: Any) -> Any:
    """Return the integer in [low, high) that a uniform number stands for."""
    return (low + xp.floor(uniform * (high - low))).astype(xp.int32)


def _distance(x: Any, y: Any, segment: tuple[Any, Any, Any, Any], xp: Any) -> Any:
    """Return the distance of each position from a segment."""
    x0, y0, x1, y1 = segment
    along_x, along_y = x1 - x0, y1 - y0
    squared = xp.maximum(along_x * along_x + along_y * along_y, 1e-6)
    share = xp.clip(((x - x0) * along_x + (y - y0) * along_y) / squared, 0, 1)
    return xp.hypot(x - x0 - share * along_x, y - y0 - share * along_y)


def _within(positions: np.ndarray, low: float, high: float) -> slice:
    """Return the slice of increasing positions in [low, high]."""
    return slice(int(np.searchsorted(positions, low)), int(np.searchsorted(positions, high, side="right")))
