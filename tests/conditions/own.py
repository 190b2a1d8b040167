"""A condition such as people may write for themselves: it knows nothing of how it is stored."""

import dataclasses
from typing import ClassVar

import numpy as np

from vcjax.conditions.base import Kind, MapCondition
from vcjax.video.resize import resize_crop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Colour(MapCondition):
    """The frames' colours, in [0, 1]."""

    name: ClassVar[str] = "colour"
    kind: ClassVar[Kind] = "sequence"
    channels: ClassVar[int] = 3

    def extract(self, clip, shape, networks, seed, **aids):
        return resize_crop(clip.frames, *self.size(shape), rule="map").astype(np.float32) / 255
