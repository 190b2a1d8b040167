"""Metrics of maps: foreground and region IoU, and the F-score of lines with a tolerance of one pixel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vcjax.evaluation.arrays import AnyArray

# Half way between the nearest background of the sprite world, 0.35, and its farthest object, 0.4.
FOREGROUND_DEPTH = 0.375


def iou(a: Bool[AnyArray, "*maps H W"], b: Bool[AnyArray, "*maps H W"]) -> Float[Array, "*maps"]:
    """Return the intersection over union of two masks; 1 where both are empty."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    intersection, union = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return jnp.where(union > 0, intersection / jnp.maximum(union, 1), 1.0)


def foreground(
    depth: Float[AnyArray, "*maps H W"], threshold: float = FOREGROUND_DEPTH
) -> Bool[Array, "*maps H W"]:
    """Return the mask of the pixels nearer than a threshold; in the sprite world, the objects.

    Args:
        depth: nearness in [0, 1], larger is nearer.
        threshold: nearness above which a pixel is foreground.
    """
    return jnp.asarray(depth) > threshold


def boundaries(regions: Int[AnyArray, "*maps H W"]) -> Bool[Array, "*maps H W"]:
    """Return the mask of the pixels whose right or lower neighbour belongs to another region."""
    regions = jnp.pad(jnp.asarray(regions), _border_padding(regions.ndim), mode="edge")
    here = regions[..., 1:-1, 1:-1]
    return (here != regions[..., 1:-1, 2:]) | (here != regions[..., 2:, 1:-1])


@jax.jit
def f_score(lines: Bool[AnyArray, "*maps H W"], target: Bool[AnyArray, "*maps H W"]) -> Float[Array, "*maps"]:
    """Return the F-score of lines, the harmonic mean of precision and recall with a tolerance of one pixel.

    It is 1 where both maps are empty and 0 where only one of them is.
    """
    lines, target = jnp.asarray(lines), jnp.asarray(target)
    precision = (lines & _dilated(target)).sum((-2, -1)) / jnp.maximum(lines.sum((-2, -1)), 1)
    recall = (target & _dilated(lines)).sum((-2, -1)) / jnp.maximum(target.sum((-2, -1)), 1)
    score = 2 * precision * recall / jnp.where(precision + recall > 0, precision + recall, 1)
    both_empty = ~lines.any((-2, -1)) & ~target.any((-2, -1))
    return jnp.where(both_empty, 1.0, score)


def _dilated(lines: Bool[Array, "*maps H W"]) -> Bool[Array, "*maps H W"]:
    """Return lines dilated by one pixel, with 8-connectivity."""
    height, width = lines.shape[-2:]
    padded = jnp.pad(lines, _border_padding(lines.ndim))
    shifts = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return jnp.stack(shifts).any(0)


def _border_padding(dimensions: int) -> list[tuple[int, int]]:
    """Return the argument of `jnp.pad` that adds one pixel on each side of the last two axes."""
    return [(0, 0)] * (dimensions - 2) + [(1, 1)] * 2
