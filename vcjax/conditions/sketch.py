"""The two sketch conditions: white lines on black, of the first frame or of every frame."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Drawing, Functions, Kind
from vcjax.conditions.media import BLACK, brightness, describe_source, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.storage import ImageFileCondition
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sketch(ImageFileCondition):
    """Sketch of every frame, in [0, 1], white lines on black.

    Attributes:
        use_cleaner: whether the sketch cleaner network is applied to the output of the edge network.
    """

    name: ClassVar[str] = "sketch"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 1
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    bits: ClassVar[float] = 1.3
    stored_as: ClassVar[str] = (
        "8-bit image files, JPEG where PNG is too large: output of the edge network above 45 dB"
    )
    summary: ClassVar[str] = "sketch of every frame"
    accepts: ClassVar[str] = "white lines on black as a video, an image, or an array (.npy) in [0, 1]"
    networks: ClassVar[tuple[str, ...]] = ("sketch", "cleaner")
    drawing: ClassVar[Drawing] = "picture"

    use_cleaner: bool = True

    def missing_networks(self, networks: Functions) -> list[str]:
        """Return the names of missing networks, the cleaner only where it is used."""
        missing = super().missing_networks(networks)
        return [network for network in missing if self.use_cleaner or network != "cleaner"]

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 1"]:
        """Read a finished sketch, resized and cropped; colours become their brightness."""
        array = load_array(source)
        if array is not None:
            return self.validate(array, shape, describe_source(source))
        frames = load_frames(source, shape, self.count(shape), BLACK)
        return brightness(frames, self.size(shape))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "F H W 1"]:
        """Detect edges with the sketch network, and clean them; the cleaner takes dark lines on white."""
        from vcjax.video.resize import resize_crop

        self.require_networks(networks)
        frames = resize_crop(clip.frames[: self.count(shape)], *self.size(shape), rule="map")
        lines = networks["sketch"](frames)
        return 1 - networks["cleaner"](1 - lines) if self.use_cleaner else lines

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return the sketch at the size of the clip."""
        return to_rgb(array, shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleSketch(Sketch):
    """Sketch of the first frame only."""

    name: ClassVar[str] = "single_sketch"
    kind: ClassVar[Kind] = "spatial"
    summary: ClassVar[str] = "sketch of the first frame"
    accepts: ClassVar[str] = "white lines on black as an image, or an array (.npy) in [0, 1]"
