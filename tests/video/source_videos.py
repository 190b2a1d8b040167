"""Synthetic test videos with frames that are identified by their grey level."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 10  # grey levels between consecutive frames; the codecs used here change levels by at most 3


def levels(frames: np.ndarray) -> list[int]:
    """Return the indices of frames of `numbered`, from the grey levels of their centres."""
    height, width = frames.shape[1:3]
    centre = frames[:, height // 3 : height // 2 + 1, width // 3 : width // 2 + 1]
    return [round(level / STEP) for level in centre.mean(axis=(1, 2, 3))]


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return frames [count, height, width, 3]; frame i has grey level STEP * i."""
    return np.broadcast_to(
        (STEP * np.arange(count, dtype=np.uint8))[:, None, None, None], (count, height, width, 3)
    ).copy()


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    fps: int = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    **metadata: str,
) -> Path:
    """Write frames with PyAV only. `ticks` are presentation times in milliseconds, for variable frame rates."""
    form = {3: "rgb24", 4: "rgba", 1: "gray"}[frames.shape[-1]]
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels[..., 0] if form == "gray" else pixels, format=form)
            if ticks is not None:
                frame.pts, frame.time_base = ticks[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shared_media() -> list[Path]:
    """Return real clips and images beside the checkout, if present."""
    return sorted((Path(__file__).resolve().parents[3] / "shared" / "media").glob("*.*"))
