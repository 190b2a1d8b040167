"""The image condition: the first frame, in colour."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind
from vcjax.conditions.media import WHITE, array_of, name_of, pictures
from vcjax.conditions.preview import as_picture
from vcjax.conditions.storage import PictureCondition
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(PictureCondition):
    """The first frame of the video, in [0, 1]."""

    name: ClassVar[str] = "image"
    kind: ClassVar[Kind] = "still"
    channels: ClassVar[int] = 3
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    bits: ClassVar[float] = 3.0
    stored_as: ClassVar[str] = (
        "picture files of 8 bits, JPEG where PNG is too large: real footage above 38 dB"
    )
    summary: ClassVar[str] = "the first frame"
    accepts: ClassVar[str] = "a picture, or an array (.npy) in [0, 1]"

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "1 H W 3"]:
        """A picture (of a video, its first frame), resized and cropped."""
        array = array_of(source)
        if array is not None:
            return self.checked(array, shape, name_of(source))
        return self._resized(pictures(source, shape, 1, WHITE), shape)

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "1 H W 3"]:
        """The footage's first frame."""
        return self._resized(clip.frames[:1], shape)

    def _resized(self, frames: np.ndarray, shape: ClipShape) -> np.ndarray:
        from vcjax.video.resize import resize_crop

        return resize_crop(frames, *self.size(shape), rule="map").astype(np.float32) / 255

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The picture itself."""
        return as_picture(array, shape)
