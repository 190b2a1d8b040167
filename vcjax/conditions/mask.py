"""The mask condition: a video with a hidden region, which the model fills."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32

from vcjax.conditions.base import ClipShape, Functions, Kind
from vcjax.conditions.media import BLACK, brightness, describe_source, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.random_mask import random_mask
from vcjax.conditions.storage import ImageFileCondition
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(ImageFileCondition):
    """Masked video: channels are x (1 - m) for RGB frames x in [-1, 1], and 1 - m.

    m is 1 where a pixel is hidden, and the same in every frame.
    """

    name: ClassVar[str] = "mask"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 4
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    bits: ClassVar[float] = 2.3
    stored_as: ClassVar[str] = "8-bit frames, JPEG where PNG is too large: real videos above 37 dB"
    summary: ClassVar[str] = "a video with a hidden region, for inpainting"
    accepts: ClassVar[str] = (
        "an array (.npy) of 4 channels, RGB in [-1, 1] that is 0 where hidden and visibility (0 or 1)"
    )
    extract_options: ClassVar[dict[str, str]] = {
        "hide": "an image whose white parts are hidden; a random mask without it"
    }

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 4"]:
        """Read a finished mask condition from an array."""
        array = load_array(source)
        if array is None:
            raise BadInput(
                f"{describe_source(source)}: mask must be {self.accepts}; "
                "to mask a video, use vcjax.extract or --mask-from"
            )
        return self.validate(array, shape, describe_source(source))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "F H W 4"]:
        """Mask the clip with the image `hide`, or with the random mask of `seed`."""
        size = self.size(shape)
        frames = self.stored_features(clip, "", shape, networks)
        if extract_options.get("hide") is None:
            hidden = random_mask(seed, size)
        else:
            hidden = brightness(load_frames(extract_options["hide"], shape, 1, BLACK), size)[0, ..., 0] > 0.5
        return hide(frames, hidden)

    def stored_features(
        self, clip: Clip, caption: str, shape: ClipShape, networks: Functions
    ) -> Float32[np.ndarray, "F H W 3"]:
        """Return the unmasked frames in [-1, 1]: masks are drawn when records are loaded."""
        from vcjax.video.resize import resize_crop

        return resize_crop(clip.frames, *self.size(shape), rule="map").astype(np.float32) / 127.5 - 1

    def from_stored(
        self, stored: Float32[np.ndarray, "F H W 3"], seed: int
    ) -> Float32[np.ndarray, "F H W 4"]:
        """Mask the frames with the random mask of `seed`."""
        return hide(stored, random_mask(seed, stored.shape[1:3]))

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return the visible part; hidden pixels are grey."""
        return to_rgb(array[..., :3] / 2 + 0.5, shape)


def hide(
    frames: Float[Any, "*B F H W 3"], hidden: Bool[Any, "*B H W"], xp: Any = np
) -> Float[Any, "*B F H W 4"]:
    """Return the mask condition of frames in [-1, 1] and one mask for all frames of a clip.

    Args:
        frames: frames in [-1, 1].
        hidden: True hides a pixel.
        xp: `numpy` or `jax.numpy`, whichever the arrays are of.
    """
    visible = (~hidden).astype(frames.dtype)[..., None, :, :, None]
    visible = xp.broadcast_to(visible, (*frames.shape[:-1], 1))
    return xp.concatenate([frames * visible, visible], -1)
