"""Source of clips from the sprite world, with exact motion, depth and sketches."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.data.manifest import Entry, Item, SkippedFile
from vcjax.data.sprites.conditions import EXACT, exact_maps
from vcjax.data.videos import Sample
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpriteClips:
    """The first clips of each split of the sprite world.

    Attributes:
        train: number of clips of the training split.
        validation: number of clips of the validation split.
        test: number of clips of the test split.
    """

    # The image condition is computed from the frames.
    provides: ClassVar[tuple[str, ...]] = tuple(name for name in EXACT if name != "image")

    train: int = 1000
    validation: int = 50
    test: int = 0

    def manifest(self) -> list[Entry]:
        """List one item per clip.

        Raises:
            BadInput: a negative number, or no clip.
        """
        counts = dataclasses.asdict(self)
        if min(counts.values()) < 0 or not any(counts.values()):
            raise BadInput(f"numbers of sprite clips must be 0 or more and not all 0, not {counts}")
        return [
            Item(f"sprites/{split}/{n}", "", split) for split, count in counts.items() for n in range(count)
        ]

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | SkippedFile]:
        """Yield the rendered clip of an item.

        Raises:
            BadInput: the model's clips are not square.
        """
        if shape.height != shape.width:
            raise BadInput(f"sprite clips are square, not {shape.height}x{shape.width}")
        clips = sprites.batch(
            item.split, jnp.array([int(item.name.rpartition("/")[2])]), frames=shape.frames, size=shape.height
        )
        maps = exact_maps(clips)
        features = {name: np.asarray(maps[name][0]) for name in self.provides}
        (caption,) = sprites.captions(jax.device_get(clips.facts))
        yield Sample(item.name, Clip(np.asarray(clips.frames[0]), shape.fps), caption, features)
