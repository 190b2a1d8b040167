"""The depth condition: inverse depth of each pixel."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Field, Functions, Kind
from vcjax.conditions.media import BLACK, brightness, describe_source, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.storage import ImageFileCondition, decode_images, encode_images
from vcjax.errors import BadInput
from vcjax.video.clip import Clip

MAX_DEPTH = 10.0  # maximum of the clipped values (from the released configuration)
RANGE = "depth_range"  # field of a record: values of black and white in its images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth(ImageFileCondition):
    """Inverse depth of each pixel, larger is nearer.

    Attributes:
        divisor: divisor of the depth network's output (20 in the released configuration).
        white: value of white in a depth map that is given as an image or a video.
    """

    name: ClassVar[str] = "depth"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 1
    bits: ClassVar[float] = 1.2
    summary: ClassVar[str] = "depth of each pixel"
    accepts: ClassVar[str] = "a video or an image (8 bits, bright is near), or an array (.npy)"
    networks: ClassVar[tuple[str, ...]] = ("depth",)
    stored_as: ClassVar[str] = (
        "8-bit image files, JPEG where PNG is too large: maps as detailed as brightness above 35 dB"
    )

    divisor: float = 20.0
    white: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.divisor) and self.divisor > 0):
            raise BadInput(f"depth's divisor must be a finite number above 0, not {self.divisor}")

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 1"]:
        """Read a finished depth map, resized and cropped."""
        array = load_array(source)
        if array is not None:
            return self.validate(array, shape, describe_source(source))
        frames = load_frames(source, shape, shape.frames, BLACK)
        return self.white * brightness(frames, self.size(shape))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "F H W 1"]:
        """Estimate depth with the network, on frames padded to a multiple of its stride."""
        from vcjax.models.dpt import STRIDES
        from vcjax.video.resize import resize_crop

        self.require_networks(networks)
        height, width = self.size(shape)
        frames = resize_crop(clip.frames, height, width, rule="map")
        padding = ((0, 0), (0, -height % STRIDES[-1]), (0, -width % STRIDES[-1]), (0, 0))
        depth = networks["depth"](np.pad(frames, padding, mode="edge"))[:, :height, :width]
        return np.clip(depth / self.divisor, 0, MAX_DEPTH)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the fields of the image files and of their range, the minimum and maximum of the clip."""
        return {**super().fields(shape), RANGE: Field("float32", (2,))}

    def encode(self, stored: Float32[np.ndarray, "F H W 1"]) -> dict[str, Any]:
        """Encode maps as image files that cover the range of the clip."""
        limits = float(stored.min()), float(stored.max())
        return {self.name: encode_images(stored, limits, self.bits), RANGE: np.array(limits, np.float32)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W 1"]:
        """Decode image files to maps."""
        low, high = stored[RANGE].tolist()
        return decode_images(stored[self.name], (low, high))

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return grey images, black to white from the clip's farthest to its nearest pixel."""
        span = max(float(np.ptp(array)), np.finfo(np.float32).tiny)
        return to_rgb((array - array.min()) / span, shape)
