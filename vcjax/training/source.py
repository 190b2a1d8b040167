"""`Source`: where the diffusion task takes its clips from, and the batch that it makes of them."""

from collections.abc import Generator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from flax import struct
from jaxtyping import PRNGKeyArray

from vcjax.training.config import Stage


@struct.dataclass
class TrainingBatch:
    """A batch of clips on the device, with everything that conditions are made of.

    Attributes:
        frames: frames in [-1, 1], `[B, F, H, W, 3]`; None for clips of a prepared data set.
        ids: token ids of the captions, `[B, T]`.
        maps: map conditions by name, `[B, F or 1, H, W, C]`.
        objects: 1 where an object is visible, else 0, `[B, F, H, W, 1]`; None for clips of a prepared data set.
        posterior: posterior of the latents, `[B, F, h, w, c]`, where they have been encoded before; else None.
        vectors: vector conditions by name, `[B, E]`, where they have been extracted before.
        frame_index: index of each frame in its clip, `[B, F]`; 0, 1, ... where None.
    """

    frames: Any
    ids: Any
    maps: dict[str, Any]
    objects: Any
    posterior: Any = None
    vectors: dict[str, Any] = struct.field(default_factory=dict)
    frame_index: Any = None

    @property
    def extent(self) -> tuple[int, int]:
        """Number of clips, and of frames of each."""
        return (self.posterior.mean if self.frames is None else self.frames).shape[:2]


@runtime_checkable
class Source(Protocol):
    """A source of training clips."""

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Any, None, None]:
        """Yield the batches of a stage that began at step `begin`, from step `first` on, without end."""
        ...

    def pick(self, split: str, indices: np.ndarray, frames: int) -> Any:
        """Return a batch of these clips of a split."""
        ...

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Return the captions of these clips of a split."""
        ...

    def training_batch(self, batch: Any, key: PRNGKeyArray, split: str = "train") -> TrainingBatch:
        """Complete a batch on the device; pure and traceable."""
        ...
