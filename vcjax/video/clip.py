"""The `Clip` class: frames in memory with their frame rate, the input and output format for videos."""

import dataclasses
from os import PathLike

import numpy as np
from jaxtyping import UInt8

from vcjax.errors import BadInput


def repeated(frame: UInt8[np.ndarray, "1 H W C"], count: int) -> UInt8[np.ndarray, "F H W C"]:
    """Return one frame as a clip of `count` equal frames: a read-only view, which takes the memory of one."""
    return np.broadcast_to(frame, (count, *frame.shape[1:]))


def is_repeated(frames: np.ndarray) -> bool:
    """Return whether frames are views of one, as `repeated` returns them."""
    return len(frames) > 1 and frames.strides[0] == 0


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Frames of one video, in memory.

    ```python
    clip = vcjax.read("walk.mp4", fps=4, count=16, size=256)
    clip.frames.shape, clip.fps, clip.seconds
    clip.save("out.gif")
    ```

    Attributes:
        frames: uint8 RGB in [0, 255], `[F, H, W, 3]`, with at least one frame.
        fps: frame rate in frames per second, above 0.
        audio: file whose sound the clip has when it is saved; None for no sound.

    Raises:
        BadInput: `frames` has another shape or type or no frames, or `fps` is not above 0.
    """

    frames: UInt8[np.ndarray, "F H W 3"]
    fps: float | int
    audio: str | PathLike[str] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype != np.uint8:
            raise BadInput(
                f"frames of a clip must be uint8 of shape [F, H, W, 3] with at least one frame, "
                f"not {frames.dtype} of shape {list(frames.shape)}"
            )
        if not self.fps > 0:
            raise BadInput(f"the frame rate of a clip must be above 0, not {self.fps}")

    def __len__(self) -> int:
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        """Frame height in pixels."""
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        """Frame width in pixels."""
        return self.frames.shape[2]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self) / self.fps

    def save(self, path: str | PathLike[str], comment: str = "") -> None:
        """Write the clip to a file in the format given by the suffix; see `vcjax.video.write.write`."""
        from vcjax.video.write import write

        write(self.frames, self.fps, path, comment, self.audio)
