"""`Clip`: frames and their rate, the form in which footage enters and leaves the system."""

import dataclasses
from fractions import Fraction
from os import PathLike

import numpy as np
from jaxtyping import UInt8

from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Frames of one video, in memory.

    ```python
    clip = vcjax.read("walk.mp4", fps=4, count=16, size=256)
    clip.frames.shape, clip.fps, clip.seconds
    clip.save("out.gif")
    ```

    Attributes:
        frames: uint8 RGB in [0, 255], `[F, H, W, 3]`, at least one frame.
        fps: frames a second, above 0.

    Raises:
        BadInput: frames of another shape or type, no frame at all, or a rate that is not above 0.
    """

    frames: UInt8[np.ndarray, "F H W 3"]
    fps: float | int

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype != np.uint8:
            raise BadInput(
                f"frames of a clip must be uint8 of shape [F, H, W, 3] with at least one frame, "
                f"not {frames.dtype} of shape {list(frames.shape)}"
            )
        if not self.fps > 0:
            raise BadInput(f"the rate of a clip must be above 0 frames a second, not {self.fps}")

    def __len__(self) -> int:
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        """Height of a frame in pixels."""
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        """Width of a frame in pixels."""
        return self.frames.shape[2]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def save(self, path: str | PathLike[str]) -> None:
        """Write the clip to a file; the suffix chooses the form (see `vcjax.video.write`)."""
        from vcjax.video.write import write

        write(self, path)


def frame_period(fps: float | int) -> Fraction:
    """How long a frame lasts, in seconds, as the fraction in which a codec counts time: 4 gives 1/4.

    Args:
        fps: frames a second.

    Raises:
        BadInput: a rate that is not above 0, or faster than codecs can count.
    """
    finest = 65_535  # MPEG-4 Part 2 counts time in 16 bits (ISO/IEC 14496-2, vop_time_increment_resolution)
    if not 0 < fps <= finest:
        raise BadInput(f"the rate of a clip must be above 0 and at most {finest} frames a second, not {fps}")
    return Fraction(1 / fps).limit_denominator(finest)
