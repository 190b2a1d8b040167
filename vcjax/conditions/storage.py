"""Storage of condition maps as 8-bit image files, as most conditions of a prepared data set use it."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Float32, UInt8

from vcjax.conditions.base import ClipShape, Field, MapCondition

LEVELS = 255  # between black and white
HEADER_BYTES = 1000  # allowance for the parts of a file that do not depend on its size
# From lossless to coarse: all maps of a clip use the first encoding in which each of them is small enough.
ENCODINGS = [("PNG", {})] + [
    ("JPEG", {"quality": quality, "optimize": True})
    for quality in (95, 92, 90, 87, 85, 80, 75, 70, 60, 50, 40, 30, 20, 10, 5)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFileCondition(MapCondition):
    """Map condition that is stored as one image file per map, with `limits` as black and white.

    Class attributes:
        bits: maximum bits per pixel. With these values a record of the released size (16 frames, all
            conditions, latents) takes less than 2 MB.
    """

    bits: ClassVar[float]

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the field of the files."""
        return {self.name: Field("bytes", (None,))}

    def encode(self, stored: Float32[np.ndarray, "F H W C"]) -> dict[str, Any]:
        """Encode maps as image files."""
        return {self.name: encode_images(stored, self.limits, self.bits)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W C"]:
        """Decode image files to maps."""
        return decode_images(stored[self.name], self.limits)


def encode_images(
    maps: Float[np.ndarray, "F H W C"], limits: tuple[float, float], bits: float | int
) -> list[bytes]:
    """Encode maps of one or three channels as 8-bit image files: all PNG, or all JPEG of one quality.

    Args:
        maps: the maps.
        limits: values of black and white; values outside are clipped.
        bits: maximum bits per pixel.
    """
    low, high = limits
    span = max(high - low, float(np.finfo(np.float32).tiny))
    images = (np.clip((maps - low) / span, 0, 1) * LEVELS).round().astype(np.uint8)
    max_bytes = HEADER_BYTES + bits * maps.shape[1] * maps.shape[2] / 8
    files: list[bytes] = []
    for encoding in ENCODINGS:
        files = []
        for image in images:
            files.append(_encode_image(image, *encoding))
            if len(files[-1]) > max_bytes and encoding is not ENCODINGS[-1]:
                break
        else:
            break
    return files


def decode_images(
    files: Sequence[bytes] | np.ndarray, limits: tuple[float, float]
) -> Float32[np.ndarray, "F H W C"]:
    """Decode the files of `encode_images` to maps."""
    low, high = limits
    levels = np.stack([_decode_image(file) for file in files])
    return levels * np.float32((high - low) / LEVELS) + np.float32(low)


def _encode_image(image: UInt8[np.ndarray, "H W C"], file_format: str, options: Mapping[str, Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def _decode_image(file: bytes) -> UInt8[np.ndarray, "H W C"]:
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(file)))
    return pixels[..., None] if pixels.ndim == 2 else pixels
