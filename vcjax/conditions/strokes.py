"""Motion drawn by hand: strokes along which regions move, in front of a camera that pans and zooms.

A description is a JSON file or a dictionary:

```json
{
  "size": [64, 64],
  "strokes": [
    {"points": [[12, 40], [50, 40]], "region": [[4, 32], [20, 32], [20, 48], [4, 48]]},
    {"points": [[32, 8], [32, 20], [44, 20]], "times": [0, 0.5, 1], "width": 12}
  ],
  "camera": {"pan": [8, 0], "zoom": 1.2}
}
```

`size` is the width and height of the drawing; everything else is in its pixels, x to the right, y down, (0,
0) its top left corner. For a clip of another size the description is scaled like an image: it covers the
clip, and is cropped at the centre. Of an SVG file the paths are used (see `vcjax.conditions.svg`).
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from vcjax.conditions.base import FilePath
from vcjax.conditions.svg import parse_svg
from vcjax.errors import BadInput
from vcjax.settings import typed

Number = float | int
Point = tuple[Number, ...]  # x, y

DEFAULT_WIDTH = 0.25  # of a stroke, relative to the shorter side of the drawing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stroke:
    """A region that is translated along a line in frame coordinates, independent of the camera.

    Attributes:
        points: points of the line, at least two.
        times: time of each point, increasing, from 0 (first frame) to 1 (last frame); the region rests before
            the first and after the last. None moves along the line at constant speed during the clip.
        width: diameter of the disc that moves; a quarter of the drawing's shorter side where None.
        region: polygon that moves instead of a disc, at its position in the first frame.
    """

    points: tuple[Point, ...]
    times: tuple[Number, ...] | None = None
    width: Number | None = None
    region: tuple[Point, ...] | None = None

    def __post_init__(self) -> None:
        _check_points("points of a stroke", self.points, at_least=2)
        if self.region is not None:
            _check_points("the region of a stroke", self.region, at_least=3)
            if self.width is not None:
                raise BadInput("a stroke must have a region or a width, not both")
        if self.width is not None and not 0 < self.width < np.inf:
            raise BadInput(f"the width of a stroke must be above 0, not {self.width}")
        if self.times is not None:
            if len(self.times) != len(self.points):
                raise BadInput(
                    f"a stroke of {len(self.points)} points needs as many times, not {len(self.times)}"
                )
            times = np.array(self.times)
            if not (np.all(times >= 0) and np.all(times <= 1) and np.all(np.diff(times) > 0)):
                raise BadInput(
                    "times of a stroke must increase, from 0 at the earliest to 1 at the latest, "
                    f"not {list(self.times)}"
                )

    def position(self, time: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 2"]:
        """Return the position on the line at times from 0 to 1, in pixels of the drawing."""
        points = np.array(self.points, float)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        times = self.times or np.cumsum([0, *steps]) / (steps.sum() or 1)  # a line of length 0 does not move
        return np.stack([np.interp(time, times, points[:, axis]) for axis in range(2)], -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """Camera motion from the first frame to the last, at a constant rate.

    Attributes:
        pan: translation of the camera, in pixels of the first frame; a pan to the right moves the scene to
            the left.
        zoom: magnification of the last frame relative to the first, about the centre of the frame.
    """

    pan: Point = (0.0, 0.0)
    zoom: Number = 1.0

    def __post_init__(self) -> None:
        _check_points("pan of the camera", (self.pan,))
        if not 0 < self.zoom < np.inf:
            raise BadInput(f"zoom of the camera must be above 0, not {self.zoom}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strokes:
    """Motion of strokes and camera; later strokes cover earlier ones, and the rest moves with the camera.

    ```python
    strokes = vcjax.strokes("strokes.json")
    strokes.field(16, 64, 64)     # [16, 64, 64, 2], pixels per frame
    ```

    Attributes:
        size: width and height of the drawing.
        strokes: strokes, from back to front.
        camera: camera motion.
    """

    size: tuple[Number, ...]
    strokes: tuple[Stroke, ...] = ()
    camera: Camera = dataclasses.field(default_factory=Camera)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(0 < side < np.inf for side in self.size):
            raise BadInput(f"size of strokes must be a width and a height above 0, not {list(self.size)}")

    def tracks(self, frames: int, height: int, width: int) -> Float[np.ndarray, "S F 2"]:
        """Return the position (x, y) of each stroke in each frame of a clip.

        Pixel coordinates; (0, 0) is the centre of the top left pixel.
        """
        time = np.linspace(0, 1, frames)
        tracks = [self._to_clip(stroke.position(time), height, width) for stroke in self.strokes]
        return np.reshape(tracks, (len(self.strokes), frames, 2))

    def field(self, frames: int, height: int, width: int) -> Float32[np.ndarray, "F H W 2"]:
        """Return the displacement of each pixel since the previous frame; zero in the first frame.

        Args:
            frames: number of frames of the clip.
            height: height of the clip in pixels.
            width: width of the clip in pixels.
        """
        rows, columns = np.mgrid[:height, :width]
        pixels = np.stack([columns, rows], -1).astype(float)
        tracks = self.tracks(frames, height, width)
        field = np.zeros((frames, height, width, 2), np.float32)
        for now in range(1, frames):
            field[now] = self._camera_field(now, frames, pixels)
            for stroke, track in zip(self.strokes, tracks, strict=True):
                in_first_frame = pixels - (track[now] - track[0])
                field[now, self._contains(stroke, track[0], in_first_frame)] = track[now] - track[now - 1]
        return field

    def _camera_field(
        self, now: int, frames: int, pixels: Float[np.ndarray, "H W 2"]
    ) -> Float[np.ndarray, "H W 2"]:
        """Return the motion of the scene in frame `now`.

        A point q of the first frame, relative to the centre, is seen at p = z (q - c), with zoom z and pan c.
        """
        height, width, _ = pixels.shape
        zoom_before, zoom = self.camera.zoom ** (np.array([now - 1, now]) / (frames - 1))
        pan = np.array(self.camera.pan) * self._scale(height, width) / (frames - 1)
        return (pixels - _centre(height, width)) * (1 - zoom_before / zoom) - zoom_before * pan

    def _contains(
        self, stroke: Stroke, start: Float[np.ndarray, "2"], pixels: Float[np.ndarray, "H W 2"]
    ) -> Bool[np.ndarray, "H W"]:
        """Return which positions in the first frame belong to a stroke that begins at `start`."""
        height, width, _ = pixels.shape
        if stroke.region is not None:
            return _inside(self._to_clip(np.array(stroke.region, float), height, width), pixels)
        diameter = (stroke.width or DEFAULT_WIDTH * min(self.size)) * self._scale(height, width)
        return np.linalg.norm(pixels - start, axis=-1) <= diameter / 2

    def _scale(self, height: int, width: int) -> float:
        return max(width / self.size[0], height / self.size[1])

    def _to_clip(self, points: Float[np.ndarray, "n 2"], height: int, width: int) -> Float[np.ndarray, "n 2"]:
        """Convert points of the drawing to pixels of a clip, relative to the centre of its top left pixel."""
        return (points - np.array(self.size) / 2) * self._scale(height, width) + _centre(height, width)


def strokes(source: FilePath | Mapping[str, Any]) -> Strokes:
    """Read strokes for the motion condition from a .json or .svg file, or from a dictionary.

    ```python
    composer(image="first.png", motion=vcjax.strokes("strokes.json"))
    vcjax.strokes({"size": [64, 64], "strokes": [{"points": [[12, 40], [50, 40]]}]})
    ```

    The format is described in the docstring of this module.

    Raises:
        BadInput: the file cannot be read, or the description is not valid.
    """
    if isinstance(source, Mapping):
        return typed(Strokes, source, "strokes")
    parse = PARSERS.get(pathlib.Path(source).suffix.lower())
    if parse is None:
        raise BadInput(f"{source}: strokes must be a file of kind {' or '.join(PARSERS)}")
    try:
        text = pathlib.Path(source).read_text(encoding="utf-8")
        return typed(Strokes, parse(text), "the description")
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not text in UTF-8") from error
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error


def as_strokes(source: Any) -> Strokes | None:
    """Return strokes, or those of a .json or .svg file or of a dictionary; None for any other source."""
    if isinstance(source, Strokes):
        return source
    if isinstance(source, Mapping):
        return strokes(source)
    if isinstance(source, str | PathLike) and pathlib.Path(source).suffix.lower() in PARSERS:
        return strokes(source)
    return None


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=float)  # integers too large for a float become infinite
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"strokes must be valid json, but: {error}") from error


PARSERS = {".json": _parse_json, ".svg": parse_svg}


def _check_points(what: str, points: tuple[Point, ...], at_least: int = 1) -> None:
    if len(points) < at_least:
        raise BadInput(f"{what} must be at least {at_least}, not {len(points)}")
    for point in points:
        if len(point) != 2 or not np.isfinite(point).all():
            raise BadInput(f"{what} must be finite numbers x, y, not {list(point)}")


def _centre(height: int, width: int) -> Float[np.ndarray, "2"]:
    """Return the centre of a frame, relative to the centre of its top left pixel."""
    return (np.array([width, height]) - 1) / 2


def _inside(polygon: Float[np.ndarray, "n 2"], pixels: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Return which pixels lie in a polygon: a ray to the right crosses its border an odd number of times."""
    x, y = np.moveaxis(pixels, -1, 0)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside
