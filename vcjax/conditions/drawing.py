"""Geometry of drawings: points on a canvas of any size, which is scaled to clips like an image."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from vcjax.errors import BadInput, brief

Number = float | int
Point = tuple[Number, ...]  # x, y
MAX_NUMBER = 1e6  # pixels of a drawing, which rounding would blur beyond
MAX_POINTS = 10_000  # of a line
MAX_CORNERS = 1_000  # of a polygon, each of which takes a comparison for each pixel of each frame


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A canvas; for a clip of another size it covers the clip, and is cropped at the centre.

    Attributes:
        size: width and height.
    """

    size: tuple[Number, ...]

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(1 / MAX_NUMBER <= side <= MAX_NUMBER for side in self.size):
            raise BadInput(
                f"size of a drawing must be a width and a height above 0, of at most {MAX_NUMBER:g}, not "
                f"{brief(list(self.size))}"
            )

    def scale(self, height: int, width: int) -> float:
        """Return the pixels of a clip for each pixel of the drawing."""
        return max(width / self.size[0], height / self.size[1])

    def to_clip(self, points: Float[np.ndarray, "n 2"], height: int, width: int) -> Float[np.ndarray, "n 2"]:
        """Convert points of the drawing to pixels of a clip, relative to the centre of its top left pixel."""
        return (points - np.array(self.size) / 2) * self.scale(height, width) + centre(height, width)


def check_points(what: str, points: tuple[Point, ...], at_least: int = 1, at_most: int = MAX_POINTS) -> None:
    """Raise BadInput where there are too few or too many points, or one is not two numbers of at most `MAX_NUMBER`."""
    if not at_least <= len(points) <= at_most:
        limit = f"at least {at_least}" if len(points) < at_least else f"at most {at_most}"
        raise BadInput(f"{what} must be {limit}, not {len(points)}")
    for point in points:
        if len(point) != 2 or not np.isfinite(point).all():
            raise BadInput(f"{what} must be finite numbers x, y, not {brief(list(point))}")
        if np.abs(point).max() > MAX_NUMBER:
            raise BadInput(f"{what} must be within {MAX_NUMBER:g} pixels, not {brief(list(point))}")


def check_times(what: str, times: tuple[Number, ...]) -> None:
    """Raise BadInput where times do not increase from 0 at the earliest to 1 at the latest."""
    array = np.array(times, float)
    if not (np.all(array >= 0) and np.all(array <= 1) and np.all(np.diff(array) > 0)):
        raise BadInput(f"{what} must increase, from 0 at the earliest to 1 at the latest, not {list(times)}")


def centre(height: int, width: int) -> Float[np.ndarray, "2"]:
    """Return the centre of a frame, relative to the centre of its top left pixel."""
    return (np.array([width, height]) - 1) / 2


def rotation(degrees: Number) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that turns points (x, y) clockwise on the screen, where y points down."""
    angle = np.deg2rad(float(degrees))
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def inside(polygon: Float[np.ndarray, "n 2"], pixels: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Return which pixels lie in a polygon: a ray to the right crosses its border an odd number of times."""
    x, y = np.moveaxis(pixels, -1, 0)
    result = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            result ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return result


# Progress from 0 to 1 as a function of time from 0 to 1.
EASINGS = {
    "linear": lambda t: t,
    "ease-in": lambda t: t**2,
    "ease-out": lambda t: 1 - (1 - t) ** 2,
    "ease-in-out": lambda t: t**2 * (3 - 2 * t),
}


def check_easing(name: str) -> None:
    """Raise BadInput where there is no easing of this name."""
    if name not in EASINGS:
        raise BadInput(f"easing must be one of {', '.join(EASINGS)}, not {name!r}")


def eased(name: str, time: Float[np.ndarray, "F"], first: float = 0.0, last: float = 1.0) -> np.ndarray:
    """Return times that are eased between two of them, and unchanged outside."""
    if name == "linear":
        return time
    inner = np.clip((time - first) / (last - first), 0, 1)
    return np.where((time < first) | (time > last), time, first + EASINGS[name](inner) * (last - first))
