"""How files, clips and arrays that a person hands in become the frames that a condition is made of."""

import pathlib
import warnings
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vcjax.conditions.base import ClipShape, Footage
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.clip import Clip

BLACK = (0, 0, 0)
WHITE = (255, 255, 255)


def sampled(footage: Footage, shape: ClipShape) -> Clip:
    """Footage at the model's rate and exactly its number of frames, at the size that it comes in.

    Footage shorter than the clip is sampled more densely (FACTS of the original: `sampling_rate`); what is still
    missing then, of a picture say, holds the last frame.

    Raises:
        BadInput: the file cannot be read.
    """
    return _sampled(footage.source, shape, WHITE)


def _sampled(source: Any, shape: ClipShape, background: tuple[int, int, int]) -> Clip:
    if isinstance(source, Clip):
        positions = np.floor(np.arange(shape.frames) * source.fps / shape.fps).astype(int)
        frames = source.frames[positions[positions < len(source)]]
    else:
        from vcjax.video.motion import sampling_rate
        from vcjax.video.read import probe, read

        info = probe(source)
        rate = shape.fps if info.seconds is None else sampling_rate(info.seconds, shape.frames, shape.fps)
        frames = read(source, fps=rate, count=shape.frames, background=background).frames
    return Clip(hold_last(frames, shape.frames, name_of(source)), shape.fps)


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
    """The array that is handed in, or lies in a .npy file; None for anything else.

    Raises:
        BadInput: a .npy file that does not hold an array.
    """
    if isinstance(source, Clip):
        return None
    if hasattr(source, "__array__"):
        return np.asarray(source)
    if pathlib.Path(source).suffix != ".npy":
        return None
    try:
        array = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{source} cannot be read as a numpy array: {error}") from error
    return array


def name_of(source: Any) -> str:
    """How to call what a person handed in."""
    if isinstance(source, Clip):
        return "the clip"
    return "the array" if hasattr(source, "__array__") else str(source)
