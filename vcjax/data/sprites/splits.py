"""The splits of the sprite world: clip n of a split is the same clip everywhere, and batches of them are one program."""

from functools import partial

import jax
from jaxtyping import Array, Int

from vcjax.data.sprites.render import FRAMES, SIZE, Sprites, render
from vcjax.data.sprites.scene import Scene, sample_scene
from vcjax.errors import BadInput

SPLITS = ("train", "validation", "test")
_HELD_OUT_SPLIT = "test"
_WORLD = 0  # seed of all clips; another one would be another data set


def scene(split: str, n: int | Int[Array, ""]) -> Scene:
    """Scene n of a split; pure, to be used under `jit` and `vmap` (over n).

    Args:
        split: one of `SPLITS`. Main objects of the test split are held-out combinations, others' never are
            (see `held_out_direction`).
        n: from 0 to 2^32 - 1; there is no end to a split.

    Raises:
        BadInput: there is no such split.
    """
    if split not in SPLITS:
        raise BadInput(f"the sprite world has no split {split!r}: it has {', '.join(SPLITS)}")
    world = jax.random.key(_WORLD, impl="threefry2x32")
    key = jax.random.fold_in(jax.random.fold_in(world, SPLITS.index(split)), n)
    return sample_scene(key, heldout=split == _HELD_OUT_SPLIT)


@partial(jax.jit, static_argnames=("split", "frames", "size"))
def batch(
    split: str,
    indices: Int[Array, "B"],
    *,
    frames: int = FRAMES,
    size: int = SIZE,
    only: Int[Array, "B K"] | None = None,
) -> Sprites:
    """The clips of a split with these indices, and all of their truth, in one compiled program.

    Inside another `jit` only what is used of the result is computed.

    ```python
    clips = batch("train", jnp.arange(16))
    clips.frames.shape    # (16, 16, 64, 64, 3)
    captions(clips.facts)
    ```

    Args:
        split, indices: see `scene`.
        frames, size: see `render`.
        only: numbers of the frames of each clip that are drawn; all where None.

    Raises:
        BadInput: no such split, no frames, or too small a size.
    """
    scenes = jax.vmap(partial(scene, split))(indices)
    return jax.vmap(lambda scene, only: render(scene, frames=frames, size=size, only=only))(scenes, only)
