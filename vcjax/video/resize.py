"""Resizing and centre cropping, with the rounding that the released model was trained with.

The rules differ by condition (VideoComposer's released configuration): see `resize_crop` for images and
`resize_crop_field` for motion.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from vcjax.errors import BadInput
from vcjax.video.clip import is_repeated, repeated

Rule = Literal["latent", "map", "picture"]


def resize_crop(
    frames: UInt8[np.ndarray, "F H W C"], height: int, width: int, *, rule: Rule
) -> UInt8[np.ndarray, "F {height} {width} C"]:
    """Resize frames with Pillow to cover `height` x `width`, and crop the centre.

    ```python
    resize_crop(clip.frames, 256, 256, rule="latent")    # for the autoencoder
    resize_crop(clip.frames, 384, 384, rule="map")       # for depth, sketch, image and mask
    ```

    Args:
        frames: images with any number of channels, which are resized independently.
        height: target height in pixels.
        width: target width in pixels.
        rule: "latent" halves with a box filter while the frame is at least twice the target size, then
            resizes bicubically and rounds the long side (also used for style from video, at 224). "map"
            resizes bicubically in one step and truncates the long side. Both floor the offset of the crop.
            "picture" is "map" with the offset rounded half to even, which is OpenCLIP's preprocessing.

    Returns:
        The resized frames; the input array if the size is already right. One repeated frame is resized once, see
        `vcjax.video.clip.repeated`.

    Raises:
        BadInput: the target is smaller than one pixel.
    """
    _check_target(height, width)
    if frames.shape[1:3] == (height, width):
        return frames
    if is_repeated(frames):
        return repeated(resize_crop(frames[:1], height, width, rule=rule), len(frames))
    result = np.empty((len(frames), height, width, frames.shape[3]), np.uint8)
    for target, frame in zip(result, frames, strict=True):
        for channel in range(frame.shape[2]):
            image = Image.fromarray(np.ascontiguousarray(frame[..., channel]))
            target[..., channel] = np.asarray(_resize_crop_image(image, height, width, rule))
    return result


def resize_crop_field(
    field: Float32[np.ndarray, "F H W C"],
    height: int,
    width: int,
    *,
    rule: Literal["field", "latent"] = "field",
) -> Float32[np.ndarray, "F {height} {width} C"]:
    """Resize a vector field bilinearly, without antialiasing, and crop its centre; values are not rescaled.

    Pixel centres are at half-integers as in `torch.nn.functional.interpolate(..., align_corners=False)`.

    ```python
    resize_crop_field(motion, 256, 256)     # [16, 360, 640, 2] -> [16, 256, 256, 2], columns 100 to 355 of 455
    ```

    Args:
        field: vector field, for example motion in pixels.
        height: target height in pixels.
        width: target width in pixels.
        rule: "field" truncates the long side and rounds the crop offset half to even, as torchvision's
            `CenterCrop` does; "latent" crops where `resize_crop(..., rule="latent")` does.

    Raises:
        BadInput: the target is smaller than one pixel.
    """
    _check_target(height, width)
    cover = _cover_truncated if rule == "field" else cover_rounded
    full_height, full_width = cover(field.shape[1], field.shape[2], height, width)
    for axis, full, size in ((1, full_height, height), (2, full_width, width)):
        offset = (full - size) / 2
        first = round(offset) if rule == "field" else int(offset)
        below, above, weight = _bilinear_taps(field.shape[axis], full, size, first)
        weight = np.expand_dims(
            weight, tuple(range(1, field.ndim - axis))
        )  # broadcast over the axes after `axis`
        field = field.take(below, axis) * (1 - weight) + field.take(above, axis) * weight
    return field


def _check_target(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise BadInput(f"the size to resize to must be at least 1x1 pixels, not {height}x{width}")


def _resize_crop_image(image: Image.Image, height: int, width: int, rule: Rule) -> Image.Image:
    if rule == "latent":
        while image.height >= 2 * height and image.width >= 2 * width:
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        full_height, full_width = cover_rounded(image.height, image.width, height, width)
    else:
        full_height, full_width = _cover_truncated(image.height, image.width, height, width)
    image = image.resize((full_width, full_height), Image.Resampling.BICUBIC)
    left, top = (full_width - width) / 2, (full_height - height) / 2
    left, top = (round(left), round(top)) if rule == "picture" else (int(left), int(top))
    return image.crop((left, top, left + width, top + height))


def cover_rounded(height: int, width: int, target_height: int, target_width: int) -> tuple[int, int]:
    """Return the size that covers the target at the frame's aspect ratio, with the long side rounded."""
    scale = max(target_height / height, target_width / width)
    return round(scale * height), round(scale * width)


def _cover_truncated(height: int, width: int, target_height: int, target_width: int) -> tuple[int, int]:
    """Return the size that covers the target at the frame's aspect ratio, with the long side truncated."""
    if target_height * width >= target_width * height:
        return target_height, target_height * width // height
    return target_width * height // width, target_width


def _bilinear_taps(
    length: int, full: int, size: int, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both neighbours and the upper one's weight, for `size` of `full` samples.

    Args:
        length: number of input values.
        full: number of samples that `length` values are resized to.
        size: number of samples to keep.
        first: index of the first one.
    """
    position = (np.arange(first, first + size) + 0.5) * (length / full) - 0.5
    position = position.clip(0, length - 1)
    below = position.astype(np.intp)
    return below, np.minimum(below + 1, length - 1), (position - below).astype(np.float32)
