"""Paths of an svg file as strokes: any drawing program makes them. Straight lines and Bezier curves are understood.

Each path (each part of it that begins with a move) is one stroke, run through at constant speed, as wide as its
`stroke-width` says. The drawing's `viewBox`, or its width and height, is the size. Regions, times and camera need json.
"""

import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

from vcjax.errors import BadInput

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMMAND = "[A-DF-Za-df-z]"  # e belongs to numbers
_NUMBERS_OF = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "Z": 0}  # that a command takes
_CURVES = {"L": 1, "Q": 16, "C": 16}  # line segments that stand for each
_NOT_DRAWN = ("defs", "symbol", "clipPath", "mask", "marker", "pattern")  # nor is what lies in these


def svg_description(text: str) -> dict[str, Any]:
    """An svg file's text as the description of `vcjax.conditions.strokes`.

    Raises:
        BadInput: it is no svg, has no path or no size, or uses a command or transform that is not understood.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadInput(f"the drawing must be valid svg, but: {error}") from error
    left, top, width, height = _view(root)
    strokes = []
    for data, stroke_width in _paths(root):
        for line in _lines(data):
            points = [[x - left, y - top] for x, y in line]
            strokes.append({"points": points, "width": stroke_width})
    if not strokes:
        raise BadInput("the drawing must hold at least one path, but there is none")
    return {"size": [width, height], "strokes": strokes}


def _view(root: ElementTree.Element) -> list[float]:
    """Left, top, width and height of the drawing."""
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
    """The data and width of each path that is seen; a width holds for all that lies within, unless it has its own."""
    waiting: list[tuple[ElementTree.Element, float | None]] = [(root, None)]
    while waiting:
        element, width = waiting.pop()
        kind = element.tag.rpartition("}")[2]
        if kind in _NOT_DRAWN:
            continue
        if "transform" in element.attrib:
            raise BadInput(
                f"the drawing's {kind} must have no transform: apply it to the points before saving"
            )
        styled = re.search(r"stroke-width\s*:([^;]+)", element.get("style", ""))
        own = styled[1] if styled else element.get("stroke-width")
        width = width if own is None else _length(own)
        if kind == "path":
            yield element.get("d", ""), width
        waiting += [(child, width) for child in reversed(element)]


def _lines(data: str) -> list[list[np.ndarray]]:
    """The polylines of a path: one for each move, curves cut into straight pieces."""
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
        lines[-1] += _bezier([here, *controls], _CURVES[kind])
        here = controls[-1]
    return lines


def _bezier(controls: list[np.ndarray], pieces: int) -> list[np.ndarray]:
    """The ends of so many pieces of a Bezier curve, of equal parameter, by Bernstein's polynomials."""
    degree = len(controls) - 1
    t = np.arange(1, pieces + 1)[:, None] / pieces
    terms = (math.comb(degree, k) * t**k * (1 - t) ** (degree - k) * c for k, c in enumerate(controls))
    return list(sum(terms, np.zeros((pieces, 2))))


def _commands(data: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each command of a path with its numbers. One that is followed by several sets of them is repeated."""
    if re.sub(rf"{_NUMBER}|{_COMMAND}|[\s,]", "", data):
        raise BadInput(f"a path must hold commands and numbers only, not {data[:20]!r}")
    pieces = re.split(f"({_COMMAND})", data)
    if pieces[0].strip():
        raise BadInput(f"a path must begin with M, not {data[:20]!r}")
    for command, text in zip(pieces[1::2], pieces[2::2], strict=True):
        numbers = [float(number) for number in re.findall(_NUMBER, text)]
        count = _NUMBERS_OF.get(command.upper())
        if count is None:
            raise BadInput(
                f"a path must be made of {' '.join(_NUMBERS_OF)}, not {command}: turn it into Bezier curves"
            )
        sets = max(len(numbers) // count, 1) if count else 1
        if len(numbers) != sets * count:
            raise BadInput(f"{command} of a path takes {count} numbers at a time, not {len(numbers)} in all")
        for one in np.reshape(numbers, (sets, count)):
            yield command, one
            command = {"M": "L", "m": "l"}.get(command, command)
