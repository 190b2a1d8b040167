"""Camera motion: pan, zoom and roll, at a constant rate or along a path."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float

from vcjax.conditions.drawing import (
    Number,
    Point,
    centre,
    check_easing,
    check_points,
    check_times,
    eased,
    rotation,
)
from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraKey:
    """Position of the camera at a time.

    Attributes:
        time: time from 0, the first frame, to 1, the last one.
        pan: translation since the first frame, in pixels of it.
        zoom: magnification relative to the first frame, about the centre of the frame.
        roll: rotation since the first frame, in degrees; a roll clockwise turns the scene counter-clockwise.
    """

    time: Number
    pan: Point = (0.0, 0.0)
    zoom: Number = 1.0
    roll: Number = 0.0

    def __post_init__(self) -> None:
        check_points("pan of the camera", (self.pan,))
        if not 0 < self.zoom < np.inf:
            raise BadInput(f"zoom of the camera must be above 0, not {self.zoom}")
        if not np.isfinite(self.roll):
            raise BadInput(f"roll of the camera must be a finite number of degrees, not {self.roll}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """Camera motion from the first frame to the last, or along a path.

    Attributes:
        pan: translation of the camera, in pixels of the first frame; a pan to the right moves the scene to
            the left.
        zoom: magnification of the last frame relative to the first, about the centre of the frame.
        roll: rotation of the camera until the last frame, in degrees; clockwise turns the scene counter-clockwise.
        easing: how fast it moves: `linear`, `ease-in`, `ease-out` or `ease-in-out`, between keys of a path too.
        path: positions at times, in place of pan, zoom and roll; the camera rests before the first and after the last.
    """

    pan: Point = (0.0, 0.0)
    zoom: Number = 1.0
    roll: Number = 0.0
    easing: str = "linear"
    path: tuple[CameraKey, ...] = ()

    def __post_init__(self) -> None:
        check_easing(self.easing)
        last = CameraKey(time=1.0, pan=self.pan, zoom=self.zoom, roll=self.roll)
        if self.path:
            check_times("times of the camera's path", tuple(key.time for key in self.path))
            if last != CameraKey(time=1.0):
                raise BadInput("a camera must have a path, or pan, zoom and roll, not both")

    def field(
        self, time: Float[np.ndarray, "2"], scale: float, pixels: Float[np.ndarray, "H W 2"]
    ) -> Float[np.ndarray, "H W 2"]:
        """Return the motion of the scene from the first of two times to the second, where it is seen at the second.

        A point q of the first frame, relative to the centre, is seen at p = z R (q - c), with zoom z, rotation R and pan c.

        Args:
            time: two times of the clip, from 0 to 1.
            scale: pixels of the clip for each pixel of the drawing.
            pixels: positions x, y.
        """
        before, now = self._states(time)
        p = pixels - centre(*pixels.shape[:2])
        turn = rotation(now[3] - before[3])  # R' R^-1, as the scene turns by -roll
        rotated = p if before[3] == now[3] else p @ turn.T
        step = (now[:2] - before[:2]) * scale
        return p - rotated * (before[2] / now[2]) - before[2] * (rotation(-before[3]) @ step)

    def _states(self, time: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T 4"]:
        """Return pan x and y, zoom and roll at times; zoom is interpolated geometrically."""
        keys = self.path or (
            CameraKey(time=0.0),
            CameraKey(time=1.0, pan=self.pan, zoom=self.zoom, roll=self.roll),
        )
        at = np.array([key.time for key in keys], float)
        for first, last in itertools.pairwise(at):
            time = np.where((first <= time) & (time <= last), eased(self.easing, time, first, last), time)
        values = np.array([[*key.pan, np.log(key.zoom), key.roll] for key in keys], float)
        states = np.stack([np.interp(time, at, column) for column in values.T], -1)
        states[:, 2] = np.exp(states[:, 2])
        return states
