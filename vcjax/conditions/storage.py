"""Maps of conditions as picture files of 8 bits, the form in which a prepared data set holds most of them."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Float32, UInt8

from vcjax.conditions.base import ClipShape, Field, MapCondition

LEVELS = 255  # between black and white
TABLES = 1000  # bytes of a picture file that are there whatever its size
# From exact to poor: a clip's maps are stored in the first of these in which each is small enough.
FORMS = [("PNG", {})] + [
    ("JPEG", {"quality": quality, "optimize": True})
    for quality in (95, 92, 90, 87, 85, 80, 75, 70, 60, 50, 40, 30, 20, 10, 5)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureCondition(MapCondition):
    """A condition whose maps are stored as a picture file each: `limits` are its black and white.

    Class attributes:
        bits: of storage for each pixel, at most. All conditions of 16 frames at the released size, and latents, come
            to less than 2 MB.
    """

    bits: ClassVar[float]

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """One file a map."""
        return {self.name: Field("bytes", (None,))}

    def encode(self, material: Float32[np.ndarray, "F H W C"]) -> dict[str, Any]:
        """Maps to files."""
        return {self.name: picture_files(material, self.limits, self.bits)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W C"]:
        """Files to maps."""
        return maps_of(stored[self.name], self.limits)


def picture_files(
    maps: Float[np.ndarray, "F H W C"], limits: tuple[float, float], bits: float | int
) -> list[bytes]:
    """Maps of one channel or three as picture files of 8 bits: all PNG, or all JPEG of one quality.

    Args:
        maps: the maps.
        limits: least and greatest value, black and white; what lies outside is clipped.
        bits: for each pixel, at most.
    """
    low, high = limits
    spread = max(high - low, float(np.finfo(np.float32).tiny))
    pictures = (np.clip((maps - low) / spread, 0, 1) * LEVELS).round().astype(np.uint8)
    most = TABLES + bits * maps.shape[1] * maps.shape[2] / 8
    files: list[bytes] = []
    for form in FORMS:
        files = []
        for picture in pictures:
            files.append(_file(picture, *form))
            if len(files[-1]) > most and form is not FORMS[-1]:
                break
        else:
            break
    return files


def maps_of(
    files: Sequence[bytes] | np.ndarray, limits: tuple[float, float]
) -> Float32[np.ndarray, "F H W C"]:
    """The maps that `picture_files` made files of."""
    low, high = limits
    levels = np.stack([_picture(file) for file in files])
    return levels * np.float32((high - low) / LEVELS) + np.float32(low)


def _file(picture: UInt8[np.ndarray, "H W C"], form: str, options: Mapping[str, Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def _picture(file: bytes) -> UInt8[np.ndarray, "H W C"]:
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(file)))
    return pixels[..., None] if pixels.ndim == 2 else pixels
