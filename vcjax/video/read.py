"""Reading clips from files: videos with FFmpeg (PyAV), still and animated images with Pillow.

Both produce a sequence of timed frames. A clip consists of the frames displayed at its sampling times; other
frames are neither converted nor kept.
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
from vcjax.input_files import check_memory
from vcjax.video.clip import Clip
from vcjax.video.resize import resize_crop
from vcjax.video.sources import TimedFrame, open_source


@dataclasses.dataclass(frozen=True)
class Info:
    """Metadata of a video or image file.

    Attributes:
        height: frame height after rotation, in pixels.
        width: frame width after rotation, in pixels.
        fps: frame rate of the file in frames per second; 1 for a still image.
        seconds: duration in seconds; None for a still image, and if the file does not declare it.
        frames: number of frames; None if the file does not declare it.
    """

    height: int
    width: int
    fps: float
    seconds: float | None
    frames: int | None


def probe(path: str | os.PathLike[str]) -> Info:
    """Read the metadata of a video or image; at most one frame is decoded (all of an animated image).

    ```python
    info = probe("walk.mp4")
    clip = read("walk.mp4", fps=sampling_rate(info.seconds, 16, 4), count=16)
    ```

    Args:
        path: video or image file.

    Raises:
        BadInput: the file cannot be read, see `read`.
    """
    with contextlib.closing(open_source(path)) as source:
        first = next(source.timed_frames(0.0), None)
        if first is None:
            raise BadInput(no_frame(path, 0.0, source.damage))
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
    """Read a clip from a video in any format that FFmpeg decodes, or from a still or animated image.

    Frame i is the one displayed `start + i / fps` seconds after the beginning of the video, which handles
    variable frame rates correctly. Rotation and EXIF orientation are applied. Decoding stops as soon as the
    clip is complete.

    ```python
    clip = read("walk.mp4", fps=4, count=16, size=256)
    ```

    Args:
        path: video or image file; a still image is a clip of one frame. Or a folder of images, or a pattern such as
            frame_%04d.png: each of its images is a frame, at `fps`, or 25 without it.
        fps: sampling rate in frames per second; the frame rate of the file if None.
        count: maximum number of frames; all frames up to the end if None.
        start: start time in seconds.
        size: side of a square, or (height, width), to resize and crop frames to, by `resize_crop(...,
            rule="latent")`; the size of the first frame if None.
        background: RGB colour behind transparent pixels.

    Returns:
        The clip, with at least one frame, and fewer than `count` if the video is too short.

    Raises:
        BadInput: the path is missing, a directory, unreadable or empty; the file contains no video; no frame
            can be decoded; the video ends before `start`; or an argument is out of range.

    Warns:
        VcjaxWarning: the file is damaged or truncated; the clip has the frames that could be decoded.
    """
    check_request(path, fps, count, start, size)
    target = (size, size) if isinstance(size, int) else size
    with contextlib.closing(open_source(path, fps)) as source:
        rate = float(fps or source.rate)
        frames: list[np.ndarray] = []
        previous = None
        for timed in sample_frames(source.timed_frames(start), rate, count, start, source.clock_error):
            if frames:
                _check_size(path, (len(frames) + 1) * frames[0].nbytes)
            if timed is previous:  # displayed at several sampling times: reuse the array
                frames.append(frames[-1])
                continue
            previous = timed
            frame = _flatten_alpha(source.pixels(timed.frame), background)
            target = target or frame.shape[:2]
            frames.append(resize_crop(frame[None], *target, rule="latent")[0])
        if not frames:
            raise BadInput(no_frame(path, start, source.damage))
        warn_damaged(path, source.damage, len(frames))
    return Clip(_stack(frames), rate)


def _check_size(path: str | os.PathLike[str], needed: int) -> None:
    check_memory(needed, f"the frames of {path}", "give a number of frames, a lower rate or a size")


def check_request(
    path: str | os.PathLike[str], fps: float | int | None, count: int | None, start: float | int, size: Any
) -> None:
    """Raise BadInput where an argument of `read` is out of range."""
    if fps is not None and not 0 < fps < math.inf:
        raise BadInput(f"fps for {path} must be above 0, not {fps}")
    if count is not None and count < 1:
        raise BadInput(f"count for {path} must be at least 1 frame, not {count}")
    if not 0 <= start < math.inf:
        raise BadInput(f"start for {path} must be 0 seconds or more, not {start}")
    if size is not None and np.min(size) < 1:
        raise BadInput(f"size for {path} must be at least 1 pixel, not {size}")


def no_frame(path: str | os.PathLike[str], start: float | int, damage: list[str]) -> str:
    """Return the message of the error that no frame could be sampled."""
    if start > 0 and not damage:
        return f"{path} ends before {start:g} seconds; give a start within the video"
    reason = f" ({damage[0]})" if damage else ""
    return f"{path} contains no frame that can be decoded{reason}; give a complete video or image"


def warn_damaged(path: str | os.PathLike[str], damage: list[str], count: int) -> None:
    """Warn the caller of `read` where the file is damaged; `count` frames were sampled."""
    if damage:
        warnings.warn(
            f"{path} is damaged or truncated ({damage[0]}): the clip has the {count} frames that could be "
            f"decoded",
            VcjaxWarning,
            stacklevel=3,
        )


# -- sampling of timed frames


def sample_frames(
    timed_frames: Iterator[TimedFrame], fps: float, count: int | None, start: float | int, clock_error: float
) -> Iterator[TimedFrame]:
    """Yield the frame that is displayed at each of the times start + i / fps."""
    sampled = 0
    tolerance = min(clock_error, 0.5 / fps)
    for timed, end in _with_end_times(timed_frames, 1 / fps):
        while sampled != count and start + sampled / fps < end - tolerance:
            yield timed
            sampled += 1
        if sampled == count:
            return


def _with_end_times(
    timed_frames: Iterator[TimedFrame], default_seconds: float
) -> Iterator[tuple[TimedFrame, float]]:
    """Yield each frame with the time at which the next one replaces it."""
    current = None
    for following in timed_frames:
        if current is not None:
            yield current, following.time
        current = following
    if current is not None:
        yield current, current.time + (current.seconds or default_seconds)


def _flatten_alpha(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Return RGB from RGB or RGBA, with transparent pixels blended with the background."""
    if pixels.shape[-1] == 3:
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    backdrop = np.asarray(background, np.uint16)
    return ((colour * alpha + backdrop * (255 - alpha) + 127) // 255).astype(np.uint8)


def _stack(frames: list[np.ndarray]) -> UInt8[np.ndarray, "F H W 3"]:
    """Stack frames to one array, releasing each frame once it is copied to limit peak memory."""
    clip = np.empty((len(frames), *frames[0].shape), np.uint8)
    while frames:
        frame = frames.pop()
        clip[len(frames)] = frame
    return clip
