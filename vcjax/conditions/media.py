"""How files, clips and arrays that a person hands in become the frames that a condition is made of."""

import pathlib
import warnings
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vcjax.conditions.base import ClipShape, Footage
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.clip import Clip

BLACK = (0, 0, 0)
WHITE = (255, 255, 255)


def sampled(footage: Footage, shape: ClipShape) -> Clip:
    """Footage at the model's rate and with exactly its number of frames, at the size that it comes in.

    A clip in memory of just that many frames is taken as it is. Footage shorter than the clip to be made is sampled
    more densely (see `sampling_rate`), and the rate of the result says so; what is still missing then, of a picture
    say, holds the last frame.

    Raises:
        BadInput: the file cannot be read.
    """
    return _sampled(footage.source, shape, WHITE)


def _sampled(source: Any, shape: ClipShape, background: tuple[int, int, int]) -> Clip:
    if isinstance(source, Clip):
        if len(source) == shape.frames:
            return source
        rate = _rate(source.seconds if len(source) > 1 else None, shape)
        # the slack keeps a time that falls on a frame on it, whatever the rounding
        positions = np.floor(np.arange(shape.frames) * (source.fps / rate) + 1e-6).astype(int)
        frames = source.frames[positions[positions < len(source)]]
    else:
        from vcjax.video.read import probe, read

        rate = _rate(probe(source).seconds, shape)
        frames = read(source, fps=rate, count=shape.frames, background=background).frames
    return Clip(hold_last(frames, shape.frames, name_of(source)), rate)


def _rate(seconds: float | None, shape: ClipShape) -> float:
    """The model's rate, or a denser one for footage that is too short for it; a picture has no length."""
    from vcjax.video.motion import sampling_rate

    if seconds is None or seconds * shape.fps >= shape.frames - 1e-6:
        return shape.fps
    return sampling_rate(seconds, shape.frames, shape.fps)


def hold_last(frames: np.ndarray, count: int, source: str) -> np.ndarray:
    """Exactly `count` frames: cut, or the last one held. A single frame is a picture; more, but too few, warns."""
    if 1 < len(frames) < count:
        warnings.warn(
            f"{source} has {len(frames)} frames where the clip has {count}: the last one is held",
            VcjaxWarning,
            stacklevel=3,
        )
    missing = max(count - len(frames), 0)
    return np.concatenate([frames[:count], np.repeat(frames[-1:], missing, axis=0)])


def pictures(
    source: Any, shape: ClipShape, count: int, background: tuple[int, int, int]
) -> UInt8[np.ndarray, "F H W 3"]:
    """`count` frames of a file or a clip: a picture, or a video sampled as footage is."""
    if count == 1:
        if isinstance(source, Clip):
            return source.frames[:1]
        from vcjax.video.read import read

        return read(source, count=1, background=background).frames
    return _sampled(source, shape, background).frames


def array_of(source: Any) -> np.ndarray | None:
    """The array that is handed in, or lies in a .npy file; None for clips and other files.

    Raises:
        BadInput: a .npy file that does not hold an array, or something that is neither file, clip nor array.
    """
    if isinstance(source, Clip):
        return None
    if hasattr(source, "__array__"):
        return np.asarray(source)
    if not isinstance(source, str | PathLike):
        raise BadInput(f"a condition must be a file, a clip or an array, not {type(source).__name__}")
    if pathlib.Path(source).suffix != ".npy":
        return None
    try:
        array = np.load(source, allow_pickle=False)
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise BadInput(f"{source} does not hold an array of numbers as numpy.save writes it") from error
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{source} holds several arrays; save the one that is meant with numpy.save")
    return array


def brightness(frames: np.ndarray, size: tuple[int, int]) -> Float32[np.ndarray, "F H W 1"]:
    """Resize and crop frames; the mean of red, green and blue in [0, 1]."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, *size, rule="map").astype(np.float32).mean(-1, keepdims=True) / 255


def name_of(source: Any) -> str:
    """How to call what a person handed in."""
    if isinstance(source, Clip):
        return "the clip"
    return "the array" if hasattr(source, "__array__") else str(source)
