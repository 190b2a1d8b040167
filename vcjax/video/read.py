"""Footage from disk to `Clip`: videos through FFmpeg (PyAV), still and animated images through Pillow.

Both give a run of moments, each a frame and when it is shown; a clip takes from it the frame shown at each of its
times, and nothing else is converted or kept.
"""

import contextlib
import dataclasses
import math
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.clip import Clip
from vcjax.video.resize import resize_crop
from vcjax.video.sources import Moment, open_source


@dataclasses.dataclass(frozen=True)
class Info:
    """What a file says of its video.

    Attributes:
        height: height of a frame as shown (after rotation), in pixels.
        width: width of a frame as shown, in pixels.
        fps: frames a second at which every frame is shown; 1 for a still image.
        seconds: length; None for a still image, and where the file does not say.
        frames: number of frames; None where the file does not say.
    """

    height: int
    width: int
    fps: float
    seconds: float | None
    frames: int | None


def probe(path: str | os.PathLike[str]) -> Info:
    """What the file says of its video, decoding one frame of it at most (of an animated image, all).

    ```python
    info = probe("walk.mp4")
    clip = read("walk.mp4", fps=sampling_rate(info.seconds, 16, 4), count=16)
    ```

    Args:
        path: a video or an image.

    Raises:
        BadInput: what `read` raises.
    """
    with contextlib.closing(open_source(path)) as source:
        first = next(source.moments(0.0), None)
        if first is None:
            raise BadInput(_no_frame(path, 0.0, source.damage))
        height, width = source.pixels(first.frame).shape[:2]
        return Info(height, width, source.rate, source.seconds, source.frames)


def read(
    path: str | os.PathLike[str],
    *,
    fps: float | int | None = None,
    count: int | None = None,
    start: float | int = 0.0,
    size: int | tuple[int, int] | None = None,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Clip:
    """Read a clip from any video that FFmpeg decodes, or from a still or animated image.

    Frame i is the one shown `start + i / fps` seconds after the video's beginning, so that variable frame rates come
    out right. Rotation and EXIF orientation are applied. Decoding stops as soon as the clip is complete.

    ```python
    clip = read("walk.mp4", fps=4, count=16, size=256)
    ```

    Args:
        path: a video or an image; a still image is a clip of one frame.
        fps: frames a second; the file's own rate where None.
        count: at most this many frames; to the end of the file where None.
        start: seconds from the beginning.
        size: side of a square, or (height, width), that frames are resized to cover and then cropped to, as
            `resize_crop(..., rule="latent")` does; the size of the first frame where None.
        background: RGB behind transparent pixels.

    Returns:
        The clip, with at least one frame, and fewer than `count` where the video is too short.

    Raises:
        BadInput: the path is missing, a directory, unreadable or empty; holds no video; no frame of it can be
            decoded; it ends before `start`; or an argument is out of range.

    Warns:
        VcjaxWarning: the file is damaged or cut off; the clip has what could be decoded.
    """
    _check_request(path, fps, count, start, size)
    target = (size, size) if isinstance(size, int) else size
    with contextlib.closing(open_source(path)) as source:
        rate = float(fps or source.rate)
        frames: list[np.ndarray] = []
        latest = None
        for moment in _sample(source.moments(start), rate, count, start, source.clock_error):
            if moment is latest:  # shown for longer than one frame of the clip: the same array again
                frames.append(frames[-1])
                continue
            latest = moment
            frame = _flatten_alpha(source.pixels(moment.frame), background)
            target = target or frame.shape[:2]
            frames.append(resize_crop(frame[None], *target, rule="latent")[0])
        if not frames:
            raise BadInput(_no_frame(path, start, source.damage))
        if source.damage:
            warnings.warn(
                f"{path} is damaged or cut off ({source.damage[0]}): the clip has the {len(frames)} frames "
                f"that could be decoded",
                VcjaxWarning,
                stacklevel=2,
            )
    return Clip(_stack(frames), rate)


def _check_request(
    path: str | os.PathLike[str], fps: float | int | None, count: int | None, start: float | int, size: Any
) -> None:
    if fps is not None and not 0 < fps < math.inf:
        raise BadInput(f"fps for {path} must be above 0, not {fps}")
    if count is not None and count < 1:
        raise BadInput(f"count for {path} must be at least 1 frame, not {count}")
    if not 0 <= start < math.inf:
        raise BadInput(f"start for {path} must be 0 seconds or more, not {start}")
    if size is not None and np.min(size) < 1:
        raise BadInput(f"size for {path} must be at least 1 pixel, not {size}")


def _no_frame(path: str | os.PathLike[str], start: float | int, damage: list[str]) -> str:
    if start > 0 and not damage:
        return f"{path} ends before {start:g} seconds, so give a start that lies within it"
    reason = f" ({damage[0]})" if damage else ""
    return f"{path} holds no frame that can be decoded{reason}; give a whole video or image"


# -- from moments to a clip


def _sample(
    moments: Iterator[Moment], fps: float, count: int | None, start: float | int, clock_error: float
) -> Iterator[Moment]:
    """The moment that is on show at each of the times start + i / fps."""
    taken = 0
    slack = min(clock_error, 0.5 / fps)
    for moment, end in _with_ends(moments, 1 / fps):
        while taken != count and start + taken / fps < end - slack:
            yield moment
            taken += 1
        if taken == count:
            return


def _with_ends(moments: Iterator[Moment], unknown: float) -> Iterator[tuple[Moment, float]]:
    """Each moment with the time at which the next one replaces it."""
    current = None
    for following in moments:
        if current is not None:
            yield current, following.time
        current = following
    if current is not None:
        yield current, current.time + (current.seconds or unknown)


def _flatten_alpha(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """RGB from RGB or RGBA, transparent pixels showing the background."""
    if pixels.shape[-1] == 3:
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    behind = np.asarray(background, np.uint16)
    return ((colour * alpha + behind * (255 - alpha) + 127) // 255).astype(np.uint8)


def _stack(frames: list[np.ndarray]) -> UInt8[np.ndarray, "F H W 3"]:
    """One array, letting go of each frame as it is copied, so that they are not held twice."""
    clip = np.empty((len(frames), *frames[0].shape), np.uint8)
    while frames:
        frame = frames.pop()
        clip[len(frames)] = frame
    return clip
