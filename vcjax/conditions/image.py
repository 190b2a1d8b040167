"""The image condition: the first frame, in colour."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind
from vcjax.conditions.media import WHITE, describe_source, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.storage import ImageFileCondition
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(ImageFileCondition):
    """First frame of the video, RGB in [0, 1]."""

    name: ClassVar[str] = "image"
    kind: ClassVar[Kind] = "spatial"
    channels: ClassVar[int] = 3
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    bits: ClassVar[float] = 3.0
    stored_as: ClassVar[str] = "8-bit image files, JPEG where PNG is too large: real videos above 38 dB"
    summary: ClassVar[str] = "the first frame"
    accepts: ClassVar[str] = "an image, or an array (.npy) in [0, 1]"

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "1 H W 3"]:
        """Read an image, or the first frame of a video, resized and cropped."""
        array = load_array(source)
        if array is not None:
            return self.validate(array, shape, describe_source(source))
        return self._resize(load_frames(source, shape, 1, WHITE), shape)

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "1 H W 3"]:
        """Return the first frame of the clip."""
        return self._resize(clip.frames[:1], shape)

    def _resize(self, frames: np.ndarray, shape: ClipShape) -> np.ndarray:
        from vcjax.video.resize import resize_crop

        return resize_crop(frames, *self.size(shape), rule="map").astype(np.float32) / 255

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return the image at the size of the clip."""
        return to_rgb(array, shape)
