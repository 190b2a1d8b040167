"""Decoding of files to timed frames: images with Pillow, videos with FFmpeg (PyAV)."""

import dataclasses
import functools
import itertools
import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.codec.context import ThreadType
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageOps, UnidentifiedImageError

from vcjax.errors import BadInput
from vcjax.video.sequence import check_files, sequence_files

CLOCK_ERROR = 1e-3  # seconds: rounding of timestamps in containers, for example Matroska and FLV
GIF_CLOCK_ERROR = 1e-2  # seconds: rounding of timestamps in gif
SEEK_MARGIN = 1.0  # seconds: containers seek by decoding time, not by presentation time
END_TOLERANCE = 0.25  # seconds that may be missing at the end before a video counts as truncated
UNKNOWN_RATE = 25.0  # frames per second if the file does not declare a rate: FFmpeg's default
IMAGE_RATE = 1.0  # frames per second of a still image

# Formats read with Pillow, and those of them that store animations; further images in the others are pages or
# views.
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")
ANIMATED_FORMATS = ("PNG", "GIF", "WEBP", "AVIF")
PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError,
    RuntimeError,  # of the decoder of AVIF
)  # fmt: skip
MAX_PIXELS = 100_000_000  # of a frame: twice those of most cameras; a frame takes four bytes of each, several times over
# FFmpeg's native decoders of these codecs ignore the alpha channel.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclasses.dataclass(frozen=True, eq=False)
class TimedFrame:
    """A decoded frame with its presentation time.

    Attributes:
        frame: the frame in the format of its source.
        time: presentation time in seconds from the beginning.
        seconds: duration of the frame in seconds; None if unknown.
    """

    frame: Any
    time: float
    seconds: float | None


def open_source(path: str | os.PathLike[str], rate: float | int | None = None) -> "Source":
    """Open a video, an image or a sequence of images; the format is detected from the content, not from the name.

    Args:
        path: a file, a folder of images, or a pattern such as frame_%04d.png.
        rate: frame rate of an image sequence, which has none of its own.

    Raises:
        BadInput: the file cannot be read or is neither a video nor an image.
    """
    path = Path(path)
    try:
        if (files := sequence_files(path)) is not None:
            return SequenceSource(path, files, float(rate or UNKNOWN_RATE))
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is not a regular file; give a video or an image")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a video or an image") from error
    if empty:
        raise BadInput(f"{path} is empty; give a video or an image")
    try:
        return ImageSource(path)
    except UnidentifiedImageError:
        return VideoSource(path)
    except BadInput:
        raise
    except PILLOW_ERRORS as error:
        raise BadInput(f"{path} cannot be read as an image ({error}); give a complete one") from error


class ImageSource:
    """A still or animated image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image = Image.open(path, formats=IMAGE_FORMATS)
        try:
            _check_pixels(path, *self.image.size)
        except BadInput:
            self.image.close()
            raise
        self.clock_error = GIF_CLOCK_ERROR if self.image.format == "GIF" else CLOCK_ERROR
        self.damage: list[str] = []

    def close(self) -> None:
        """Close the file."""
        self.image.close()

    @functools.cached_property
    def _durations(self) -> list[float | None]:
        return [timed.seconds for timed in self.timed_frames(0.0)]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self._durations)

    @property
    def seconds(self) -> float | None:
        """Duration in seconds; None for a still image, and if the file does not declare it."""
        return sum(duration or 0.0 for duration in self._durations) or None

    @property
    def rate(self) -> float:
        """Frame rate in frames per second."""
        return self.frames / self.seconds if self.seconds else IMAGE_RATE

    def timed_frames(self, _start: float | int) -> Iterator[TimedFrame]:
        """Yield all images from the first, because each may depend on the previous one."""
        self.damage.clear()
        # An APNG may begin with an image that is not part of the animation.
        first = 1 if self.image.info.get("default_image") else 0
        last = None if self.image.format in ANIMATED_FORMATS else first + 1
        time = 0.0
        for index in itertools.islice(itertools.count(), first, last):
            try:
                self.image.seek(index)
                frame = ImageOps.exif_transpose(self.image)
            except EOFError:
                return
            except PILLOW_ERRORS as error:
                self.damage.append(str(error))
                return
            seconds = self.image.info.get("duration", 0) / 1000 or None
            yield TimedFrame(frame, time, seconds)
            time += seconds or 1 / UNKNOWN_RATE

    def pixels(self, frame: Image.Image) -> np.ndarray:
        """Convert an image to RGB or RGBA."""
        if frame.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to 8 bits
            grey = (np.asarray(frame).clip(0, 65_535) / 257).round().astype(np.uint8)
            return np.stack([grey] * 3, axis=-1)
        if frame.mode == "F":
            raise BadInput(f"{self.path} contains floating-point pixels; give an image of 8 or 16 bits")
        return np.asarray(frame.convert("RGBA" if frame.has_transparency_data else "RGB"))

    def thumbnail(self, frame: Image.Image, side: int) -> np.ndarray:
        """Convert an image to RGB, resized to `side` x `side` pixels."""
        return np.asarray(frame.convert("RGB").resize((side, side), Image.Resampling.BOX))


class SequenceSource:
    """The images of a folder or of a pattern, of which each is a frame."""

    clock_error = CLOCK_ERROR

    def __init__(self, path: Path, files: Sequence[Path], rate: float) -> None:
        check_files(files)
        self.path, self.files, self.rate = path, files, rate
        self.damage: list[str] = []
        self._last: ImageSource | None = None

    def close(self) -> None:
        """Close the last image."""
        if self._last is not None:
            self._last.close()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.files)

    @property
    def seconds(self) -> float | None:
        """Duration in seconds: unknown, as the rate is the reader's."""
        return None

    def timed_frames(self, start: float | int) -> Iterator[TimedFrame]:
        """Yield the images from the one at `start` on."""
        for index in range(max(0, math.floor(start * self.rate)), len(self.files)):
            self.close()
            source = open_source(self.files[index])
            if not isinstance(source, ImageSource):
                source.close()
                raise BadInput(
                    f"{self.files[index]} is not an image; give a folder of images, or the video itself"
                )
            self._last = source
            timed = next(source.timed_frames(0.0), None)
            if timed is None:
                raise BadInput(
                    f"{self.files[index]} contains no image that can be decoded; give a complete one"
                )
            yield TimedFrame(source.pixels(timed.frame), index / self.rate, 1 / self.rate)

    def pixels(self, frame: np.ndarray) -> np.ndarray:
        """Return the image, which is RGB or RGBA."""
        return frame

    def thumbnail(self, frame: np.ndarray, side: int) -> np.ndarray:
        """Return the image in RGB, resized to `side` x `side` pixels."""
        return np.asarray(Image.fromarray(frame).convert("RGB").resize((side, side), Image.Resampling.BOX))


class VideoSource:
    """The first video stream of a container."""

    clock_error = CLOCK_ERROR

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self._open()

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _open(self) -> None:
        try:  # "file:" since FFmpeg would take a name with a colon for a protocol
            self.container = av.open(f"file:{self.path}", metadata_errors="replace")
        except av.FFmpegError as error:
            raise BadInput(_unreadable(self.path, error)) from error
        streams = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams or streams[0].codec_context is None:
            self.container.close()
            reason = "a video in a codec that FFmpeg does not support" if streams else "no video"
            raise BadInput(f"{self.path} contains {reason}; give a video or an image")
        self.stream: VideoStream = streams[0]
        _check_pixels(self.path, self.stream.width, self.stream.height)

    @property
    def frames(self) -> int | None:
        """Number of frames; None if the file does not declare it."""
        return self.stream.frames or None

    @property
    def seconds(self) -> float | None:
        """Duration in seconds; None if the file does not declare it."""
        duration = self.container.duration
        return self._stream_seconds or (duration / av.time_base if duration else None)

    @property
    def rate(self) -> float:
        """Frame rate in frames per second."""
        return float(self.stream.guessed_rate or self.stream.average_rate or UNKNOWN_RATE)

    @property
    def _stream_seconds(self) -> float | None:
        """Duration of the video stream in seconds; that of the container may be the audio's."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        clock = re.fullmatch(r"(\d+):(\d+):([\d.]+)", self.stream.metadata.get("DURATION", ""))  # Matroska
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else None

    def timed_frames(self, start: float | int) -> Iterator[TimedFrame]:
        """Yield the frames in presentation order, the first of them at `start` or before."""
        if start > SEEK_MARGIN:
            if self._seek(start - SEEK_MARGIN):
                timed_frames = self._timed_frames(clock=math.inf)
                first = next(timed_frames, None)
                if first is not None and first.time <= start:
                    yield first
                    yield from timed_frames
                    return
            self.close()  # the container cannot seek, or only inaccurately: decode from the beginning
            self._open()
        yield from self._timed_frames(clock=0.0)

    def _seek(self, seconds: float | int) -> bool:
        if self.stream.start_time is None or self.stream.time_base is None:
            return False
        try:
            ticks = self.stream.start_time + round(seconds / self.stream.time_base)
            self.container.seek(ticks, stream=self.stream)
        except av.FFmpegError:
            return False
        return True

    def _timed_frames(self, clock: float) -> Iterator[TimedFrame]:
        """Yield the frames from the current position.

        Args:
            clock: time in seconds of the first frame if it has no timestamp; infinity if unknown.
        """
        self.damage.clear()
        tick = float(self.stream.time_base or 0)
        origin = None if self.stream.start_time is None else self.stream.start_time * tick
        latest = -math.inf
        for frame in self._frames():
            time = clock
            if frame.pts is not None and tick:
                origin = frame.pts * tick if origin is None else origin
                time = frame.pts * tick - origin
            if time < latest:  # timestamps jumped back: continue from the end of the previous frame
                time = clock
            seconds = frame.duration * tick or 1 / self.rate
            yield TimedFrame(frame, time, seconds)
            latest, clock = time, time + seconds
        if self._stream_seconds is not None and clock < self._stream_seconds - END_TOLERANCE:
            self.damage.append(f"it ends after {clock:.2f} of {self._stream_seconds:.2f} seconds")

    def _frames(self) -> Iterator[VideoFrame]:
        decoder = self._decoder()
        for packet in self._packets():
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:  # damaged packet: continue with the next
                self.damage.append(error.strerror or str(error))
                continue
            yield from frames

    def _packets(self) -> Iterator[av.Packet | None]:
        """Yield all intact packets, then None, which flushes the decoder."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt:
                    self.damage.append("a packet is truncated")
                elif packet.size:
                    yield packet
        except av.FFmpegError as error:
            self.damage.append(error.strerror or str(error))
        except IndexError:  # raised by PyAV if a damaged file refers to an undeclared stream
            self.damage.append("a packet belongs to no stream")
        yield None

    def _decoder(self) -> VideoCodecContext:
        decoder = self.stream.codec_context
        if self.stream.metadata.get("alpha_mode") == "1" and decoder.name in ALPHA_DECODERS:
            decoder = cast(VideoCodecContext, VideoCodecContext.create(ALPHA_DECODERS[decoder.name], "r"))
        decoder.thread_type = ThreadType.AUTO
        return decoder

    def pixels(self, frame: VideoFrame) -> np.ndarray:
        """Convert a frame to RGB or RGBA, with its rotation applied."""
        _check_pixels(self.path, frame.width, frame.height)  # which may differ from what the file declares
        transparent = frame.format.has_palette or any(
            component.is_alpha for component in frame.format.components
        )
        pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24")
        return np.rot90(pixels, round(frame.rotation / 90))

    def thumbnail(self, frame: VideoFrame, side: int) -> np.ndarray:
        """Convert a frame to RGB, resized to `side` x `side` pixels."""
        return frame.reformat(width=side, height=side, format="rgb24").to_ndarray()


Source = ImageSource | SequenceSource | VideoSource


def _check_pixels(path: Path, width: int, height: int) -> None:
    """Raise BadInput where a frame is too large to decode."""
    if width * height > MAX_PIXELS:
        raise BadInput(
            f"{path} has frames of {width}x{height} pixels, more than the {MAX_PIXELS} that one may have; give a smaller one"
        )


def _unreadable(path: Path, error: av.FFmpegError) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] == b"ftyp":  # the first box is an mp4's, but the file is not readable
        return f"{path} is an mp4 or mov without its index (moov), as after an interrupted recording; give a complete file"
    return f"{path} is neither a video nor an image that can be read ({error.strerror}); give one of these"
