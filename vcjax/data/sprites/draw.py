"""Drawing with distances: the outlines of the shapes and the textures as signed distances, cheap enough for a CPU.

A distance is negative inside. It is exact along straight edges and never larger than the true one elsewhere, which
is all that anti-aliasing and a thin outline need.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vcjax.data.sprites.scene import SHAPES, TEXTURES

# Sizes of the shapes whose nominal radius is 1: of about equal weight to the eye.
_DISC_RADIUS = 1.0
_RING_RADIUS, _RING_HALF_WIDTH = 0.80, 0.26
_SQUARE_HALF = 0.88
_CROSS_HALF_LENGTH, _CROSS_HALF_WIDTH = 1.08, 0.38
_TRIANGLE_INRADIUS = 0.66
_STAR_INRADIUS = 0.42  # of its inner pentagon
_STAR_REACH = 1.25  # its tips would reach to 1.36, thinner than a pixel

_PERIOD = 0.9  # of object textures, in radii
_DOT_RADIUS = 0.29  # in periods


def shape_distance(shape: Int[Array, ""], x: Float[Array, "*n"], y: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Signed distance from (x, y) to the edge of a shape of radius 1 around the origin, upright, y down.

    Args:
        shape: index in `SHAPES`.
        x, y: positions in radii.
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

    # A pentagram is where at most one of its five lines is crossed. The two lines crossed first from any direction
    # are neighbours, so the second largest of the five distances is the largest minimum of two neighbours.
    lines = [_edge(across, y, degrees) for degrees in (0, 72, 144, 216)]
    pairs = [jnp.minimum(a, b) for a, b in itertools.pairwise(lines)]
    star = jnp.maximum(jnp.maximum(pairs[0], pairs[1]), pairs[2]) - _STAR_INRADIUS
    star = jnp.maximum(star, radius - _STAR_REACH)

    boxed = is_shape["square"] | is_shape["cross"]
    angular = jnp.where(boxed, boxes, jnp.where(is_shape["star"], star, triangle))
    return jnp.where(is_shape["circle"] | is_shape["ring"], round_, angular)


def _edge(x: Float[Array, "*n"], y: Float[Array, "*n"], degrees: int) -> Float[Array, "*n"]:
    """Distance along the direction so many degrees clockwise from up."""
    return float(np.sin(np.radians(degrees))) * x - float(np.cos(np.radians(degrees))) * y


def texture_distance(
    texture: Int[Array, ""], x: Float[Array, "*n"], y: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Signed distance from (x, y), in radii, to the dark parts of an object's texture, an index in `TEXTURES`."""
    x, y = x / _PERIOD, y / _PERIOD
    stripes = stripe_distance(y)
    checks = check_distance(stripe_distance(x), stripes)
    across, down = from_cell_centre(x), from_cell_centre(y)
    dots = jnp.sqrt(across * across + down * down) - _DOT_RADIUS
    distance = jnp.where(texture == TEXTURES.index("dots"), dots, checks)
    distance = jnp.where(texture == TEXTURES.index("stripes"), stripes, distance)
    return jnp.where(texture == TEXTURES.index("plain"), jnp.inf, distance * _PERIOD)


def from_cell_centre(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Where x is in its cell of length 1, from the cell's centre; the origin is a centre."""
    return x - jnp.round(x)


def stripe_distance(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Signed distance along x to the nearest edge of stripes of period 1, as wide as the gaps between them."""
    return jnp.abs(from_cell_centre(x)) - 0.25


def check_distance(across: Float[Array, "*n"], down: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Signed distance to the edges of a checkerboard, from those to its columns and rows: inside where their signs differ."""
    return jnp.maximum(jnp.minimum(across, -down), jnp.minimum(-across, down))


def coverage(distance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """How much of a pixel is inside of an edge at so many pixels: 1 inside, 0 outside, straight between -0.5 and 0.5."""
    return jnp.clip(0.5 - distance, 0.0, 1.0)


def line(distance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Brightness of a line one pixel wide along an edge at so many pixels."""
    return jnp.clip(1.0 - jnp.abs(distance), 0.0, 1.0)
