"""The two sketch conditions: lines, bright on black, of the first frame or of every frame."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind
from vcjax.conditions.media import BLACK, array_of, brightness, name_of, pictures
from vcjax.conditions.preview import as_picture
from vcjax.conditions.storage import PictureCondition
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sketch(PictureCondition):
    """Lines of every frame, in [0, 1], bright on black.

    Attributes:
        cleaned: whether a second network cleans what the first one finds.
    """

    name: ClassVar[str] = "sketch"
    kind: ClassVar[Kind] = "sequence"
    channels: ClassVar[int] = 1
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    bits: ClassVar[float] = 1.3
    stored_as: ClassVar[str] = (
        "picture files of 8 bits, JPEG where PNG is too large: a network's lines above 45 dB"
    )
    summary: ClassVar[str] = "the lines of every frame"
    accepts: ClassVar[str] = (
        "finished lines, bright on black: a video, a picture, or an array (.npy) in [0, 1]"
    )
    networks: ClassVar[tuple[str, ...]] = ("sketch", "cleaner")

    cleaned: bool = True

    def lacks(self, networks: Functions) -> list[str]:
        """The cleaner only where it is called."""
        return [network for network in super().lacks(networks) if self.cleaned or network != "cleaner"]

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 1"]:
        """Finished lines, resized and cropped; colours become their brightness."""
        array = array_of(source)
        if array is not None:
            return self.checked(array, shape, name_of(source))
        frames = pictures(source, shape, self.count(shape), BLACK)
        return brightness(frames, self.size(shape))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "F H W 1"]:
        """Lines that one network finds and another, if so set, cleans, which knows them dark on a light ground."""
        from vcjax.video.resize import resize_crop

        self.need(networks)
        frames = resize_crop(clip.frames[: self.count(shape)], *self.size(shape), rule="map")
        lines = networks["sketch"](frames)
        return 1 - networks["cleaner"](1 - lines) if self.cleaned else lines

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The lines themselves."""
        return as_picture(array, shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleSketch(Sketch):
    """Lines of the first frame only."""

    name: ClassVar[str] = "single_sketch"
    kind: ClassVar[Kind] = "still"
    summary: ClassVar[str] = "the lines of the first frame"
    accepts: ClassVar[str] = "finished lines, bright on black: a picture, or an array (.npy) in [0, 1]"
