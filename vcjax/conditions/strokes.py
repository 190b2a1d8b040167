"""Motion drawn by hand: strokes along which regions move, in front of a camera that pans and zooms.

A description is a JSON file or a dictionary:

```json
{
  "size": [64, 64],
  "strokes": [
    {"points": [[12, 40], [50, 40]], "region": [[4, 32], [20, 32], [20, 48], [4, 48]]},
    {"points": [[32, 8], [32, 20], [44, 20]], "times": [0, 0.5, 1], "width": 12, "easing": "ease-in-out"},
    {"points": [[50, 50]], "width": 10, "rotation": [[0, 0], [1, 90]], "scale": [[0, 1], [1, 1.5]]}
  ],
  "camera": {"pan": [8, 0], "zoom": 1.2, "roll": 5}
}
```

A stroke of one point is a pin: its region stays where it is on the screen, whatever the camera does.

`size` is the width and height of the drawing; everything else is in its pixels, x to the right, y down, (0,
0) its top left corner. For a clip of another size the description is scaled like an image: it covers the
clip, and is cropped at the centre. Of an SVG file the paths are used (see `vcjax.conditions.svg`).
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from vcjax.conditions.base import FilePath
from vcjax.conditions.camera import Camera
from vcjax.conditions.drawing import (
    MAX_CORNERS,
    MAX_NUMBER,
    Drawing,
    Number,
    Point,
    check_easing,
    check_points,
    check_times,
    eased,
    inside,
    rotation,
)
from vcjax.conditions.svg import check_strokes, parse_svg
from vcjax.errors import BadInput
from vcjax.input_files import parse_json, read_text
from vcjax.settings import typed

DEFAULT_WIDTH = 0.25  # of a stroke, relative to the shorter side of the drawing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stroke:
    """A region that is translated along a line in frame coordinates, independent of the camera.

    Attributes:
        points: points of the line; with one the region stays in its place.
        times: time of each point, increasing, from 0 (first frame) to 1 (last frame); the region rests before
            the first and after the last. None moves along the line at constant speed during the clip.
        width: diameter of the disc that moves; a quarter of the drawing's shorter side where None.
        region: polygon that moves instead of a disc, at its position in the first frame.
        easing: how fast it moves: `linear`, `ease-in`, `ease-out` or `ease-in-out`, from the first time to the last.
        scale: (time, factor) pairs: size of the region relative to the first frame, about its centre.
        rotation: (time, degrees) pairs: clockwise rotation of the region about its centre.
    """

    points: tuple[Point, ...]
    times: tuple[Number, ...] | None = None
    width: Number | None = None
    region: tuple[Point, ...] | None = None
    easing: str = "linear"
    scale: tuple[tuple[Number, ...], ...] = ()
    rotation: tuple[tuple[Number, ...], ...] = ()

    def __post_init__(self) -> None:
        check_points("points of a stroke", self.points, at_least=1)
        check_easing(self.easing)
        _check_keys("scale", self.scale, above=0)
        _check_keys("rotation", self.rotation)
        if self.region is not None:
            check_points("the region of a stroke", self.region, at_least=3, at_most=MAX_CORNERS)
            if self.width is not None:
                raise BadInput("a stroke must have a region or a width, not both")
        if self.width is not None and not 0 < self.width <= MAX_NUMBER:
            raise BadInput(
                f"the width of a stroke must be above 0 and at most {MAX_NUMBER:g}, not {self.width}"
            )
        if self.times is not None:
            if len(self.times) != len(self.points):
                raise BadInput(
                    f"a stroke of {len(self.points)} points needs as many times, not {len(self.times)}"
                )
            check_times("times of a stroke", self.times)

    def position(self, time: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F 2"]:
        """Return the position on the line at times from 0 to 1, in pixels of the drawing."""
        points = np.array(self.points, float)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        times = self.times or np.cumsum([0, *steps]) / (steps.sum() or 1)  # a line of length 0 does not move
        if times[-1] > times[0]:
            time = eased(self.easing, time, float(times[0]), float(times[-1]))
        return np.stack([np.interp(time, times, points[:, axis]) for axis in range(2)], -1)

    def scales(self, time: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F"]:
        """Return the size of the region at times from 0 to 1, relative to the first."""
        return _keyed(self.scale, time, 1.0) / _keyed(self.scale, time[:1], 1.0)

    def rotations(self, time: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F"]:
        """Return the rotation of the region since the first of some times, in degrees clockwise."""
        return _keyed(self.rotation, time, 0.0) - _keyed(self.rotation, time[:1], 0.0)


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
        Drawing(self.size)
        check_strokes(len(self.strokes))

    def tracks(self, frames: int, height: int, width: int) -> Float[np.ndarray, "S F 2"]:
        """Return the position (x, y) of each stroke in each frame of a clip.

        Pixel coordinates; (0, 0) is the centre of the top left pixel.
        """
        time = np.linspace(0, 1, frames)
        tracks = [Drawing(self.size).to_clip(stroke.position(time), height, width) for stroke in self.strokes]
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
        drawing, time = Drawing(self.size), np.linspace(0, 1, frames)
        placed = [self._placed(stroke, time, height, width) for stroke in self.strokes]
        field = np.zeros((frames, height, width, 2), np.float32)
        for now in range(1, frames):
            field[now] = self.camera.field(time[[now - 1, now]], drawing.scale(height, width), pixels)
            for stroke, (anchor, track, scales, rotations) in zip(self.strokes, placed, strict=True):
                offset = pixels - track[now]
                moved = np.broadcast_to(track[now] - track[now - 1], pixels.shape)
                if scales is None or rotations is None:
                    in_first_frame = offset + anchor
                else:
                    turned = offset @ rotation(rotations[now]) / scales[now]  # x R is R^-1 x
                    in_first_frame = turned + anchor
                    moved = moved + offset - scales[now - 1] * turned @ rotation(-rotations[now - 1])
                of_stroke = self._contains(stroke, anchor, in_first_frame)
                field[now, of_stroke] = moved[of_stroke]
        return field

    def _placed(
        self, stroke: Stroke, time: Float[np.ndarray, "F"], height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return the centre of a stroke's region in the first frame and in each, and its scales and rotations."""
        drawing = Drawing(self.size)
        track = drawing.to_clip(stroke.position(time), height, width)
        anchor = track[0]
        if stroke.region is not None:
            anchor = drawing.to_clip(np.array(stroke.region, float), height, width).mean(0)
        turns = bool(stroke.scale or stroke.rotation)
        scales, rotations = (stroke.scales(time), stroke.rotations(time)) if turns else (None, None)
        return anchor, track - track[0] + anchor, scales, rotations

    def _contains(
        self, stroke: Stroke, anchor: Float[np.ndarray, "2"], pixels: Float[np.ndarray, "H W 2"]
    ) -> Bool[np.ndarray, "H W"]:
        """Return which positions in the first frame belong to a stroke whose region has its centre at `anchor`."""
        height, width, _ = pixels.shape
        drawing = Drawing(self.size)
        if stroke.region is not None:
            return inside(drawing.to_clip(np.array(stroke.region, float), height, width), pixels)
        diameter = (stroke.width or DEFAULT_WIDTH * min(self.size)) * drawing.scale(height, width)
        return np.linalg.norm(pixels - anchor, axis=-1) <= diameter / 2


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
    text = read_text(source)
    try:
        return typed(Strokes, parse(text), "the description")
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
    return parse_json(
        text, "the description", parse_int=float
    )  # integers too large for a float become infinite


PARSERS = {".json": _parse_json, ".svg": parse_svg}


def _keyed(keys: tuple[tuple[Number, ...], ...], time: np.ndarray, default: float) -> np.ndarray:
    """Return values at times, linear between keys; the default without keys."""
    if not keys:
        return np.full(len(time), default)
    at, values = np.array(keys, float).T
    return np.interp(time, at, values)


def _check_keys(what: str, keys: tuple[tuple[Number, ...], ...], above: Number = -np.inf) -> None:
    for key in keys:
        if (
            len(key) != 2
            or not np.isfinite(key).all()
            or not above < key[1] <= MAX_NUMBER
            or key[1] < -MAX_NUMBER
        ):
            limit = "" if above == -np.inf else f" above {above:g}"
            raise BadInput(
                f"{what} of a stroke must be pairs of a time and a number{limit} within {MAX_NUMBER:g}, not {list(key)}"
            )
    check_times(f"times of the {what} of a stroke", tuple(key[0] for key in keys))
