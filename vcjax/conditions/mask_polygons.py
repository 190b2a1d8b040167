"""A hidden region that is drawn: polygons at times of the clip, interpolated between, or lines painted at times.

A description is a JSON file or a dictionary; `size` is the width and height of the drawing, as for strokes:

```json
{"size": [64, 64], "keys": [
  {"time": 0, "polygon": [[4, 4], [28, 4], [28, 28], [4, 28]]},
  {"time": 1, "polygon": [[36, 4], [60, 4], [60, 28], [36, 28]]}
]}
```

A painted key has `lines` in place of a polygon, and holds until the next one:

```json
{"size": [64, 64], "keys": [
  {"time": 0, "lines": [{"points": [[8, 20], [40, 20]], "width": 12}, {"points": [[24, 20]], "width": 6, "erase": true}]}
]}
```
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vcjax.conditions.drawing import Drawing, Number, Point, check_points, inside
from vcjax.errors import BadInput
from vcjax.input_files import read_json
from vcjax.settings import typed

TIME_TOLERANCE = 1e-9  # of the clip: a key at the time of a frame holds in it, whatever the rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrushLine:
    """A line of a round brush.

    Attributes:
        points: points of the line; one is a dot.
        width: diameter of the brush.
        erase: whether it shows what lines before it hide.
    """

    points: tuple[Point, ...]
    width: Number
    erase: bool = False

    def __post_init__(self) -> None:
        check_points("points of a brush line", self.points)
        if not 0 < self.width < np.inf:
            raise BadInput(f"the width of a brush line must be above 0, not {self.width}")

    def covers(self, drawing: Drawing, pixels: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
        """Return which pixels lie within half a width of the line."""
        height, width, _ = pixels.shape
        points = drawing.to_clip(np.array(self.points, float), height, width)
        radius = self.width * drawing.scale(height, width) / 2
        covered = np.linalg.norm(pixels - points[0], axis=-1) <= radius
        for start, step in zip(points, np.diff(points, axis=0), strict=False):
            along = np.clip((pixels - start) @ step / max(step @ step, np.finfo(float).tiny), 0, 1)
            covered |= np.linalg.norm(pixels - start - along[..., None] * step, axis=-1) <= radius
        return covered


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskKey:
    """A hidden region at a time: a polygon, or lines.

    Attributes:
        time: time from 0, the first frame, to 1, the last one.
        polygon: corners of the hidden region.
        lines: lines that hide, or show again, from the first on.
    """

    time: Number
    polygon: tuple[Point, ...] | None = None
    lines: tuple[BrushLine, ...] | None = None

    def __post_init__(self) -> None:
        if (self.polygon is None) == (self.lines is None):
            raise BadInput("a key of a mask must have either a polygon or lines")
        if self.polygon is not None:
            check_points("a polygon of a mask", self.polygon, at_least=3)
        if not 0 <= self.time <= 1:
            raise BadInput(f"time of a mask must be from 0 to 1, not {self.time}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskPolygons:
    """A hidden region with keys at times, which rests before the first and after the last.

    The corners of polygons move linearly between keys. Lines hold until the next key.

    Attributes:
        size: width and height of the drawing.
        keys: polygons of as many corners each, or lines, at increasing times.
    """

    size: tuple[Number, ...]
    keys: tuple[MaskKey, ...]

    def __post_init__(self) -> None:
        Drawing(self.size)
        if len({None if key.polygon is None else len(key.polygon) for key in self.keys}) != 1:
            raise BadInput(
                "keys of a mask must be polygons of as many corners each, or all lines, and at least one"
            )
        if (np.diff([key.time for key in self.keys]) <= 0).any():
            raise BadInput(f"times of a mask must increase, not {[key.time for key in self.keys]}")

    def hidden(self, frames: int, height: int, width: int) -> Bool[np.ndarray, "F H W"]:
        """Return which pixels are hidden in each frame of a clip."""
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
        times, now = np.array([key.time for key in self.keys], float), np.linspace(0, 1, frames)
        if self.keys[0].polygon is None:
            painted = np.stack([self._painted(key, pixels) for key in self.keys])
            return painted[np.maximum(np.searchsorted(times, now + TIME_TOLERANCE, side="right") - 1, 0)]
        corners = np.array([key.polygon for key in self.keys], float)
        moved = np.stack(
            [
                np.interp(now, times, corners[:, corner, axis])
                for corner in range(corners.shape[1])
                for axis in range(2)
            ],
            -1,
        ).reshape(frames, -1, 2)
        drawing = Drawing(self.size)
        return np.stack([inside(drawing.to_clip(polygon, height, width), pixels) for polygon in moved])

    def _painted(self, key: MaskKey, pixels: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
        hidden = np.zeros(pixels.shape[:2], bool)
        for line in key.lines or ():
            hidden[line.covers(Drawing(self.size), pixels)] = not line.erase
        return hidden


def as_mask_polygons(source: Any) -> MaskPolygons | None:
    """Return the polygons of a .json file or of a dictionary; None for any other source."""
    if isinstance(source, Mapping):
        return typed(MaskPolygons, source, "hide")
    if isinstance(source, str | PathLike) and pathlib.Path(source).suffix.lower() == ".json":
        return typed(MaskPolygons, read_json(source), f"{source}: hide")
    return None
