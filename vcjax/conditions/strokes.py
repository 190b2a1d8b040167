"""Motion that a person draws: strokes along which regions move, over a camera that pans and zooms.

A description is a table, in a json file or in Python:

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

`size` is the width and height of the picture that it is drawn on; everything else is in its pixels, x to the right, y
down, (0, 0) its top left corner. For a clip of another size the description is treated as a picture is: scaled until
it covers the clip, the middle kept. An svg file is taken for its paths (see `vcjax.conditions.svg`).
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
from vcjax.conditions.svg import svg_description
from vcjax.errors import BadInput
from vcjax.settings import typed

Number = float | int
Point = tuple[Number, ...]  # two of them: x, y

USUAL_WIDTH = 0.25  # of a stroke that does not say how wide it is, in shorter sides of the description


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stroke:
    """A region that moves along a line as seen in the frame, whatever the camera does; it neither turns nor grows.

    Attributes:
        points: the line, at least two.
        times: when each point is reached, increasing, 0 in the first frame and 1 in the last; the region rests before
            and after. Without it the line takes the whole clip, at constant speed.
        width: diameter of the disc around the line's point that moves; a quarter of the shorter side without it.
        region: polygon that moves instead of a disc, where it lies in the first frame.
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
                    f"times of a stroke must increase, from 0 at the earliest to 1 at the latest, not {list(self.times)}"
                )

    def at(self, time: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 2"]:
        """Where the line is at shares of the clip, in the description's pixels."""
        points = np.array(self.points, float)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        times = self.times or np.cumsum([0, *steps]) / (steps.sum() or 1)  # a line without length rests
        return np.stack([np.interp(time, times, points[:, axis]) for axis in range(2)], -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """What the camera does from the first frame to the last, at a constant rate.

    Attributes:
        pan: its way over what it sees, in pixels of the first frame; to the right lets things pass to the left.
        zoom: magnification of the last frame over the first, about the frame's centre.
    """

    pan: Point = (0.0, 0.0)
    zoom: Number = 1.0

    def __post_init__(self) -> None:
        _check_points("pan of the camera", (self.pan,))
        if not 0 < self.zoom < np.inf:
            raise BadInput(f"zoom of the camera must be above 0, not {self.zoom}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strokes:
    """A drawn motion: strokes, of which later ones lie over earlier ones, over what the camera does to all the rest.

    ```python
    drawn = vcjax.strokes("strokes.json")
    drawn.field(16, 64, 64)     # [16, 64, 64, 2], pixels a frame
    ```

    Attributes:
        size: width and height of the picture that they are drawn on.
        strokes: see `Stroke`.
        camera: see `Camera`.
    """

    size: tuple[Number, ...]
    strokes: tuple[Stroke, ...] = ()
    camera: Camera = dataclasses.field(default_factory=Camera)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(0 < side < np.inf for side in self.size):
            raise BadInput(f"size of strokes must be a width and a height above 0, not {list(self.size)}")

    def tracks(self, frames: int, height: int, width: int) -> Float[np.ndarray, "S F 2"]:
        """Where each stroke is in each frame of a clip: (x, y) in pixels, (0, 0) the centre of the top left one."""
        time = np.linspace(0, 1, frames)
        tracks = [self._placed(stroke.at(time), height, width) for stroke in self.strokes]
        return np.reshape(tracks, (len(self.strokes), frames, 2))

    def field(self, frames: int, height: int, width: int) -> Float32[np.ndarray, "F H W 2"]:
        """Where what is seen at each pixel is, minus where it was one frame before; zero in the first frame.

        Args:
            frames, height, width: of the clip; the unit is its pixels, x right and y down.
        """
        rows, columns = np.mgrid[:height, :width]
        pixels = np.stack([columns, rows], -1).astype(float)
        tracks = self.tracks(frames, height, width)
        field = np.zeros((frames, height, width, 2), np.float32)
        for now in range(1, frames):
            field[now] = self._camera_field(now, frames, pixels)
            for stroke, track in zip(self.strokes, tracks, strict=True):
                at_first = pixels - (track[now] - track[0])
                field[now, self._holds(stroke, track[0], at_first)] = track[now] - track[now - 1]
        return field

    def _camera_field(
        self, now: int, frames: int, pixels: Float[np.ndarray, "H W 2"]
    ) -> Float[np.ndarray, "H W 2"]:
        """A point q of the first frame, from the centre, is seen at p = z (q - c), z the zoom and c the pan so far."""
        height, width, _ = pixels.shape
        zoom_before, zoom = self.camera.zoom ** (np.array([now - 1, now]) / (frames - 1))
        pan = np.array(self.camera.pan) * self._scale(height, width) / (frames - 1)
        return (pixels - _middle(height, width)) * (1 - zoom_before / zoom) - zoom_before * pan

    def _holds(
        self, stroke: Stroke, start: Float[np.ndarray, "2"], pixels: Float[np.ndarray, "H W 2"]
    ) -> Bool[np.ndarray, "H W"]:
        """Which pixels of the first frame move with a stroke that begins at `start`."""
        height, width, _ = pixels.shape
        if stroke.region is not None:
            return _inside(self._placed(np.array(stroke.region, float), height, width), pixels)
        diameter = (stroke.width or USUAL_WIDTH * min(self.size)) * self._scale(height, width)
        return np.linalg.norm(pixels - start, axis=-1) <= diameter / 2

    def _scale(self, height: int, width: int) -> float:
        return max(width / self.size[0], height / self.size[1])

    def _placed(self, points: Float[np.ndarray, "n 2"], height: int, width: int) -> Float[np.ndarray, "n 2"]:
        """Points of the description in pixels of a clip, counted from the centre of its top left one."""
        return (points - np.array(self.size) / 2) * self._scale(height, width) + _middle(height, width)


def strokes(source: FilePath | Mapping[str, Any]) -> Strokes:
    """Drawn motion, to be handed in as the motion condition, from a .json or .svg file or a table like the json's.

    ```python
    composer(image="first.png", motion=vcjax.strokes("strokes.json"))
    vcjax.strokes({"size": [64, 64], "strokes": [{"points": [[12, 40], [50, 40]]}]})
    ```

    The format is at the head of this module.

    Raises:
        BadInput: the file cannot be read, or the description holds something that cannot be.
    """
    if isinstance(source, Mapping):
        return typed(Strokes, source, "strokes")
    reader = READERS.get(pathlib.Path(source).suffix.lower())
    if reader is None:
        raise BadInput(f"{source}: strokes must be a file of kind {' or '.join(READERS)}")
    try:
        text = pathlib.Path(source).read_text(encoding="utf-8")
        return typed(Strokes, reader(text), "the description")
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{source} is not text in UTF-8") from error
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from error


def strokes_of(source: Any) -> Strokes | None:
    """The strokes that are handed in, or lie in a file whose suffix says so; None for anything else."""
    if isinstance(source, Strokes):
        return source
    if isinstance(source, str | PathLike) and pathlib.Path(source).suffix.lower() in READERS:
        return strokes(source)
    return None


def _json_description(text: str) -> Any:
    try:
        return json.loads(text, parse_int=float)  # so that no number is too long for a float
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"strokes must be valid json, but: {error}") from error


READERS = {".json": _json_description, ".svg": svg_description}


def _check_points(what: str, points: tuple[Point, ...], at_least: int = 1) -> None:
    if len(points) < at_least:
        raise BadInput(f"{what} must be at least {at_least}, not {len(points)}")
    for point in points:
        if len(point) != 2 or not np.isfinite(point).all():
            raise BadInput(f"{what} must be finite numbers x, y, not {list(point)}")


def _middle(height: int, width: int) -> Float[np.ndarray, "2"]:
    """The centre of a frame, counted from the centre of its top left pixel."""
    return (np.array([width, height]) - 1) / 2


def _inside(polygon: Float[np.ndarray, "n 2"], pixels: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Which pixels lie in a polygon: those from which a ray to the right crosses its border an odd number of times."""
    x, y = np.moveaxis(pixels, -1, 0)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside
