"""Clips to disk, for people to look at: mp4 for players and browsers, animated gif and webp, and a png grid."""

import itertools
import math
import os
import platform
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image

from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.video.clip import Clip, frame_period

X264 = {"crf": "18"}  # constant quality: 18 is commonly held to look the same as the source
if platform.machine() in ("x86_64", "AMD64"):
    # With its AVX-512 routines x264 gave other bytes for the same frames now and then: up to one file in two, depending on
    # what had been in memory. With those of SSE2, which every such machine has, never; it takes a quarter longer.
    X264["x264-params"] = "asm=sse2"
BT709 = 1  # ITU-T H.273, table 2, 3 and 4: primaries, transfer and matrix of sRGB and HD video
WEBP_QUALITY = 90  # of 100
GIF_TICK = 0.01  # seconds: a gif counts the length of a frame in hundredths
GIF_SHORTEST = 2  # ticks: browsers slow shorter frames down to a tenth of a second


def write(clip: Clip, path: str | os.PathLike[str]) -> None:
    """Write a clip to a file whose suffix chooses the form; an existing file is replaced only by a finished one.

    `.mp4` is H.264 in yuv420p at CRF 18 with its index in front, odd sizes filled up by repeating the last row or
    column, the same bytes for the same frames on any number of cores; `.gif` and `.webp` are animations that play for
    ever; `.png` is a `grid` of the frames.

    ```python
    write(clip, "out.mp4")
    ```

    Args:
        clip: the frames and their rate.
        path: the file to write.

    Raises:
        BadInput: a suffix that is not known, a folder that cannot be written to, a full disk.
    """
    path = Path(path)
    check_output(path)
    with replacing(path) as unfinished:
        try:
            _ENCODERS[path.suffix.lower()](clip, unfinished)
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def grid(frames: UInt8[np.ndarray, "N H W 3"], columns: int | None = None) -> UInt8[np.ndarray, "Y X 3"]:
    """Lay frames out row by row in one picture, black where the last row has none.

    Args:
        frames: the pictures, at least one.
        columns: pictures in a row; about as many as rows where None.

    Raises:
        BadInput: no frames, or less than one column.
    """
    count, height, width, _ = frames.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    if count < 1 or columns < 1:
        raise BadInput(f"a grid has at least one frame and one column, not {count} and {columns}")
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, 3), np.uint8)
    cells[:count] = frames
    cells = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width, 3)


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise BadInput where `write` could not write a clip to this file, before the work of making the clip."""
    path = Path(path)
    if path.suffix.lower() not in _ENCODERS:
        raise BadInput(f"{path} ends in {path.suffix or 'no suffix'}; give one of {', '.join(_ENCODERS)}")
    check_target(path)


def _write_mp4(clip: Clip, path: Path) -> None:
    frames = np.pad(clip.frames, ((0, 0), (0, clip.height % 2), (0, clip.width % 2), (0, 0)), mode="edge")
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(f"file:{path}", "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=1 / frame_period(clip.fps), options=X264)
        _describe(stream, frames)
        for index, pixels in enumerate(frames):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _describe(stream: VideoStream, frames: np.ndarray) -> None:
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # x264 decides otherwise with other numbers of threads
    stream.color_primaries = stream.color_trc = stream.colorspace = BT709
    stream.color_range = ColorRange.MPEG


def _write_gif(clip: Clip, path: Path) -> None:
    _write_animation(clip, path, "GIF", tick=GIF_TICK, shortest=GIF_SHORTEST)


def _write_webp(clip: Clip, path: Path) -> None:
    _write_animation(clip, path, "WEBP", tick=0.001, shortest=1, quality=WEBP_QUALITY)


def _write_animation(
    clip: Clip, path: Path, form: str, *, tick: float, shortest: int, **options: int
) -> None:
    # The times are rounded down, not the lengths, so that the rate is right in the long run and no frame comes late.
    times = [int(index / clip.fps / tick + 1e-6) for index in range(len(clip) + 1)]
    milliseconds = [max(end - time, shortest) * round(1000 * tick) for time, end in itertools.pairwise(times)]
    first, *rest = [Image.fromarray(frame) for frame in clip.frames]
    first.save(path, form, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options)


def _write_png(clip: Clip, path: Path) -> None:
    Image.fromarray(grid(clip.frames)).save(path, "PNG")


_ENCODERS = {".mp4": _write_mp4, ".gif": _write_gif, ".webp": _write_webp, ".png": _write_png}
