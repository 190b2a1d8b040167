"""What a model is asked for: test clips, the same clips changed on purpose, and the conditions that each of them gives."""

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
OWN, TURNED, REPAINTED, STROKED = "own", "turned", "repainted", "stroked"
STROKE_WIDTH = 1.15  # of a drawn disc, in diameters of one of the object's area: people draw generously

VARIANTS: dict[str, Callable[[Scene, Int[Array, ""]], Scene]] = {
    OWN: lambda scene, n: scene,
    TURNED: lambda scene, n: redirected(scene),
    REPAINTED: lambda scene, n: repainted(scene),
    STROKED: lambda scene, n: stroked(scene, n % len(DIRECTIONS)),
}


def clips_of(variant: str, indices: Int[np.ndarray, "N"], shape: ClipShape) -> Sprites:
    """The clips of the test split with these indices, changed as the variant says, and their truth; on the host."""
    number = jnp.asarray(list(VARIANTS).index(variant))
    return jax.device_get(_render(number, jnp.asarray(indices), shape.frames, shape.height))


@partial(jax.jit, static_argnums=(2, 3))
def _render(variant: Int[Array, ""], indices: Int[Array, "N"], frames: int, size: int) -> Sprites:
    """One program for all variants: the renderer takes long to compile."""

    def one(n: Int[Array, ""]) -> Sprites:
        scene = jax.lax.switch(variant, list(VARIANTS.values()), sprites.scene(SPLIT, n), n)
        return sprites.render(scene, frames=frames, size=size)

    return jax.vmap(one)(indices)


def conditions_of(clip: Sprites, names: tuple[str, ...], fps: float, seed: int) -> dict[str, Any]:
    """Conditions that one clip gives, by name, as a person would hand them to the composer.

    Args:
        clip: without the batch's axis.
        names: keys of `GIVERS`.
        fps: of the clip.
        seed: of the mask.
    """
    return {CONDITIONS.get(name, name): GIVERS[name](clip, fps, seed) for name in names}


def _text(clip: Sprites, fps: float, seed: int) -> Any:
    return sprites.caption(clip.facts)


def _style(clip: Sprites, fps: float, seed: int) -> Any:
    return extract(Clip(np.asarray(clip.frames), fps))


def _image(clip: Sprites, fps: float, seed: int) -> Any:
    return clip.frames[:1].astype(np.float32) / 255


def _mask(clip: Sprites, fps: float, seed: int) -> Any:
    frames = np.asarray(clip.frames, np.float32) / 127.5 - 1
    _, height, width, _ = frames.shape
    return hide(frames, random_mask(seed, (height, width)))


def _stroke(clip: Sprites, fps: float, seed: int) -> Any:
    """A straight line from the main object's first centre to its last, as wide as the object."""
    height, width = clip.frames.shape[1:3]
    begin, end = (tuple(point.tolist()) for point in clip.track[[0, -1]] + 0.5)
    diameter = STROKE_WIDTH * 2 * float(np.sqrt(clip.mask[0].sum() / np.pi))
    return Strokes(size=(width, height), strokes=(Stroke(points=(begin, end), width=diameter),))


GIVERS: Mapping[str, Callable[[Sprites, float, int], Any]] = {
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
CONDITIONS = {"strokes": "motion"}  # what of these is a way to say a condition of another name
