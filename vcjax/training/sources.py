"""Where training clips come from: the sprite world, rendered on the device inside the step."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.parallel.batches import WHOLE, Share
from vcjax.platforms import on_cpu
from vcjax.training.config import Scenes, Stage
from vcjax.training.latents import posterior_of
from vcjax.training.masks import random_mask

AHEAD = 4  # batches that are made beside the training
CLIPS = 2**31  # of the training split that are drawn from
STILL, STRAIGHT = sprites.CAMERAS.index("still"), sprites.PATHS.index("straight")


@struct.dataclass
class Picked:
    """A batch on the host: which clips it is, and their captions. A few bytes go to the device.

    Attributes:
        indices: of the clips in their split, `[B]`.
        ids: token ids of their captions, `[B, T]`.
        moments: of their latents where these are kept, as in `vcjax.training.latents`; else None.
        numbers: of the frames that are taken of each clip, `[B, F]`; all where None.
        frames: how many each clip has.
    """

    indices: Any
    ids: Any
    moments: Any = None
    numbers: Any = None
    frames: int = struct.field(pytree_node=False, default=1)


@struct.dataclass
class Example:
    """Clips of a batch on the device, and all that conditions are made from.

    Attributes:
        frames: `[B, F, H, W, 3]` in [-1, 1].
        ids: token ids of the captions, `[B, T]`.
        maps: map conditions by name, `[B, F or 1, H, W, C]`.
        objects: where something other than the background is seen, 0 or 1, `[B, F, H, W, 1]`.
        posterior: of the latents, `[B, F, h, w, c]`, where they have been encoded before; else None.
        vectors: vector conditions by name, `[B, E]`, where they have been extracted before.
        numbers: of the frames in their clip, `[B, F]`; 0, 1, ... where None.

    Of clips from files there are no frames and objects, but posterior and vectors.
    """

    frames: Any
    ids: Any
    maps: dict[str, Any]
    objects: Any
    posterior: Any = None
    vectors: dict[str, Any] = struct.field(default_factory=dict)
    numbers: Any = None

    @property
    def extent(self) -> tuple[int, int]:
        """How many clips, and frames of each."""
        return (self.posterior.mean if self.frames is None else self.frames).shape[:2]


@runtime_checkable
class Source(Protocol):
    """Where the diffusion task takes its clips from."""

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Any, None, None]:
        """Batches of the stage that began at step `begin`, from step `first` on, without end."""
        ...

    def pick(self, split: str, indices: np.ndarray, frames: int) -> Any:
        """A batch of these clips of a split."""
        ...

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Captions of these clips of a split."""
        ...

    def example(self, picked: Any, key: PRNGKeyArray, split: str = "train") -> Example:
        """A batch on the device; pure and traceable."""
        ...


class SpriteSource:
    """Clips of the sprite world's training split.

    Args:
        shape: of the clips; they are square.
        tokenize: captions to ids.
        seed: of the choice of clips.
        fixed: so many clips are seen, again and again; 0 is all of the training split.
        moments: gives the kept latents of the fixed clips, `[fixed, F, h, w, 2*c]`; without it they are encoded in each
            step.
        share: what is made here of each batch.
        numbered: a single image is any frame of its clip, with its number, and not the first.
    """

    maps = ("image", "single_sketch", "motion", "depth", "mask", "sketch")  # the conditions that it tells

    def __init__(
        self,
        shape: ClipShape,
        tokenize: Callable[[str], np.ndarray],
        seed: int,
        fixed: int = 0,
        moments: Callable[[], np.ndarray] | None = None,
        share: Share = WHOLE,
        *,
        numbered: bool = False,
    ):
        self._shape = shape
        self._tokenize = tokenize
        self._seed = seed
        self._fixed = fixed
        self._moments = moments
        self._share = share
        self._numbered = numbered

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Picked, None, None]:
        """Batches of the stage that began at step `begin`, from step `first` on, made ahead by a thread."""

        if stage.images and stage.image_scenes == "simple" and self._fixed and not self._simple.size:
            raise BadInput(
                f"config.fixed_clips = {self._fixed} holds no simple scene: take more, or 0 for all"
            )

        def batch(step: int) -> Picked:
            if stage.is_on_images(step - begin):
                return self.batch(step, stage.images, 1, stage.image_scenes, anywhere=self._numbered)
            return self.batch(step, stage.batch, stage.frames or self._shape.frames)

        return _ahead(batch, first)

    def batch(
        self, step: int, count: int, frames: int, scenes: Scenes = "all", *, anywhere: bool = False
    ) -> Picked:
        """This process's share of the batch of a step, which is a function of seed and step alone.

        Where single frames are from `anywhere` in their clips, each has a number of its own.
        """
        ours = self._share.places(count)
        indices = self._drawn(step, count, scenes)[ours]
        picked = self.pick("train", indices, frames)
        numbers = None
        if anywhere:
            rng = np.random.default_rng((self._seed, step, 1))
            numbers = rng.integers(0, self._shape.frames, (count, 1), np.int32)[ours]
        moments = None
        if self._kept is not None:
            moments = self._kept[indices[:, None], np.arange(frames) if numbers is None else numbers]
        return dataclasses.replace(picked, numbers=numbers, moments=moments)

    def _drawn(self, step: int, count: int, scenes: Scenes) -> np.ndarray:
        """The clips of a step."""
        if self._fixed:
            places = np.arange(step * count, (step + 1) * count)
            return self._in_turn(places, self._every if scenes == "all" else self._simple)
        rng = np.random.default_rng((self._seed, step))
        if scenes == "all":
            return rng.integers(0, CLIPS, count, np.int32)
        found = np.empty(0, np.int32)
        while found.size < count:  # of which one in six or so is simple
            found = np.append(found, simple("train", rng.integers(0, CLIPS, 8 * count, np.int32)))
        return found[:count]

    def _in_turn(self, places: np.ndarray, clips: np.ndarray) -> np.ndarray:
        """The clips at these places of an endless row, in which all are seen once before any is seen again."""
        rounds, within = np.divmod(places, clips.size)
        orders = {n: np.random.default_rng((self._seed, n)).permutation(clips) for n in set(rounds)}
        return np.array([orders[n][i] for n, i in zip(rounds, within, strict=True)], np.int32)

    @cached_property
    def _every(self) -> np.ndarray:
        return np.arange(self._fixed, dtype=np.int32)

    @cached_property
    def _simple(self) -> np.ndarray:
        return simple("train", self._every)

    @cached_property
    def _kept(self) -> np.ndarray | None:
        return self._moments and self._moments()

    def pick(self, split: str, indices: np.ndarray, frames: int) -> Picked:
        """These clips of a split, with their captions."""
        ids = np.stack([self._tokenize(caption) for caption in captions(split, indices)])
        return Picked(indices=indices, ids=ids, frames=frames)

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Captions of these clips of a split."""
        return captions(split, indices)

    def example(self, picked: Picked, key: PRNGKeyArray, split: str = "train") -> Example:
        """Render a batch; pure and traceable. What is not used of it is not computed."""
        size = self._shape.height
        numbers = picked.numbers
        if numbers is None:
            clips = sprites.batch(split, picked.indices, frames=picked.frames, size=size)
            first, first_outline = clips.frames[:, :1], clips.outline[:, :1]
        else:
            drawn = partial(sprites.batch, split, picked.indices, frames=self._shape.frames, size=size)
            clips, begin = drawn(only=numbers), drawn(only=jnp.zeros_like(numbers[:, :1]))
            first, first_outline = begin.frames, begin.outline
        frames = clips.frames.astype(jnp.float32) / 127.5 - 1
        hidden = jax.vmap(lambda k: random_mask(k, size))(jax.random.split(key, frames.shape[0]))
        visible = jnp.broadcast_to(~hidden[:, None, :, :, None], (*frames.shape[:4], 1)).astype(jnp.float32)
        maps = {
            "image": first.astype(jnp.float32) / 255,
            "single_sketch": first_outline,
            "motion": clips.motion,
            "depth": clips.depth,
            "mask": jnp.concatenate([frames * visible, visible], -1),
            "sketch": clips.outline,
        }
        objects = (clips.ids > 0)[..., None].astype(jnp.float32)
        kept = None if picked.moments is None else posterior_of(picked.moments)
        return Example(
            frames=frames, ids=picked.ids, maps=maps, objects=objects, posterior=kept, numbers=numbers
        )


def captions(split: str, indices: np.ndarray) -> list[str]:
    """Captions of these clips of a split, made on the CPU beside whatever the devices do."""
    return sprites.captions(_facts_of(split, indices))


def simple(split: str, indices: np.ndarray) -> np.ndarray:
    """Those of these clips in which nothing but one object moves, on a straight line, and whose captions say whereto."""
    facts = _facts_of(split, indices)
    alone = (facts.count == 1) & (facts.camera == STILL) & (facts.path[:, 0] == STRAIGHT)
    towards = [sprites.DIRECTIONS[number] for number in facts.direction[:, 0]]
    said = np.array([words in text for words, text in zip(towards, sprites.captions(facts), strict=True)])
    return indices[np.asarray(alone) & said]


def _facts_of(split: str, indices: np.ndarray) -> sprites.Facts:
    with on_cpu():
        return jax.device_get(_facts(split, indices))


@partial(jax.jit, static_argnums=0)
def _facts(split: str, indices: Array) -> sprites.Facts:
    return jax.vmap(lambda n: sprites.scene(split, n).facts)(indices)


def _ahead(make: Callable[[int], Picked], first: int) -> Generator[Picked, None, None]:
    """What is made of `first`, `first + 1`, ... without end, by a thread a few steps ahead."""
    worker = ThreadPoolExecutor(1)
    try:
        ready = deque(worker.submit(make, step) for step in range(first, first + AHEAD))
        for step in itertools.count(first + AHEAD):
            batch = ready.popleft().result()
            ready.append(worker.submit(make, step))
            yield batch
    finally:
        worker.shutdown(wait=False, cancel_futures=True)
