"""Writing clips for viewing: as mp4, as animated gif or webp, and as a grid of frames in a png."""

import itertools
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.input_files import check_regular
from vcjax.video.audio import AudioTrack
from vcjax.video.sequence import check_sequence, is_pattern, write_sequence
from vcjax.video.sources import PILLOW_ERRORS
from vcjax.video.timing import frame_period

X264 = {"crf": "18"}  # constant quality; 18 is commonly considered visually lossless
if platform.machine() in ("x86_64", "AMD64"):
    # With AVX-512 routines the output of x264 is not deterministic: up to half of the files differed for the
    # same frames, depending on previous memory contents. With SSE2, which all x86-64 CPUs have, it is;
    # encoding takes 25 % longer.
    X264["x264-params"] = "asm=sse2"
# Constant quality about that of X264's.
VP9 = {"crf": "24", "b": "0", "threads": "1", "row-mt": "0", "deadline": "good", "cpu-used": "2"}
BT709 = 1  # ITU-T H.273, tables 2 to 4: colour primaries, transfer function and matrix of HD video
WEBP_QUALITY = 90  # of 100
GIF_TICK = 0.01  # seconds: unit of frame durations in gif
GIF_MIN_TICKS = 2  # browsers display shorter frames for a tenth of a second


class _Container(NamedTuple):
    format: str
    options: dict[str, str]
    codec: str
    codec_options: dict[str, str]
    audio_codec: str


_INDEX_FIRST = {"movflags": "+faststart", "fflags": "+bitexact"}
CONTAINERS = {
    ".mp4": _Container("mp4", _INDEX_FIRST, "libx264", X264, "aac"),
    ".mov": _Container("mov", _INDEX_FIRST, "libx264", X264, "aac"),
    ".webm": _Container("webm", {"fflags": "+bitexact"}, "libvpx-vp9", VP9, "libopus"),
}


def write(
    frames: UInt8[np.ndarray, "F H W 3"],
    fps: float | int,
    path: str | os.PathLike[str],
    comment: str = "",
    audio: str | os.PathLike[str] | None = None,
) -> None:
    """Write frames to a file in the format given by the suffix.

    An existing file is replaced only by a complete one. `.mp4` and `.mov` are H.264 in yuv420p at CRF 18 with the index
    at the beginning, `.webm` is VP9. Odd sizes are padded by repeating the last row or column. The bytes do not depend on the
    number of cores. `.gif` and `.webp` are looping animations; `.png` is a `grid` of the frames, and a pattern such as
    `frames/frame_%04d.png` an image for each.

    ```python
    write(clip.frames, clip.fps, "out.mp4")    # as clip.save("out.mp4") does
    ```

    Args:
        frames: frames to write.
        fps: frame rate in frames per second.
        path: file to write.
        comment: text to store in the file, see `read_comment`.
        audio: file whose sound the video gets, from its beginning on, cut to the length of the video.

    Raises:
        BadInput: the suffix is not supported, the folder is not writable, the disk is full, or there is no sound in `audio`
            or no place for it in the format.
    """
    path = Path(path)
    check_output(path, with_audio=audio is not None)
    if is_pattern(path):
        write_sequence(frames, path, comment)
        return
    with replacing(path) as unfinished:
        try:
            sound = () if audio is None else (audio,)
            _ENCODERS[path.suffix.lower()](frames, fps, unfinished, comment, *sound)
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def grid(frames: UInt8[np.ndarray, "N H W 3"], columns: int | None = None) -> UInt8[np.ndarray, "Y X 3"]:
    """Arrange frames in a grid, row by row; unused cells of the last row are black.

    Args:
        frames: frames of the grid, at least one.
        columns: number of frames per row; about the number of rows if None.

    Raises:
        BadInput: there are no frames, or less than one column.
    """
    count, height, width, _ = frames.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    if count < 1 or columns < 1:
        raise BadInput(f"a grid needs at least one frame and one column, not {count} and {columns}")
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, 3), np.uint8)
    cells[:count] = frames
    cells = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width, 3)


def check_output(path: str | os.PathLike[str], *, with_audio: bool = False) -> None:
    """Check that `write` could write a clip to a path, before the clip is generated.

    Raises:
        BadInput: the suffix is not supported, or holds no sound, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENCODERS:
        raise BadInput(f"{path} ends in {path.suffix or 'no suffix'}; give one of {', '.join(_ENCODERS)}")
    if with_audio and path.suffix.lower() not in CONTAINERS:
        raise BadInput(f"{path} cannot hold sound; give one of {', '.join(CONTAINERS)}")
    if is_pattern(path):
        check_sequence(path)
    else:
        check_target(path)


def _write_video(
    frames: np.ndarray,
    fps: float | int,
    path: Path,
    comment: str,
    audio: str | os.PathLike[str] | None = None,
) -> None:
    kind = CONTAINERS[path.suffix.lower()]
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with av.open(f"file:{path}", "w", format=kind.format, options=kind.options) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream(kind.codec, rate=1 / frame_period(fps), options=kind.codec_options)
        assert isinstance(stream, VideoStream)
        _configure(stream, frames)
        track = None if audio is None else AudioTrack(audio, container, kind.audio_codec, len(frames) / fps)
        for index, pixels in enumerate(frames):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts = index
            container.mux(stream.encode(frame))
            if track is not None:
                track.write(until=(index + 1) / fps)
        container.mux(stream.encode(None))
        if track is not None:
            track.close()


def _configure(stream: VideoStream, frames: np.ndarray) -> None:
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # the output of x264 depends on the number of threads
    stream.color_primaries = stream.color_trc = stream.colorspace = BT709
    stream.color_range = ColorRange.MPEG


def _write_gif(frames: np.ndarray, fps: float | int, path: Path, comment: str) -> None:
    metadata = {"comment": comment.encode("utf-8")} if comment else {}
    _write_animation(frames, fps, path, "GIF", tick=GIF_TICK, min_ticks=GIF_MIN_TICKS, **metadata)


def _write_webp(frames: np.ndarray, fps: float | int, path: Path, comment: str) -> None:
    metadata = {"xmp": comment.encode("utf-8")} if comment else {}
    _write_animation(frames, fps, path, "WEBP", tick=0.001, min_ticks=1, quality=WEBP_QUALITY, **metadata)


def _write_animation(
    frames: np.ndarray,
    fps: float | int,
    path: Path,
    file_format: str,
    *,
    tick: float,
    min_ticks: int,
    **options: Any,
) -> None:
    # Times are rounded down, not durations, so that rounding errors do not accumulate and no frame is late.
    times = [int(index / fps / tick + 1e-6) for index in range(len(frames) + 1)]
    milliseconds = [
        max(end - time, min_ticks) * round(1000 * tick) for time, end in itertools.pairwise(times)
    ]
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, file_format, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options)


def _write_png(frames: np.ndarray, _fps: float | int, path: Path, comment: str) -> None:
    metadata = PngInfo()
    if comment:
        metadata.add_itxt("Comment", comment)
    Image.fromarray(grid(frames)).save(path, "PNG", pnginfo=metadata)


def read_comment(path: str | os.PathLike[str]) -> str:
    """Return the comment that `write` stored in a file; empty where there is none.

    Raises:
        BadInput: the file cannot be read as a video or an image.
    """
    path = Path(path)
    check_regular(path)
    try:
        if path.suffix.lower() in CONTAINERS:
            with av.open(f"file:{path}") as container:
                return next((x for key, x in container.metadata.items() if key.lower() == "comment"), "")
        with Image.open(path) as image:
            values = [image.info.get(key, "") for key in ("Comment", "comment", "xmp")]
    except (*PILLOW_ERRORS, av.FFmpegError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    value = next((value for value in values if value), "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


_ENCODERS: dict[str, Callable[..., None]] = dict.fromkeys(CONTAINERS, _write_video) | {
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".png": _write_png,
}
