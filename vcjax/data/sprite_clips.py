"""The sprite world as a source of clips to prepare: its motion, depth and lines are known and need no network."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.data.footage import Sample
from vcjax.data.listing import Found, Item, Lost
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpriteClips:
    """The first clips of the sprite world's splits.

    Attributes:
        train, validation, test: how many of each.
    """

    knows: ClassVar[tuple[str, ...]] = ("single_sketch", "motion", "depth", "sketch")

    train: int = 1000
    validation: int = 50
    test: int = 0

    def listing(self) -> list[Found]:
        """One item a clip.

        Raises:
            BadInput: a number below zero, or no clip at all.
        """
        counts = dataclasses.asdict(self)
        if min(counts.values()) < 0 or not any(counts.values()):
            raise BadInput(f"numbers of sprite clips must be 0 or more and not all 0, not {counts}")
        return [
            Item(f"sprites/{split}/{n}", "", split) for split, count in counts.items() for n in range(count)
        ]

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | Lost]:
        """The clip, rendered.

        Raises:
            BadInput: the clips are not square.
        """
        if shape.height != shape.width:
            raise BadInput(f"sprite clips are square, not {shape.height}x{shape.width}")
        clips = sprites.batch(
            item.split, jnp.array([int(item.name.rpartition("/")[2])]), frames=shape.frames, size=shape.height
        )
        lines = np.asarray(clips.outline[0])
        known = {
            "motion": np.asarray(clips.motion[0]),
            "depth": np.asarray(clips.depth[0]),
            "sketch": lines,
            "single_sketch": lines[:1],
        }
        (caption,) = sprites.captions(jax.device_get(clips.facts))
        yield Sample(item.name, Clip(np.asarray(clips.frames[0]), shape.fps), caption, known)
