"""Strokes from the paths of an SVG file: straight lines and Bezier curves.

Each subpath is one stroke, traversed at constant speed, with the path's `stroke-width`. The size is the
drawing's `viewBox`, or its width and height. Regions, times and camera need JSON.
"""

import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

from vcjax.conditions.drawing import check_points
from vcjax.errors import BadInput

MAX_STROKES = 1_000  # each of which is compared with each pixel of each frame
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMMAND = "[A-DF-Za-df-z]"  # without e, which occurs in numbers
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "Z": 0}  # numbers per command
_SEGMENTS = {"L": 1, "Q": 16, "C": 16}  # line segments that approximate each curve
_NOT_DRAWN = ("defs", "symbol", "clipPath", "mask", "marker", "pattern")  # with all their content


def parse_svg(text: str) -> dict[str, Any]:
    """Convert the text of an SVG file to a description of `vcjax.conditions.strokes`.

    Raises:
        BadInput: not SVG, no path or size, or a command or transform that is not supported.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadInput(f"the drawing must be valid svg, but: {error}") from error
    left, top, width, height = _view_box(root)
    strokes = []
    for data, stroke_width in _paths(root):
        for line in _polylines(data):
            points = [[x - left, y - top] for x, y in line]
            check_points("points of a path", tuple(map(tuple, points)), at_least=2)
            strokes.append({"points": points, "width": stroke_width})
            check_strokes(len(strokes))
    if not strokes:
        raise BadInput("the drawing must have at least one path")
    return {"size": [width, height], "strokes": strokes}


def check_strokes(count: int) -> None:
    """Raise BadInput where there are more strokes than are drawn in reasonable time."""
    if count > MAX_STROKES:
        raise BadInput(
            f"a drawing must have at most {MAX_STROKES} strokes, not {count} or more; join or leave some"
        )


def _view_box(root: ElementTree.Element) -> list[float]:
    """Return left, top, width and height of the drawing."""
    box = root.get("viewBox") or f"0 0 {root.get('width', '')} {root.get('height', '')}"
    sides = box.replace(",", " ").split()
    if len(sides) != 4:
        raise BadInput("the drawing must have a viewBox, or a width and height")
    return [_length(side) for side in sides]


def _length(text: str) -> float:
    found = re.fullmatch(rf"({_NUMBER})(px)?", text.strip())
    if not found:
        raise BadInput(f"lengths of the drawing must be in pixels, not {text.strip()!r}")
    return float(found[1])


def _paths(root: ElementTree.Element) -> Iterator[tuple[str, float | None]]:
    """Yield data and width of each visible path; an element inherits the width of its parent."""
    stack: list[tuple[ElementTree.Element, float | None]] = [(root, None)]
    while stack:
        element, width = stack.pop()
        kind = element.tag.rpartition("}")[2]
        if kind in _NOT_DRAWN:
            continue
        if "transform" in element.attrib:
            raise BadInput(
                f"the drawing's {kind} must have no transform: apply it to the points before saving"
            )
        styled = re.search(r"stroke-width\s*:([^;]+)", element.get("style", ""))
        given = styled[1] if styled else element.get("stroke-width")
        width = width if given is None else _length(given)
        if kind == "path":
            yield element.get("d", ""), width
        stack += [(child, width) for child in reversed(element)]


def _polylines(data: str) -> list[list[np.ndarray]]:
    """Return the polylines of a path, one per subpath, with curves approximated by line segments."""
    lines: list[list[np.ndarray]] = []
    here = np.zeros(2)
    for command, numbers in _commands(data):
        kind, origin = command.upper(), here if command.islower() else np.zeros(2)
        if kind != "M" and not lines:
            raise BadInput(f"a path must begin with M, not {data[:20]!r}")
        if kind == "M":
            here = origin + numbers
            lines.append([here])
            continue
        if kind == "Z":
            kind, controls = "L", lines[-1][:1]
        elif kind == "H":
            kind, controls = "L", [np.array([origin[0] + numbers[0], here[1]])]
        elif kind == "V":
            kind, controls = "L", [np.array([here[0], origin[1] + numbers[0]])]
        else:
            controls = [origin + pair for pair in np.reshape(numbers, (-1, 2))]
        lines[-1] += _bezier([here, *controls], _SEGMENTS[kind])
        here = controls[-1]
    return lines


def _bezier(controls: list[np.ndarray], segments: int) -> list[np.ndarray]:
    """Return the ends of line segments of a Bezier curve, equally spaced in its parameter."""
    degree = len(controls) - 1
    t = np.arange(1, segments + 1)[:, None] / segments
    terms = (math.comb(degree, k) * t**k * (1 - t) ** (degree - k) * c for k, c in enumerate(controls))
    return list(sum(terms, np.zeros((segments, 2))))


def _commands(data: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each command of a path with its numbers; a command with several sets of numbers is repeated."""
    if re.sub(rf"{_NUMBER}|{_COMMAND}|[\s,]", "", data):
        raise BadInput(f"a path must consist of commands and numbers only, not {data[:20]!r}")
    pieces = re.split(f"({_COMMAND})", data)
    if pieces[0].strip():
        raise BadInput(f"a path must begin with M, not {data[:20]!r}")
    for command, text in zip(pieces[1::2], pieces[2::2], strict=True):
        numbers = [float(number) for number in re.findall(_NUMBER, text)]
        count = _ARGUMENTS.get(command.upper())
        if count is None:
            raise BadInput(
                f"a path must consist of {' '.join(_ARGUMENTS)}, not {command}: convert it to Bezier curves"
            )
        sets = max(len(numbers) // count, 1) if count else 1
        if len(numbers) != sets * count:
            raise BadInput(f"{command} of a path takes {count} numbers at a time, not {len(numbers)}")
        for arguments in np.reshape(numbers, (sets, count)):
            yield command, arguments
            command = {"M": "L", "m": "l"}.get(command, command)
