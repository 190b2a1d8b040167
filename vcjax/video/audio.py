"""Sound of a file, encoded anew as the track of a video."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler
from av.container import OutputContainer

from vcjax.errors import BadInput
from vcjax.input_files import check_regular

RATE = 48_000  # samples per second, of which every codec here is capable
BIT_RATE = 160_000  # bits per second
FRAME = 1024  # samples of a frame where the encoder has no size of its own


class AudioTrack:
    """The first audio stream of a file, as a track of a container that is being written.

    Args:
        path: file with sound.
        container: the container.
        codec: name of the encoder.
        seconds: length of the video; sound behind it is left out.

    Raises:
        BadInput: the file cannot be read or has no sound.
    """

    def __init__(
        self, path: str | os.PathLike[str], container: OutputContainer, codec: str, seconds: float
    ) -> None:
        self._source = _open(Path(path))
        stream = self._source.streams.audio[0]
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        self._container: OutputContainer = container
        self._track: Any = container.add_stream(codec, rate=RATE, options={"threads": "1"})
        self._track.layout, self._track.bit_rate = layout, BIT_RATE
        kind = self._track.codec_context.format
        self._left = round(seconds * RATE)
        self._written = 0
        self._fifo = AudioFifo()
        self._frames = self._decoded(stream, AudioResampler(kind.name if kind else "fltp", layout, RATE))

    def write(self, until: float) -> None:
        """Write the sound up to a time in seconds, so that sound and pictures lie side by side in the file."""
        size = self._track.codec_context.frame_size or FRAME
        while self._written < until * RATE and self._left > 0:
            while self._fifo.samples < min(size, self._left):
                frame = next(self._frames, None)
                if frame is None:
                    break
                self._fifo.write(frame)
            frame = self._fifo.read(min(size, self._left), partial=True)
            if frame is None:  # the sound ends before the pictures do
                self._left = 0
                return
            frame.pts = self._written
            self._written += frame.samples
            self._left -= frame.samples
            self._container.mux(self._track.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and close the file."""
        self._container.mux(self._track.encode(None))
        self._source.close()

    def _decoded(self, stream: Any, resampler: AudioResampler) -> Iterator[Any]:
        for frame in self._source.decode(stream):
            frame.pts = None
            yield from _without_times(resampler.resample(frame))
        yield from _without_times(resampler.resample(None))


def _without_times(frames: list[Any]) -> Iterator[Any]:
    for frame in frames:
        frame.pts = None
        yield frame


def _open(path: Path) -> Any:
    check_regular(path)
    try:
        source = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a file with sound") from error
    if not source.streams.audio:
        source.close()
        raise BadInput(f"{path} has no sound; give a file with sound")
    return source


def check_audio(path: str | os.PathLike[str]) -> None:
    """Raise BadInput where a file cannot be read or has no sound."""
    _open(Path(path)).close()
