"""A custom condition, without methods for storage."""

import dataclasses
from typing import ClassVar

import numpy as np

from vcjax.conditions.base import Kind, MapCondition
from vcjax.video.resize import resize_crop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Colour(MapCondition):
    """RGB frames in [0, 1]."""

    name: ClassVar[str] = "colour"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 3
    summary: ClassVar[str] = "colours of every frame"
    accepts: ClassVar[str] = "nothing finished"

    def extract(self, clip, shape, networks, seed, **extract_options):
        return resize_crop(clip.frames, *self.size(shape), rule="map").astype(np.float32) / 255
