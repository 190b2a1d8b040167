"""Options of `vcjax generate` for composition in time and space: strengths, keyframes, windows."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vcjax.cli.options import pairs, single, size
from vcjax.diffusion.windows import WEIGHTS
from vcjax.errors import BadInput

Values = Mapping[str, list[str] | None]

STRENGTHS, TIME, WINDOWS, ADAPTERS = "Strength of conditions", "Keyframes and time", "Windows", "Adapters"
# Name of the argument: flag, form, help, and panel.
OPTIONS = {
    "strength": ("--strength", "NAME=NUMBER", "Strength of a condition, by comma or repeated.", STRENGTHS),
    "strength_frames": (
        "--strength-frames",
        "NAME=FRAME:NUMBER,...",
        "Its curve over frames, linear between: depth=0:1,8:0.",
        STRENGTHS,
    ),
    "strength_steps": (
        "--strength-steps",
        "NAME=START:END",
        "Part of the noise schedule where it is present, in per cent from noise on: depth=0:60.",
        STRENGTHS,
    ),
    "strength_area": (
        "--strength-area",
        "NAME=FILE",
        "Its weights in space: an image or a video, where white is 1 and black 0, or an array (.npy).",
        STRENGTHS,
    ),
    "keyframe": (
        "--keyframe",
        "FRAME=FILE",
        "A picture that a frame is to show; repeat it for others. -1 is the last frame. Takes the place of --mask.",
        TIME,
    ),
    "continues": ("--continue", "FILE", "A video that this one continues, from its last frames on.", TIME),
    "leads_to": ("--lead-to", "FILE", "A video that this one leads to: it ends in its first frames.", TIME),
    "shared_frames": (
        "--shared-frames",
        "N",
        "Frames that are common with the video of --continue or --lead-to; 4 without it.",
        TIME,
    ),
    "fps": (
        "--fps",
        "RATE",
        "Frames per second, of the video and of what is taken from source videos; the model's without it.",
        TIME,
    ),
    "audio": (
        "--audio-from",
        "FILE",
        "A file whose sound the video gets, from its beginning on, cut to the length of the video.",
        TIME,
    ),
    "window_frames": ("--window-frames", "N", "Frames of a window; those of training without it.", WINDOWS),
    "window_size": (
        "--window-size",
        "HEIGHTxWIDTH",
        "Size of a window in pixels; that of the video without it.",
        WINDOWS,
    ),
    "window_overlap": (
        "--window-overlap",
        "SHARE",
        "Share of a window that the next one contains too; 0.5 without it.",
        WINDOWS,
    ),
    "window_offsets": (
        "--window-offsets",
        "N",
        "Placements of the windows, which alternate from step to step; 2 without it.",
        WINDOWS,
    ),
    "window_weights": ("--window-weights", "|".join(WEIGHTS), "Weights of merged predictions.", WINDOWS),
    "adapter": (
        "--adapter",
        "FILE=STRENGTH",
        "Adapters (LoRA) that vcjax export has written, with their strength, 1 without it; repeat it for several.",
        ADAPTERS,
    ),
    "window_noise": ("--window-noise", "repeat|independent", "Initial noise of the windows.", WINDOWS),
}


def composition_options() -> list[inspect.Parameter]:
    """Return the options, as parameters of a command."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                list[str] | None,
                typer.Option(flag, metavar=f"<{form}>", help=text, rich_help_panel=panel),
            ],
        )
        for name, (flag, form, text, panel) in OPTIONS.items()
    ]


def composition(values: Values, *, mask_given: bool) -> dict[str, Any]:
    """Return the arguments of a request that the options give.

    Args:
        values: values of the options by name.
        mask_given: whether another option gives the mask condition.

    Raises:
        BadInput: a value is malformed, or options exclude each other.
    """
    arguments: dict[str, Any] = {"strength": _strengths(values)}
    windows = _windows(values)
    if windows:
        arguments["windows"] = windows
    rate = _number(values, "fps", float)
    if rate is not None:
        arguments["fps"] = rate
    if values["audio"]:
        arguments["audio"] = single("--audio-from", values["audio"])
    if values["adapter"]:
        arguments["adapters"] = _adapters(values["adapter"])
    keyframes = _keyframes(values)
    if keyframes is not None:
        if mask_given:
            raise BadInput("keyframes take the place of the mask condition: give either --keyframe or --mask")
        arguments["mask"] = keyframes
    return arguments


def _strengths(values: Values) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {}
    for pair in [each for value in values["strength"] or () for each in value.split(",") if each.strip()]:
        name, _, number = pair.strip().partition("=")
        try:
            table.setdefault(name, {})["value"] = float(number)
        except ValueError as error:
            raise BadInput(f"--strength must be NAME=NUMBER, such as depth=0.5, not {pair!r}") from error
    for name, text in _pairs(values, "strength_frames").items():
        points = [point.split(":") for point in text.split(",")]
        try:
            table.setdefault(name, {})["frames"] = [[float(frame), float(x)] for frame, x in points]
        except ValueError as error:
            raise BadInput(
                f"--strength-frames must be NAME=FRAME:NUMBER,..., such as depth=0:1,8:0, not {name}={text!r}"
            ) from error
    for name, text in _pairs(values, "strength_steps").items():
        try:
            start, end = (float(part) for part in text.split(":"))
        except ValueError as error:
            raise BadInput(
                f"--strength-steps must be NAME=START:END in per cent, such as depth=0:60, not {name}={text!r}"
            ) from error
        table.setdefault(name, {})["steps"] = [start, end]
    for name, text in _pairs(values, "strength_area").items():
        table.setdefault(name, {})["area"] = text
    return {name: parts["value"] if set(parts) == {"value"} else parts for name, parts in table.items()}


def _adapters(values: list[str]) -> dict[str, float]:
    table: dict[str, float] = {}
    for text in values:
        file, _, number = text.rpartition("=") if "=" in text else (text, "", "1")
        try:
            strength = float(number)
        except ValueError as error:
            raise BadInput(
                f"--adapter must be FILE=STRENGTH, such as look.safetensors=0.8, not {text!r}"
            ) from error
        if file in table:
            raise BadInput(f"--adapter {file} is given more than once: give it once")
        table[file] = strength
    return table


def _windows(values: Values) -> dict[str, Any]:
    windows: dict[str, Any] = {}
    for key, kind in (("frames", int), ("overlap", float), ("offsets", int)):
        number = _number(values, f"window_{key}", kind)
        if number is not None:
            windows[key] = number
    if values["window_size"]:
        windows["size"] = list(size(single("--window-size", values["window_size"]), "--window-size") or ())
    for key in ("weights", "noise"):
        given = values[f"window_{key}"]
        if given:
            windows[key] = single(f"--window-{key}", given)
    return windows


def _keyframes(values: Values) -> dict[str, Any] | None:
    """Return the description of keyframes, see `vcjax.conditions.keyframes`; None where none are given."""
    table: dict[str, Any] = {}
    pictures = []
    for frame, image in _pairs(values, "keyframe").items():
        if not frame.removeprefix("-").isdecimal():
            raise BadInput(f"--keyframe must be FRAME=FILE, such as 0=first.png, not {frame}={image!r}")
        pictures.append({"frame": int(frame), "image": image})
    if pictures:
        table["pictures"] = pictures
    for key, name in (("after", "continues"), ("before", "leads_to")):
        given = values[name]
        if given:
            table[key] = single(OPTIONS[name][0], given)
    shared = _number(values, "shared_frames", int)
    if shared is not None:
        if not table.keys() & {"after", "before"}:
            raise BadInput("--shared-frames needs --continue or --lead-to")
        table["overlap"] = shared
    return table or None


def _number(values: Values, name: str, kind: type) -> Any:
    """Return the number that an option gives; None where it is not given."""
    given, flag = values[name], OPTIONS[name][0]
    if not given:
        return None
    text = single(flag, given)
    try:
        return kind(text)
    except ValueError as error:
        what = "an integer" if kind is int else "a number"
        raise BadInput(f"{flag} must be {what}, not {text!r}") from error


def _pairs(values: Values, name: str) -> dict[str, str]:
    return pairs(OPTIONS[name][0], values[name], OPTIONS[name][1])
