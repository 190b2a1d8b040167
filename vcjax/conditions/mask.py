"""The mask condition: a video with a hidden region, which the model fills."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from vcjax.conditions.base import ClipShape, Drawing, Functions, Kind
from vcjax.conditions.keyframes import as_keyframes
from vcjax.conditions.mask_polygons import as_mask_polygons
from vcjax.conditions.media import BLACK, brightness, describe_source, is_still, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.random_mask import random_mask
from vcjax.conditions.storage import ImageFileCondition
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(ImageFileCondition):
    """Masked video: channels are x (1 - m) for RGB frames x in [-1, 1], and 1 - m.

    m is 1 where a pixel is hidden. In training it is the same in every frame.
    """

    name: ClassVar[str] = "mask"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 4
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    bits: ClassVar[float] = 2.3
    stored_as: ClassVar[str] = "8-bit frames, JPEG where PNG is too large: real videos above 37 dB"
    summary: ClassVar[str] = "a video with a hidden region, for inpainting"
    accepts: ClassVar[str] = (
        "keyframes (.json), or an array (.npy) of 4 channels, RGB in [-1, 1] that is 0 where hidden and visibility (0 or 1)"
    )
    extract_options: ClassVar[dict[str, str]] = {
        "hide": "an image or a video whose white parts are hidden, or polygons (.json); a random mask without it"
    }
    composites: ClassVar[bool] = True
    drawing: ClassVar[Drawing] = "mask"

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 4"]:
        """Read a finished mask condition from an array, or keyframes: pictures that are visible in their frames."""
        keyframes = as_keyframes(source)
        if keyframes is not None:
            frames, visible = keyframes.frames(shape, self.size(shape))
            hidden = np.broadcast_to(~visible[:, None, None], frames.shape[:3])
            return hide(frames.astype(np.float32) / 127.5 - 1, hidden)
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
        mask = extract_options.get("hide")
        polygons = as_mask_polygons(mask)
        if mask is None:
            hidden = random_mask(seed, size)[None]
        elif polygons is not None:
            hidden = polygons.hidden(shape.frames, *size)
        else:
            count = 1 if is_still(mask) else shape.frames
            hidden = brightness(load_frames(mask, shape, count, BLACK), size)[..., 0] > 0.5
        return hide(frames, hidden)

    def streams(self, extract_options: Mapping[str, Any]) -> bool:
        """Return whether parts of a clip can be extracted by themselves: not where the mask is one of the whole clip."""
        mask = extract_options.get("hide")
        return mask is None or (as_mask_polygons(mask) is None and is_still(mask))

    def shown(
        self, array: Float32[np.ndarray, "F h w 4"], size: tuple[int, int]
    ) -> tuple[UInt8[np.ndarray, "F H W 3"], Bool[np.ndarray, "F H W"]]:
        """Return the visible part as frames of a size, and which of their pixels are visible."""
        from vcjax.video.resize import resize_crop

        frames = ((array[..., :3] / 2 + 0.5) * 255).round().astype(np.uint8)
        visibility = (array[..., 3:] * 255).astype(np.uint8).repeat(3, -1)
        visible = resize_crop(visibility, *size, rule="map")[..., 0] > 254
        return resize_crop(frames, *size, rule="map"), visible

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
        return hide(stored, random_mask(seed, stored.shape[1:3])[None])

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return the visible part; hidden pixels are grey."""
        return to_rgb(array[..., :3] / 2 + 0.5, shape)


def hide(
    frames: Float[Any, "*B F H W 3"], hidden: Bool[Any, "*B #F H W"], xp: Any = np
) -> Float[Any, "*B F H W 4"]:
    """Return the mask condition of frames in [-1, 1] and a mask for all or for each frame of a clip.

    Args:
        frames: frames in [-1, 1].
        hidden: True hides a pixel.
        xp: `numpy` or `jax.numpy`, whichever the arrays are of.
    """
    visible = (~hidden).astype(frames.dtype)[..., None]
    visible = xp.broadcast_to(visible, (*frames.shape[:-1], 1))
    return xp.concatenate([frames * visible, visible], -1)
