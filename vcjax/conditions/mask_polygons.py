"""A hidden region that is drawn: polygons at times of the clip, interpolated between.

A description is a JSON file or a dictionary; `size` is the width and height of the drawing, as for strokes:

```json
{"size": [64, 64], "keys": [
  {"time": 0, "polygon": [[4, 4], [28, 4], [28, 28], [4, 28]]},
  {"time": 1, "polygon": [[36, 4], [60, 4], [60, 28], [36, 28]]}
]}
```
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool

from vcjax.conditions.drawing import Drawing, Number, Point, check_points, inside
from vcjax.conditions.keyframes import read_json
from vcjax.errors import BadInput
from vcjax.settings import typed


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolygonKey:
    """A polygon at a time.

    Attributes:
        time: time from 0, the first frame, to 1, the last one.
        polygon: corners of the hidden region.
    """

    time: Number
    polygon: tuple[Point, ...]

    def __post_init__(self) -> None:
        check_points("a polygon of a mask", self.polygon, at_least=3)
        if not 0 <= self.time <= 1:
            raise BadInput(f"time of a mask must be from 0 to 1, not {self.time}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskPolygons:
    """A hidden region whose corners move linearly between keys, and rest before the first and after the last.

    Attributes:
        size: width and height of the drawing.
        keys: polygons of as many corners each, at increasing times.
    """

    size: tuple[Number, ...]
    keys: tuple[PolygonKey, ...]

    def __post_init__(self) -> None:
        Drawing(self.size)
        if not self.keys or len({len(key.polygon) for key in self.keys}) > 1:
            raise BadInput("keys of a mask must be polygons of as many corners each, at least one polygon")
        if (np.diff([key.time for key in self.keys]) <= 0).any():
            raise BadInput(f"times of a mask must increase, not {[key.time for key in self.keys]}")

    def hidden(self, frames: int, height: int, width: int) -> Bool[np.ndarray, "F H W"]:
        """Return which pixels are hidden in each frame of a clip."""
        times, now = [float(key.time) for key in self.keys], np.linspace(0, 1, frames)
        corners = np.array([key.polygon for key in self.keys], float)
        moved = np.stack(
            [
                np.interp(now, times, corners[:, corner, axis])
                for corner in range(corners.shape[1])
                for axis in range(2)
            ],
            -1,
        ).reshape(frames, -1, 2)
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
        drawing = Drawing(self.size)
        return np.stack([inside(drawing.to_clip(polygon, height, width), pixels) for polygon in moved])


def as_mask_polygons(source: Any) -> MaskPolygons | None:
    """Return the polygons of a .json file or of a dictionary; None for any other source."""
    if isinstance(source, Mapping):
        return typed(MaskPolygons, source, "hide")
    if isinstance(source, str | PathLike) and pathlib.Path(source).suffix.lower() == ".json":
        return typed(MaskPolygons, read_json(source), f"{source}: hide")
    return None
