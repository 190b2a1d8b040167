"""The depth condition: how near each pixel is."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Field, Functions, Kind
from vcjax.conditions.media import BLACK, array_of, brightness, name_of, pictures
from vcjax.conditions.preview import as_picture
from vcjax.conditions.storage import PictureCondition, maps_of, picture_files
from vcjax.errors import BadInput
from vcjax.video.clip import Clip

NEAREST = 10.0  # what nearness is clipped to (from the released configuration)
RANGE = "depth_range"  # field of a record: the nearness that black and white of its pictures stand for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth(PictureCondition):
    """Nearness of each pixel, larger is nearer.

    Attributes:
        unit: what the depth network's answers are divided by (20 in the released configuration).
        white: nearness that white stands for in a depth picture.
    """

    name: ClassVar[str] = "depth"
    kind: ClassVar[Kind] = "sequence"
    channels: ClassVar[int] = 1
    bits: ClassVar[float] = 1.2
    summary: ClassVar[str] = "how near each pixel is"
    accepts: ClassVar[str] = (
        "a finished depth map, bright is near: a video or picture (read with 8 bits), or an array (.npy)"
    )
    networks: ClassVar[tuple[str, ...]] = ("depth",)
    stored_as: ClassVar[str] = (
        "picture files of 8 bits, JPEG where PNG is too large: maps as rich as the footage's brightness above 35 dB"
    )

    unit: float = 20.0
    white: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unit) and self.unit > 0):
            raise BadInput(f"depth's unit must be a finite number above 0, not {self.unit}")

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 1"]:
        """A finished depth map, resized and cropped."""
        array = array_of(source)
        if array is not None:
            return self.checked(array, shape, name_of(source))
        return self.white * brightness(pictures(source, shape, shape.frames, BLACK), self.size(shape))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "F H W 1"]:
        """What the depth network sees in each frame, whose border is repeated up to the size that the network takes."""
        from vcjax.models.dpt import SCALES
        from vcjax.video.resize import resize_crop

        self.need(networks)
        height, width = self.size(shape)
        frames = resize_crop(clip.frames, height, width, rule="map")
        missing = ((0, 0), (0, -height % SCALES[-1]), (0, -width % SCALES[-1]), (0, 0))
        seen = networks["depth"](np.pad(frames, missing, mode="edge"))[:, :height, :width]
        return np.clip(seen / self.unit, 0, NEAREST)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """A file a map, and the clip's least and greatest nearness, which are black and white in them."""
        return {**super().fields(shape), RANGE: Field("float32", (2,))}

    def encode(self, material: Float32[np.ndarray, "F H W 1"]) -> dict[str, Any]:
        """Maps to files, from the clip's farthest to its nearest pixel."""
        limits = float(material.min()), float(material.max())
        return {self.name: picture_files(material, limits, self.bits), RANGE: np.array(limits, np.float32)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W 1"]:
        """Files to maps."""
        low, high = stored[RANGE].tolist()
        return maps_of(stored[self.name], (low, high))

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Bright is near, from the clip's farthest to its nearest pixel."""
        spread = max(float(np.ptp(array)), np.finfo(np.float32).tiny)
        return as_picture((array - array.min()) / spread, shape)
