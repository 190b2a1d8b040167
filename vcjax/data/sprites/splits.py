"""Splits of the sprite world: deterministic clips by split and index, rendered in batches."""

from functools import partial

import jax
from jaxtyping import Array, Int

from vcjax.data.sprites.render import FRAMES, SIZE, Sprites, render
from vcjax.data.sprites.scene import Scene, sample_scene
from vcjax.errors import BadInput

SPLITS = ("train", "validation", "test")
_HELD_OUT_SPLIT = "test"
_WORLD = 0  # seed of the data set


def scene(split: str, n: int | Int[Array, ""]) -> Scene:
    """Return scene n of a split; a pure function for use under `jit` and `vmap` (over n).

    Args:
        split: one of `SPLITS`. The main object's (shape, colour, direction) is a held-out combination in the
            test split and never in the others (see `held_out_direction`).
        n: index from 0 to 2^32 - 1.

    Raises:
        BadInput: the split does not exist.
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
    """Render clips of a split with their ground truth in one compiled program.

    Under an outer `jit`, fields of the result that are not used are not computed.

    ```python
    clips = batch("train", jnp.arange(16))
    clips.frames.shape    # (16, 16, 64, 64, 3)
    captions(clips.facts)
    ```

    Args:
        split: one of `SPLITS`, see `scene`.
        indices: indices of the clips in the split.
        frames: number of frames, see `render`.
        size: height and width in pixels.
        only: indices of the frames of each clip to render; None for all.

    Raises:
        BadInput: the split does not exist, frames is below 1, or the size is too small.
    """
    scenes = jax.vmap(partial(scene, split))(indices)
    return jax.vmap(lambda scene, only: render(scene, frames=frames, size=size, only=only))(scenes, only)
