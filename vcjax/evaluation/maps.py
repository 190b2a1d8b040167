"""Whether maps agree: depth by rank and by what is near, regions by overlap, lines by an F-score within one pixel."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from vcjax.evaluation.arrays import AnyArray

NEAR = (
    0.375  # half way between the nearest background of the sprite world, 0.35, and its farthest object, 0.4
)
EDGE = 0.2  # change in a colour channel, of [0, 1], over two pixels; the tones of a background differ by less


@jax.jit
def rank_correlation(
    a: Float[AnyArray, "*maps H W"], b: Float[AnyArray, "*maps H W"]
) -> Float[Array, "*maps"]:
    """Spearman's correlation of two maps, equal values sharing their mean rank; 0 where one of them is constant."""
    a, b = (_ranks(jnp.asarray(x, jnp.float32).reshape(*x.shape[:-2], -1)) for x in (a, b))
    size = jnp.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return jnp.where(size > 0, (a * b).sum(-1) / jnp.where(size > 0, size, 1), 0.0)


def overlap(a: Bool[AnyArray, "*maps H W"], b: Bool[AnyArray, "*maps H W"]) -> Float[Array, "*maps"]:
    """Intersection over union of two regions; 1 where both are empty."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    both, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return jnp.where(either > 0, both / jnp.maximum(either, 1), 1.0)


def near(depth: Float[AnyArray, "*maps H W"], threshold: float = NEAR) -> Bool[Array, "*maps H W"]:
    """What is nearer than a threshold: in the sprite world, the objects."""
    return jnp.asarray(depth) > threshold


@partial(jax.jit, static_argnames="threshold")
def edges(frames: UInt8[AnyArray, "*maps H W 3"], threshold: float = EDGE) -> Bool[Array, "*maps H W"]:
    """Lines of a picture: where colour changes by more than a threshold, and no less than at both pixels across the line.

    It sees the lines of textures too; in the sprite world `borders` of `colour_map` are those of objects alone.
    """
    colour = jnp.pad(jnp.asarray(frames, jnp.float32) / 255, _beside(frames.ndim, 1), mode="edge")
    right = jnp.abs(colour[..., 1:-1, 2:, :] - colour[..., 1:-1, :-2, :]).max(-1)
    down = jnp.abs(colour[..., 2:, 1:-1, :] - colour[..., :-2, 1:-1, :]).max(-1)
    strength = jnp.pad(jnp.hypot(right, down), _beside(right.ndim, 0))
    here = strength[..., 1:-1, 1:-1]
    across = jnp.maximum(strength[..., 1:-1, 2:], strength[..., 1:-1, :-2])
    along = jnp.maximum(strength[..., 2:, 1:-1], strength[..., :-2, 1:-1])
    return (here >= jnp.where(right > down, across, along)) & (here > threshold)


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


def _ranks(values: Float[Array, "*maps n"]) -> Float[Array, "*maps n"]:
    """Rank of each value, counted from the middle rank."""
    count = values.shape[-1]

    def of_one(x: Float[Array, "n"]) -> Float[Array, "n"]:
        ordered = jnp.sort(x)
        below, not_above = (jnp.searchsorted(ordered, x, side=side) for side in ("left", "right"))
        return (below + not_above - count) / 2

    return jax.vmap(of_one)(values.reshape(-1, count)).reshape(values.shape)


def _widened(lines: Bool[Array, "*maps H W"]) -> Bool[Array, "*maps H W"]:
    """Lines and the eight neighbours of each of their pixels."""
    height, width = lines.shape[-2:]
    padded = jnp.pad(lines, _beside(lines.ndim, 0))
    shifts = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return jnp.stack(shifts).any(0)


def _beside(dimensions: int, channels: int) -> list[tuple[int, int]]:
    """One pixel more on each side of the picture, for `jnp.pad`."""
    return [(0, 0)] * (dimensions - 2 - channels) + [(1, 1)] * 2 + [(0, 0)] * channels
