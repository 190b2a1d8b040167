"""Which clips of the sprite world a training run uses."""

import dataclasses
from typing import Literal

from vcjax.errors import BadInput

Scenes = Literal["all", "simple"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpriteSelection:
    """Selection of training clips.

    Attributes:
        fixed_clips: train on this many clips, repeated every epoch, whose latents are encoded once and
            cached; 0 trains on the whole split.
        image_scenes: scenes that single images are taken from: `all`, or `simple` ones, in which one object
            moves on a straight line, nothing else moves, and the caption names the direction. Directions are
            learned from these in minutes.
    """

    fixed_clips: int = 0
    image_scenes: Scenes = "all"

    def __post_init__(self) -> None:
        if self.fixed_clips < 0:
            raise BadInput(f"sprites.fixed_clips must be 0 or more, not {self.fixed_clips}")
