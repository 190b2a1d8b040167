"""Random masks drawn on the device: the kinds and shares of `vcjax.conditions.mask`, for training."""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from vcjax.conditions.mask import KINDS

STROKES, POINTS = 4, 6  # strokes of a mask, of which the first 1 to 4 are drawn, and their points
STROKE_WIDTHS = (0.02, 0.1)  # half of a stroke's, in units of the frame
SIDES = (0.2, 0.8)  # of a rectangle


def random_mask(key: PRNGKeyArray, size: int) -> Bool[Array, "H W"]:
    """A mask for a clip: irregular strokes, a rectangle, or half of the frame; True hides. Pure and traceable."""
    keys = jax.random.split(key, 4)
    y, x = jnp.mgrid[:size, :size] / size
    kinds = [_strokes(keys[0], x, y), _rectangle(keys[1], x, y), _half(keys[2], x, y)]
    kind = jax.random.choice(keys[3], len(kinds), p=jnp.array(list(KINDS.values())))
    return jnp.stack(kinds)[kind]


def _strokes(key: PRNGKeyArray, x: Array, y: Array) -> Bool[Array, "H W"]:
    """Polylines of several widths that wander over the frame."""
    width_key, start_key, step_key, count_key = jax.random.split(key, 4)
    widths = jax.random.uniform(width_key, (STROKES,), minval=STROKE_WIDTHS[0], maxval=STROKE_WIDTHS[1])
    starts = jax.random.uniform(start_key, (STROKES, 1, 2))
    steps = 0.15 * jax.random.normal(step_key, (STROKES, POINTS - 1, 2))
    points = jnp.clip(jnp.concatenate([starts, starts + jnp.cumsum(steps, 1)], 1), 0, 1)
    count = jax.random.randint(count_key, (), 1, STROKES + 1)
    hidden = jnp.zeros(x.shape, bool)
    for i in range(STROKES):
        for a, b in itertools.pairwise(points[i]):
            hidden |= (_distance_to_segment(x, y, a, b) < widths[i]) & (i < count)
    return hidden


def _rectangle(key: PRNGKeyArray, x: Array, y: Array) -> Bool[Array, "H W"]:
    side_key, corner_key = jax.random.split(key)
    sides = jax.random.uniform(side_key, (2,), minval=SIDES[0], maxval=SIDES[1])
    corner = jax.random.uniform(corner_key, (2,)) * (1 - sides)
    inside = [(at >= corner[i]) & (at < corner[i] + sides[i]) for i, at in enumerate((x, y))]
    return inside[0] & inside[1]


def _half(key: PRNGKeyArray, x: Array, y: Array) -> Bool[Array, "H W"]:
    across, first = jax.random.bernoulli(key, shape=(2,))
    return (jnp.where(across, x, y) < 0.5) == first


def _distance_to_segment(
    x: Array, y: Array, a: Float[Array, "2"], b: Float[Array, "2"]
) -> Float[Array, "H W"]:
    along = b - a
    squared_length = jnp.maximum(along @ along, jnp.finfo(jnp.float32).tiny)
    share = jnp.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / squared_length, 0, 1)
    return jnp.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1])
