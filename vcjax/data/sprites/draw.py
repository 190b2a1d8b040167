"""Signed distance functions of shapes and textures, for anti-aliased rendering.

Distances are negative inside. They are exact along straight edges and lower bounds elsewhere, which is
sufficient for anti-aliasing and thin outlines, and cheap on a CPU.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vcjax.data.sprites.scene import SHAPES, TEXTURES

# Sizes of the shapes of nominal radius 1, chosen so that they look about equally large.
_DISC_RADIUS = 1.0
_RING_RADIUS, _RING_HALF_WIDTH = 0.80, 0.26
_SQUARE_HALF = 0.88
_CROSS_HALF_LENGTH, _CROSS_HALF_WIDTH = 1.08, 0.38
_TRIANGLE_INRADIUS = 0.66
_STAR_INRADIUS = 0.42  # inradius of the inner pentagon
_STAR_REACH = 1.25  # tips are cut off here; they would reach to 1.36, thinner than a pixel

_PERIOD = 0.9  # period of object textures, in radii
_DOT_RADIUS = 0.29  # in periods


def shape_distance(shape: Int[Array, ""], x: Float[Array, "*n"], y: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the signed distance from (x, y) to the edge of an upright shape of radius 1; y is down.

    Args:
        shape: index in `SHAPES`.
        x, y: coordinates in radii.
    """
    is_shape = {name: shape == index for index, name in enumerate(SHAPES)}
    across, along = jnp.abs(x), jnp.abs(y)

    middle = jnp.where(is_shape["ring"], _RING_RADIUS, 0.0)
    half_width = jnp.where(is_shape["ring"], _RING_HALF_WIDTH, _DISC_RADIUS)
    radius = jnp.sqrt(x * x + y * y)
    round_ = jnp.abs(radius - middle) - half_width

    long = jnp.where(is_shape["cross"], _CROSS_HALF_LENGTH, _SQUARE_HALF)
    short = jnp.where(is_shape["cross"], _CROSS_HALF_WIDTH, _SQUARE_HALF)
    boxes = jnp.maximum(jnp.maximum(across, along) - long, jnp.minimum(across, along) - short)

    triangle = jnp.maximum(y, _edge(across, y, 60)) - _TRIANGLE_INRADIUS

    # A point is inside a pentagram if it is outside at most one of its five lines, so the distance is the
    # second largest of the five. The two largest belong to neighbouring lines, so it is the largest minimum
    # of two neighbours.
    lines = [_edge(across, y, degrees) for degrees in (0, 72, 144, 216)]
    pairs = [jnp.minimum(a, b) for a, b in itertools.pairwise(lines)]
    star = jnp.maximum(jnp.maximum(pairs[0], pairs[1]), pairs[2]) - _STAR_INRADIUS
    star = jnp.maximum(star, radius - _STAR_REACH)

    boxed = is_shape["square"] | is_shape["cross"]
    angular = jnp.where(boxed, boxes, jnp.where(is_shape["star"], star, triangle))
    return jnp.where(is_shape["circle"] | is_shape["ring"], round_, angular)


def _edge(x: Float[Array, "*n"], y: Float[Array, "*n"], degrees: int) -> Float[Array, "*n"]:
    """Return the coordinate along a direction, given in degrees clockwise from up."""
    return float(np.sin(np.radians(degrees))) * x - float(np.cos(np.radians(degrees))) * y


def texture_distance(
    texture: Int[Array, ""], x: Float[Array, "*n"], y: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Return the signed distance, in radii, from (x, y) to the dark parts of an object's texture.

    Args:
        texture: index in `TEXTURES`.
        x, y: coordinates in radii.
    """
    x, y = x / _PERIOD, y / _PERIOD
    stripes = stripe_distance(y)
    checks = check_distance(stripe_distance(x), stripes)
    across, down = from_cell_centre(x), from_cell_centre(y)
    dots = jnp.sqrt(across * across + down * down) - _DOT_RADIUS
    distance = jnp.where(texture == TEXTURES.index("dots"), dots, checks)
    distance = jnp.where(texture == TEXTURES.index("stripes"), stripes, distance)
    return jnp.where(texture == TEXTURES.index("plain"), jnp.inf, distance * _PERIOD)


def from_cell_centre(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the offset of x from the centre of its cell; cells have length 1 and one is centred at 0."""
    return x - jnp.round(x)


def stripe_distance(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the signed distance along x to the nearest edge of stripes of period 1 and width 1/2."""
    return jnp.abs(from_cell_centre(x)) - 0.25


def check_distance(across: Float[Array, "*n"], down: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the signed distance to a checkerboard, from those to its columns and rows."""
    return jnp.maximum(jnp.minimum(across, -down), jnp.minimum(-across, down))


def coverage(distance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the coverage of a pixel, 1 inside and 0 outside, from its distance to an edge in pixels."""
    return jnp.clip(0.5 - distance, 0.0, 1.0)


def line(distance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Return the brightness of a one-pixel-wide line along an edge, from the distance to it in pixels."""
    return jnp.clip(1.0 - jnp.abs(distance), 0.0, 1.0)
