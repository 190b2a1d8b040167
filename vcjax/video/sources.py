"""Files as runs of moments, each a frame and when it is shown: images through Pillow, videos through FFmpeg (PyAV)."""

import dataclasses
import functools
import itertools
import math
import os
import re
import struct
from collections.abc import Iterator
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

CLOCK_ERROR = 1e-3  # seconds: containers round the time of a frame, Matroska and FLV to a millisecond,
GIF_CLOCK_ERROR = 1e-2  # gif to a hundredth
SEEK_MARGIN = 1.0  # seconds: containers find frames by the time they are decoded, not shown
SHORTFALL = 0.25  # seconds that a video may lack at its end before it counts as cut off
UNKNOWN_RATE = 25.0  # frames a second where a file tells nothing: FFmpeg's own assumption
STILL_RATE = 1.0  # frames a second of a still image

# What Pillow reads for us, and those of them whose further images are later in time, not pages or views.
PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")
ANIMATED = ("PNG", "GIF", "WEBP", "AVIF")
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)
# FFmpeg's own decoders of these skip the alpha channel.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclasses.dataclass(frozen=True, eq=False)
class Moment:
    """A frame as its source holds it, when it is shown (seconds from the beginning), and for how long, if known."""

    frame: Any
    time: float
    seconds: float | None


def open_source(path: str | os.PathLike[str]) -> "Picture | Video":
    """The source that can read the file, told by what lies in it and not by its name."""
    path = Path(path)
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a directory; give a video or an image")
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is not a regular file; give a video or an image")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a video or an image") from error
    if empty:
        raise BadInput(f"{path} is empty; give a video or an image")
    try:
        return Picture(path)
    except UnidentifiedImageError:
        return Video(path)
    except PILLOW_ERRORS as error:
        raise BadInput(f"{path} cannot be read as an image ({error}); give a whole one") from error


class Picture:
    """A still or animated image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image = Image.open(path, formats=PICTURES)
        self.clock_error = GIF_CLOCK_ERROR if self.image.format == "GIF" else CLOCK_ERROR
        self.damage: list[str] = []

    def close(self) -> None:
        """Let the file go."""
        self.image.close()

    @functools.cached_property
    def _lengths(self) -> list[float | None]:
        return [moment.seconds for moment in self.moments(0.0)]

    @property
    def frames(self) -> int:
        """Number of frames; None where the file does not say."""
        return len(self._lengths)

    @property
    def seconds(self) -> float | None:
        """Length; None where the file does not say, and for a still."""
        return sum(length or 0.0 for length in self._lengths) or None

    @property
    def rate(self) -> float:
        """Frames a second at which every frame is shown."""
        return self.frames / self.seconds if self.seconds else STILL_RATE

    def moments(self, _start: float | int) -> Iterator[Moment]:
        """The images in their order, from the first, since each may build on the one before."""
        self.damage.clear()
        # An APNG may open with an image outside its animation.
        first = 1 if self.image.info.get("default_image") else 0
        last = None if self.image.format in ANIMATED else first + 1
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
            yield Moment(frame, time, seconds)
            time += seconds or 1 / UNKNOWN_RATE

    def pixels(self, frame: Image.Image) -> np.ndarray:
        """RGB or RGBA of one image."""
        if frame.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip to 8
            grey = (np.asarray(frame).clip(0, 65_535) / 257).round().astype(np.uint8)
            return np.stack([grey] * 3, axis=-1)
        if frame.mode == "F":
            raise BadInput(f"{self.path} holds floating-point pixels; give an image of 8 or 16 bits")
        return np.asarray(frame.convert("RGBA" if frame.has_transparency_data else "RGB"))

    def thumbnail(self, frame: Image.Image, side: int) -> np.ndarray:
        """RGB of one image, squeezed into a square."""
        return np.asarray(frame.convert("RGB").resize((side, side), Image.Resampling.BOX))


class Video:
    """The first video stream of a container."""

    clock_error = CLOCK_ERROR

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self._open()

    def close(self) -> None:
        """Let the file go."""
        self.container.close()

    def _open(self) -> None:
        try:  # "file:" since a name may hold a colon, and would then be taken for a protocol
            self.container = av.open(f"file:{self.path}", metadata_errors="replace")
        except av.FFmpegError as error:
            raise BadInput(_unreadable(self.path, error)) from error
        shows = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not shows or shows[0].codec_context is None:
            self.container.close()
            reason = "a video in a codec that FFmpeg does not know" if shows else "no video"
            raise BadInput(f"{self.path} holds {reason}; give a video or an image")
        self.stream: VideoStream = shows[0]

    @property
    def frames(self) -> int | None:
        """Number of frames; None where the file does not say."""
        return self.stream.frames or None

    @property
    def seconds(self) -> float | None:
        """Length; None where the file does not say, and for a still."""
        whole = self.container.duration
        return self._declared or (whole / av.time_base if whole else None)

    @property
    def rate(self) -> float:
        """Frames a second at which every frame is shown."""
        return float(self.stream.guessed_rate or self.stream.average_rate or UNKNOWN_RATE)

    @property
    def _declared(self) -> float | None:
        """Seconds of the video stream by itself; those of the container may be its sound's."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        clock = re.fullmatch(r"(\d+):(\d+):([\d.]+)", self.stream.metadata.get("DURATION", ""))  # Matroska
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else None

    def moments(self, start: float | int) -> Iterator[Moment]:
        """The frames in the order in which they are shown, the first of them at `start` or before."""
        if start > SEEK_MARGIN:
            if self._seek(start - SEEK_MARGIN):
                moments = self._timed(clock=math.inf)
                first = next(moments, None)
                if first is not None and first.time <= start:
                    yield first
                    yield from moments
                    return
            self.close()  # the container cannot seek, or not that well: from the beginning then
            self._open()
        yield from self._timed(clock=0.0)

    def _seek(self, seconds: float | int) -> bool:
        if self.stream.start_time is None or self.stream.time_base is None:
            return False
        try:
            ticks = self.stream.start_time + round(seconds / self.stream.time_base)
            self.container.seek(ticks, stream=self.stream)
        except av.FFmpegError:
            return False
        return True

    def _timed(self, clock: float) -> Iterator[Moment]:
        """The frames from here on; `clock` is the time of one that has none, for the first: infinity if unknown."""
        self.damage.clear()
        tick = float(self.stream.time_base or 0)
        origin = None if self.stream.start_time is None else self.stream.start_time * tick
        latest = -math.inf
        for frame in self._frames():
            time = clock
            if frame.pts is not None and tick:
                origin = frame.pts * tick if origin is None else origin
                time = frame.pts * tick - origin
            if time < latest:  # the file's clock jumped back: go on from where the last frame ended
                time = clock
            length = frame.duration * tick or 1 / self.rate
            yield Moment(frame, time, length)
            latest, clock = time, time + length
        if self._declared is not None and clock < self._declared - SHORTFALL:
            self.damage.append(f"it ends after {clock:.2f} of {self._declared:.2f} seconds")

    def _frames(self) -> Iterator[VideoFrame]:
        decoder = self._decoder()
        for packet in self._packets():
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:  # one broken packet: go on with the next
                self.damage.append(error.strerror or str(error))
                continue
            yield from frames

    def _packets(self) -> Iterator[av.Packet | None]:
        """Whole packets as long as the container gives them, then None, at which the decoder hands out the rest."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt:
                    self.damage.append("a packet is cut off")
                elif packet.size:
                    yield packet
        except av.FFmpegError as error:
            self.damage.append(error.strerror or str(error))
        except IndexError:  # PyAV's, where a damaged file goes on with a stream that it did not begin with
            self.damage.append("a packet belongs to no stream")
        yield None

    def _decoder(self) -> VideoCodecContext:
        decoder = self.stream.codec_context
        if self.stream.metadata.get("alpha_mode") == "1" and decoder.name in ALPHA_DECODERS:
            decoder = cast(VideoCodecContext, VideoCodecContext.create(ALPHA_DECODERS[decoder.name], "r"))
        decoder.thread_type = ThreadType.AUTO
        return decoder

    def pixels(self, frame: VideoFrame) -> np.ndarray:
        """RGB or RGBA of one frame, turned as it is meant to be shown."""
        transparent = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
        pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24")
        return np.rot90(pixels, round(frame.rotation / 90))

    def thumbnail(self, frame: VideoFrame, side: int) -> np.ndarray:
        """RGB of one frame, squeezed into a square."""
        return frame.reformat(width=side, height=side, format="rgb24").to_ndarray()


def _unreadable(path: Path, error: av.FFmpegError) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] == b"ftyp":  # an mp4 by its first box, yet not readable
        return f"{path} is an mp4 or mov that lost its index (moov), as recordings do that were broken off; give a whole one"
    return f"{path} is neither a video nor an image that can be read ({error.strerror}); give one of these"
