"""Training clips of the sprite world, rendered on the device inside the training step."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from vcjax.conditions.base import ClipShape
from vcjax.conditions.mask import hide
from vcjax.conditions.random_mask import NUMBERS, traced_mask
from vcjax.data import sprites
from vcjax.data.sprites.conditions import EXACT, exact_maps
from vcjax.data.sprites.selection import Scenes, SpriteSelection
from vcjax.errors import BadInput
from vcjax.parallel.batches import FULL_BATCH, ProcessShard
from vcjax.platforms import on_cpu
from vcjax.training.config import Stage
from vcjax.training.latent_cache import posterior_of
from vcjax.training.source import TrainingBatch

WHOLE_WORLD = SpriteSelection()
PREFETCH = 4  # batches that a thread makes ahead of training
CLIPS = 2**31  # of the training split that are drawn from
STATIC, STRAIGHT = sprites.CAMERAS.index("static"), sprites.PATHS.index("straight")


@struct.dataclass
class IndexBatch:
    """A batch as the host sends it to the device: indices of clips and their captions, a few bytes each.

    Attributes:
        indices: index of each clip in its split, `[B]`.
        ids: token ids of the captions, `[B, T]`.
        moments: cached means and standard deviations of the latents, see `vcjax.training.latent_cache`; None where latents
            are encoded in the step.
        frame_index: frames to render of each clip, `[B, F]`; all where None.
        frames: number of frames of each clip.
    """

    indices: Any
    ids: Any
    moments: Any = None
    frame_index: Any = None
    frames: int = struct.field(pytree_node=False, default=1)


class SpriteSource:
    """Clips of the sprite world's training split.

    Args:
        shape: clip shape; clips are square.
        tokenize: captions to token ids.
        seed: seed of the choice of clips.
        selection: see `SpriteSelection`.
        moments: gives the cached latents of the fixed clips, `[N, F, h, w, 2 c]`; None encodes latents in each step.
        share: this process's part of each batch.
        any_frame: a single image is any frame of its clip, with its index, instead of the first.

    Raises:
        BadInput: the clips are not square.
    """

    maps = (*EXACT, "mask")  # conditions that it gives

    def __init__(
        self,
        shape: ClipShape,
        tokenize: Callable[[str], np.ndarray],
        seed: int,
        selection: SpriteSelection = WHOLE_WORLD,
        moments: Callable[[], np.ndarray] | None = None,
        share: ProcessShard = FULL_BATCH,
        *,
        any_frame: bool = False,
    ):
        if shape.height != shape.width:
            raise BadInput(
                f"config.model.clip must be square, as clips of the sprite world are, not "
                f"{shape.height}x{shape.width} (height x width)"
            )
        self._shape = shape
        self._tokenize = tokenize
        self._seed = seed
        self._fixed = selection.fixed_clips
        self._moments = moments
        self._share = share
        self._any_frame = any_frame

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[IndexBatch, None, None]:
        """Yield the batches of a stage that began at step `begin`, from step `first` on, prefetched by a thread.

        Raises:
            BadInput: the stage asks for simple scenes, and the fixed clips hold none.
        """
        scenes = stage.sprites.image_scenes
        if stage.image_batch_size and scenes == "simple" and self._fixed and not self._simple.size:
            raise BadInput(
                f"config.sprites.fixed_clips = {self._fixed} holds no simple scene: take more, or 0 for all"
            )

        def batch(step: int) -> IndexBatch:
            if stage.is_on_images(step - begin):
                return self.batch(step, stage.image_batch_size, 1, scenes, any_frame=self._any_frame)
            return self.batch(step, stage.batch_size, stage.frames or self._shape.frames)

        return _prefetch(batch, first)

    def batch(
        self, step: int, count: int, frames: int, scenes: Scenes = "all", *, any_frame: bool = False
    ) -> IndexBatch:
        """Return this process's share of the batch of a step: a function of the seed and the step alone.

        Args:
            step: step of the run.
            count: batch size, over all processes.
            frames: frames of each clip.
            scenes: scenes to take clips from.
            any_frame: take one frame of each clip, at a random index.
        """
        share = self._share.indices(count)
        indices = self._draw(step, count, scenes)[share]
        picked = self.pick("train", indices, frames)
        frame_index = None
        if any_frame:
            rng = np.random.default_rng((self._seed, step, 1))
            frame_index = rng.integers(0, self._shape.frames, (count, 1), np.int32)[share]
        moments = None
        if self._cache is not None:
            moments = self._cache[indices[:, None], np.arange(frames) if frame_index is None else frame_index]
        return dataclasses.replace(picked, frame_index=frame_index, moments=moments)

    def _draw(self, step: int, count: int, scenes: Scenes) -> np.ndarray:
        """Return the clip indices of a step."""
        if self._fixed:
            positions = np.arange(step * count, (step + 1) * count)
            return self._epoch_order(positions, self._every if scenes == "all" else self._simple)
        rng = np.random.default_rng((self._seed, step))
        if scenes == "all":
            return rng.integers(0, CLIPS, count, np.int32)
        found = np.empty(0, np.int32)
        while found.size < count:  # about one scene in six is simple
            found = np.append(found, simple("train", rng.integers(0, CLIPS, 8 * count, np.int32)))
        return found[:count]

    def _epoch_order(self, positions: np.ndarray, clips: np.ndarray) -> np.ndarray:
        """Return the clips at positions of an endless sequence of epochs, each shuffled anew."""
        epochs, within = np.divmod(positions, clips.size)
        orders = {n: np.random.default_rng((self._seed, n)).permutation(clips) for n in set(epochs)}
        return np.array([orders[n][i] for n, i in zip(epochs, within, strict=True)], np.int32)

    @cached_property
    def _every(self) -> np.ndarray:
        return np.arange(self._fixed, dtype=np.int32)

    @cached_property
    def _simple(self) -> np.ndarray:
        return simple("train", self._every)

    @cached_property
    def _cache(self) -> np.ndarray | None:
        return self._moments and self._moments()

    def pick(self, split: str, indices: np.ndarray, frames: int) -> IndexBatch:
        """Return a batch of these clips of a split."""
        ids = np.stack([self._tokenize(caption) for caption in captions(split, indices)])
        return IndexBatch(indices=indices, ids=ids, frames=frames)

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Return the captions of these clips of a split."""
        return captions(split, indices)

    def training_batch(self, batch: IndexBatch, key: PRNGKeyArray, split: str = "train") -> TrainingBatch:
        """Render a batch; pure and traceable. Only what is used of the result is computed."""
        size, frame_index = self._shape.height, batch.frame_index
        if frame_index is None:
            clips, first = sprites.batch(split, batch.indices, frames=batch.frames, size=size), None
        else:
            render = partial(sprites.batch, split, batch.indices, frames=self._shape.frames, size=size)
            clips, first = render(only=frame_index), render(only=jnp.zeros_like(frame_index[:, :1]))
        frames = clips.frames.astype(jnp.float32) / 127.5 - 1
        uniform = jax.random.uniform(key, (frames.shape[0], NUMBERS))
        hidden = jax.vmap(lambda numbers: traced_mask(numbers, (size, size)))(uniform)
        return TrainingBatch(
            frames=frames,
            ids=batch.ids,
            maps={**exact_maps(clips, first), "mask": hide(frames, hidden[:, None], jnp)},
            objects=(clips.ids > 0)[..., None].astype(jnp.float32),
            posterior=None if batch.moments is None else posterior_of(batch.moments),
            frame_index=frame_index,
        )


def captions(split: str, indices: np.ndarray) -> list[str]:
    """Return the captions of clips; computed on the CPU, beside the work of the devices."""
    return sprites.captions(_facts_of(split, indices))


def simple(split: str, indices: np.ndarray) -> np.ndarray:
    """Return those clips in which one object moves on a straight line, nothing else moves, and the caption says where to."""
    facts = _facts_of(split, indices)
    single = (facts.count == 1) & (facts.camera == STATIC) & (facts.path[:, 0] == STRAIGHT)
    directions = [sprites.DIRECTIONS[number] for number in facts.direction[:, 0]]
    named = [words in text for words, text in zip(directions, sprites.captions(facts), strict=True)]
    return indices[np.asarray(single) & np.array(named)]


def _facts_of(split: str, indices: np.ndarray) -> sprites.Facts:
    with on_cpu():
        return jax.device_get(_facts(split, indices))


@partial(jax.jit, static_argnums=0)
def _facts(split: str, indices: Array) -> sprites.Facts:
    return jax.vmap(lambda n: sprites.scene(split, n).facts)(indices)


def _prefetch(make: Callable[[int], IndexBatch], first: int) -> Generator[IndexBatch, None, None]:
    """Yield `make(first)`, `make(first + 1)`, ... without end, made a few steps ahead by a thread."""
    worker = ThreadPoolExecutor(1)
    try:
        ready = deque(worker.submit(make, step) for step in range(first, first + PREFETCH))
        for step in itertools.count(first + PREFETCH):
            batch = ready.popleft().result()
            ready.append(worker.submit(make, step))
            yield batch
    finally:
        worker.shutdown(wait=False, cancel_futures=True)
