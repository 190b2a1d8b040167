"""Whether maps agree: depth by what is near, regions by overlap, lines by an F-score within one pixel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vcjax.evaluation.arrays import AnyArray

NEAR = (
    0.375  # half way between the nearest background of the sprite world, 0.35, and its farthest object, 0.4
)


def overlap(a: Bool[AnyArray, "*maps H W"], b: Bool[AnyArray, "*maps H W"]) -> Float[Array, "*maps"]:
    """Intersection over union of two regions; 1 where both are empty."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    both, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return jnp.where(either > 0, both / jnp.maximum(either, 1), 1.0)


def near(depth: Float[AnyArray, "*maps H W"], threshold: float = NEAR) -> Bool[Array, "*maps H W"]:
    """What is nearer than a threshold: in the sprite world, the objects."""
    return jnp.asarray(depth) > threshold


def borders(regions: Int[AnyArray, "*maps H W"]) -> Bool[Array, "*maps H W"]:
    """Pixels whose neighbour to the right or below belongs to another region."""
    regions = jnp.pad(jnp.asarray(regions), _beside(regions.ndim, 0), mode="edge")
    here = regions[..., 1:-1, 1:-1]
    return (here != regions[..., 1:-1, 2:]) | (here != regions[..., 2:, 1:-1])


@jax.jit
def f_score(lines: Bool[AnyArray, "*maps H W"], wanted: Bool[AnyArray, "*maps H W"]) -> Float[Array, "*maps"]:
    """Harmonic mean of the share of lines that lie within one pixel of a wanted one, and the other way round.

    1 where there are neither; 0 where there is only one of them.
    """
    lines, wanted = jnp.asarray(lines), jnp.asarray(wanted)
    precision = (lines & _widened(wanted)).sum((-2, -1)) / jnp.maximum(lines.sum((-2, -1)), 1)
    recall = (wanted & _widened(lines)).sum((-2, -1)) / jnp.maximum(wanted.sum((-2, -1)), 1)
    score = 2 * precision * recall / jnp.where(precision + recall > 0, precision + recall, 1)
    neither = ~lines.any((-2, -1)) & ~wanted.any((-2, -1))
    return jnp.where(neither, 1.0, score)


def _widened(lines: Bool[Array, "*maps H W"]) -> Bool[Array, "*maps H W"]:
    """Lines and the eight neighbours of each of their pixels."""
    height, width = lines.shape[-2:]
    padded = jnp.pad(lines, _beside(lines.ndim, 0))
    shifts = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return jnp.stack(shifts).any(0)


def _beside(dimensions: int, channels: int) -> list[tuple[int, int]]:
    """One pixel more on each side of the picture, for `jnp.pad`."""
    return [(0, 0)] * (dimensions - 2 - channels) + [(1, 1)] * 2 + [(0, 0)] * channels
