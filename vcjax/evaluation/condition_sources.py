"""Condition sources: test clips and edited variants of them, and the conditions that are taken from each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from vcjax.conditions.base import ClipShape, extract
from vcjax.conditions.mask import hide, random_mask
from vcjax.conditions.strokes import Stroke, Strokes
from vcjax.data import sprites
from vcjax.data.sprites import DIRECTIONS, Scene, Sprites
from vcjax.data.sprites.edit import redirected, repainted, stroked
from vcjax.video.clip import Clip

SPLIT = "test"
ORIGINAL, REDIRECTED, REPAINTED, STROKED = "original", "redirected", "repainted", "stroked"
# Width of a drawn stroke over the diameter of a disc of the object's area; more than 1, as users draw
# generously.
STROKE_WIDTH = 1.15

VARIANTS: dict[str, Callable[[Scene, Int[Array, ""]], Scene]] = {
    ORIGINAL: lambda scene, n: scene,
    REDIRECTED: lambda scene, n: redirected(scene),
    REPAINTED: lambda scene, n: repainted(scene),
    STROKED: lambda scene, n: stroked(scene, n % len(DIRECTIONS)),
}


def render_clips(variant: str, indices: Int[np.ndarray, "N"], shape: ClipShape) -> Sprites:
    """Render a variant of clips of the test split with their ground truth.

    Args:
        variant: a key of `VARIANTS`.
        indices: indices of the clips in the split.
        shape: number of frames, and size of the square frames.

    Returns:
        The clips on the host, with a leading batch axis.
    """
    number = jnp.asarray(list(VARIANTS).index(variant))
    return jax.device_get(_render(number, jnp.asarray(indices), shape.frames, shape.height))


@partial(jax.jit, static_argnums=(2, 3))
def _render(variant: Int[Array, ""], indices: Int[Array, "N"], frames: int, size: int) -> Sprites:
    """Render any variant in one compiled program, because the renderer takes long to compile."""

    def render_one(n: Int[Array, ""]) -> Sprites:
        scene = jax.lax.switch(variant, list(VARIANTS.values()), sprites.scene(SPLIT, n), n)
        return sprites.render(scene, frames=frames, size=size)

    return jax.vmap(render_one)(indices)


def conditions_from_clip(clip: Sprites, names: tuple[str, ...], fps: float, seed: int) -> dict[str, Any]:
    """Return conditions taken from one clip, in the form in which a user passes them to the composer.

    Args:
        clip: one clip, without a batch axis.
        names: keys of `CONDITION_SOURCES`.
        fps: frame rate of the clip.
        seed: seed of the random mask.

    Returns:
        Values by the name of the condition.
    """
    return {CONDITIONS.get(name, name): CONDITION_SOURCES[name](clip, fps, seed) for name in names}


def _text(clip: Sprites, fps: float, seed: int) -> Any:
    return sprites.caption(clip.facts)


def _style(clip: Sprites, fps: float, seed: int) -> Any:
    return extract(Clip(np.asarray(clip.frames), fps))


def _image(clip: Sprites, fps: float, seed: int) -> Any:
    return clip.frames[:1].astype(np.float32) / 255


def _mask(clip: Sprites, fps: float, seed: int) -> Any:
    frames = np.asarray(clip.frames, np.float32) / 127.5 - 1
    _, height, width, _ = frames.shape
    return hide(frames, random_mask(seed, (height, width))[None])


def _stroke(clip: Sprites, fps: float, seed: int) -> Any:
    """Return a straight stroke from the main object's first position to its last, as wide as the object."""
    height, width = clip.frames.shape[1:3]
    begin, end = (tuple(point.tolist()) for point in clip.track[[0, -1]] + 0.5)
    diameter = STROKE_WIDTH * 2 * float(np.sqrt(clip.mask[0].sum() / np.pi))
    return Strokes(size=(width, height), strokes=(Stroke(points=(begin, end), width=diameter),))


CONDITION_SOURCES: Mapping[str, Callable[[Sprites, float, int], Any]] = {
    "text": _text,
    "style": _style,
    "image": _image,
    "single_sketch": lambda clip, fps, seed: clip.outline[:1],
    "motion": lambda clip, fps, seed: clip.motion,
    "depth": lambda clip, fps, seed: clip.depth,
    "mask": _mask,
    "sketch": lambda clip, fps, seed: clip.outline,
    "strokes": _stroke,
}
CONDITIONS = {"strokes": "motion"}  # condition of each source that is not named after its condition
