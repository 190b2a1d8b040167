"""Frames and arrays from files, clips and arrays that the user provides."""

import dataclasses
import math
import pathlib
import warnings
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vcjax.conditions.base import ClipShape, FilePath, SourceVideo
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.input_files import read_array
from vcjax.video.clip import Clip, repeated

BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
TIME_TOLERANCE = 1e-6  # in frames: a time that falls on a frame selects it, whatever the rounding


@dataclasses.dataclass(frozen=True, eq=False)
class FileClip(Clip):
    """A clip sampled from a file, for conditions that extract from the file itself.

    Attributes:
        path: the file; frame i is displayed `start` + i / `fps` seconds after its beginning.
        start: time of the first frame in seconds.
    """

    path: FilePath
    start: float = 0.0


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a clip.

    Attributes:
        first: index of the first frame.
        count: number of frames.
    """

    first: int
    count: int


def sample_source(video: SourceVideo, shape: ClipShape, part: Part | None = None) -> Clip:
    """Sample a source video at the model's frame rate and number of frames, in its own size.

    A clip in memory with exactly that number of frames is returned unchanged; the clip of a file is a
    `FileClip`. A source shorter than the model's clips is sampled at a higher rate (see `sampling_rate`),
    which is the rate of the result. If frames are still missing, as for an image, the last frame is repeated.

    Args:
        video: the source.
        shape: shape of the whole clip.
        part: frames to return; all of the clip's if None.

    Raises:
        BadInput: the file cannot be read.
    """
    return _sample(video.source, shape, WHITE, part or Part(0, shape.frames))


def is_still(source: Any) -> bool:
    """Return whether a source is one image."""
    if isinstance(source, Clip):
        return len(source) == 1
    from vcjax.video.read import probe

    return probe(source).frames == 1


def frames_at(source: Any, fps: float) -> int:
    """Return how many frames a source video has at a frame rate.

    Raises:
        BadInput: it declares neither its duration nor its frames.
    """
    if isinstance(source, Clip):
        seconds = source.seconds
    else:
        from vcjax.video.read import probe

        info = probe(source)
        if info.seconds is None and info.frames is not None:  # images
            return info.frames
        seconds = info.seconds
    if seconds is None:
        raise BadInput(f"{source} declares no duration: give a number of frames")
    return max(1, int(seconds * fps + TIME_TOLERANCE))


def _sample(source: Any, shape: ClipShape, background: tuple[int, int, int], part: Part) -> Clip:
    if isinstance(source, Clip):
        return _sample_clip(source, shape, part)
    from vcjax.video.read import probe, read

    info = probe(source)
    rate, first = _rate(info.seconds, shape), part.first
    if info.frames == 1:
        first = 0
    elif info.seconds is not None:  # the last frame stands for those that are missing
        first = min(first, max(math.floor(info.seconds * rate + TIME_TOLERANCE) - 1, 0))
    frames = read(source, fps=rate, count=part.count, start=first / rate, background=background).frames
    frames = repeat_last(frames, part.count, describe_source(source), shape.frames)
    return FileClip(frames, rate, source, first / rate)


def _sample_clip(source: Clip, shape: ClipShape, part: Part) -> Clip:
    if len(source) == shape.frames == part.count:
        return source
    index = part.first + np.arange(part.count)
    rate: float = float(source.fps)
    if len(source) != shape.frames:
        rate = _rate(source.seconds if len(source) > 1 else None, shape)
        index = np.floor(index * (source.fps / rate) + TIME_TOLERANCE).astype(int)
    there = max(1, int((index < len(source)).sum()))
    frames = source.frames[np.minimum(index[:there], len(source) - 1)]
    return Clip(repeat_last(frames, part.count, describe_source(source), shape.frames), rate)


def _rate(seconds: float | None, shape: ClipShape) -> float:
    """Return the sampling rate: the model's, or a higher one for a short source; images have no duration."""
    from vcjax.video.timing import sampling_rate

    if seconds is None or seconds * shape.fps >= shape.frames - TIME_TOLERANCE:
        return shape.fps
    return sampling_rate(seconds, shape.frames, shape.fps)


def repeat_last(frames: np.ndarray, count: int, source: str, whole: int) -> np.ndarray:
    """Cut frames to `count`, or repeat the last one; warns where a video, not an image, is too short for a `whole` clip.

    An image is repeated as a view, so that it is resized once and takes the memory of one frame.
    """
    if len(frames) == 1:
        return repeated(frames, count)
    missing = count - len(frames)
    if missing <= 0:
        return frames[:count]
    warnings.warn(
        f"{source} has only {whole - missing} of the clip's {whole} frames: the last one is repeated",
        VcjaxWarning,
        stacklevel=3,
    )
    return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])


def load_frames(
    source: Any, shape: ClipShape, count: int, background: tuple[int, int, int]
) -> UInt8[np.ndarray, "F H W 3"]:
    """Load the first frame of a file or a clip, or sample its frames as in `sample_source`.

    Warns where only the first frame of a video is used.

    Args:
        source: an image or video file, or a clip.
        shape: shape of the model's clips.
        count: number of frames: 1 for the first frame, else `shape.frames`.
        background: colour behind transparent pixels.
    """
    if count == 1:
        if isinstance(source, Clip):
            return source.frames[:1]
        from vcjax.video.read import probe, read

        if probe(source).seconds is not None:  # images have no duration
            warnings.warn(
                f"{source} is a video where an image is expected: its first frame is used",
                VcjaxWarning,
                stacklevel=3,
            )
        return read(source, count=1, background=background).frames
    return _sample(source, shape, background, Part(0, shape.frames)).frames


def load_array(source: Any) -> np.ndarray | None:
    """Return an array or the content of a .npy file; None for clips and other files.

    Raises:
        BadInput: a .npy file without an array, or a source that is neither a file, a clip nor an array.
    """
    if isinstance(source, Clip):
        return None
    if hasattr(source, "__array__"):
        return np.asarray(source)
    if not isinstance(source, str | PathLike):
        raise BadInput(f"a condition must be a file, a clip or an array, not {type(source).__name__}")
    if pathlib.Path(source).suffix != ".npy":
        return None
    return read_array(source)


def brightness(frames: np.ndarray, size: tuple[int, int]) -> Float32[np.ndarray, "F H W 1"]:
    """Resize and crop frames, and return the mean of red, green and blue in [0, 1]."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, *size, rule="map").astype(np.float32).mean(-1, keepdims=True) / 255


def describe_source(source: Any) -> str:
    """Return the name of a source in messages."""
    if isinstance(source, Clip):
        return "the clip"
    return "the array" if hasattr(source, "__array__") else str(source)
