"""Objects of the sprite world in any video, true or generated: where they are, and which colour, shape and direction.

They are found by colour, shapes are told by overlap with drawn templates: by rules, not by a network.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Bool, Float, Int, UInt8

from vcjax.data.sprites import DIRECTIONS, NO_COLOUR, SHAPES, colour_ids
from vcjax.data.sprites.draw import shape_distance
from vcjax.evaluation.arrays import AnyArray

STILL = 0.1  # pixels a frame below which an object rests
SMALLEST = 0.005  # share of the frame's pixels below which an object counts as not there; the smallest has four times that

# Templates are drawn on a square grid whose unit is the radius of a disc of the object's area.
GRID, REACH = 40, 2.0  # points a side, and units from the middle to the side; a star's tips reach to 1.9
ANGLES = 36  # at which a template is tried


@jax.jit
def colour_map(frames: UInt8[AnyArray, "*clips H W 3"]) -> Int[Array, "*clips H W"]:
    """The index in `COLOURS` of each pixel, `NO_COLOUR` where it is background."""
    return colour_ids(jnp.asarray(frames, jnp.float32) / 255)


def objects(frames: UInt8[AnyArray, "*clips H W 3"]) -> Bool[Array, "*clips H W"]:
    """Where any object is seen."""
    return colour_map(frames) != NO_COLOUR


def object_of(
    frames: UInt8[AnyArray, "*clips F H W 3"], colour: Int[AnyArray, "*clips"]
) -> Bool[Array, "*clips F H W"]:
    """Where the object of a colour (index in `COLOURS`) is seen; a clip's objects all differ in colour."""
    return colour_map(frames) == jnp.asarray(colour)[..., None, None, None]


def there(mask: Bool[AnyArray, "*clips H W"]) -> Bool[Array, "*clips"]:
    """Whether an object is seen in a frame at all: as a share of `SMALLEST` at least."""
    return jnp.mean(jnp.asarray(mask), (-2, -1)) >= SMALLEST


@jax.jit
def centres(mask: Bool[AnyArray, "*clips H W"]) -> Float[Array, "*clips 2"]:
    """Mean (x, y) of an object's pixels, (0, 0) the centre of the top left one; the frame's centre where it is not there."""
    mask = jnp.asarray(mask)
    height, width = mask.shape[-2:]
    count = mask.sum((-2, -1))
    x = (mask.sum(-2) * jnp.arange(width)).sum(-1) / jnp.maximum(count, 1)
    y = (mask.sum(-1) * jnp.arange(height)).sum(-1) / jnp.maximum(count, 1)
    middle = jnp.array([width - 1, height - 1]) / 2
    return jnp.where(there(mask)[..., None], jnp.stack([x, y], -1), middle)


def path_error(
    track: Float[AnyArray, "*clips F 2"], wanted: Float[AnyArray, "*clips F 2"]
) -> Float[Array, "*clips"]:
    """Mean distance of two tracks in pixels.

    ```python
    path_error(centres(object_of(frames, colour)), clips.track)
    ```

    Args:
        track, wanted: centres in pixels.
    """
    return jnp.linalg.norm(jnp.asarray(track) - jnp.asarray(wanted), axis=-1).mean(-1)


def velocity(track: Float[AnyArray, "*clips F 2"]) -> Float[Array, "*clips 2"]:
    """Constant speed in pixels a frame whose straight line is nearest to a track (least squares)."""
    track = jnp.asarray(track)
    time = jnp.arange(track.shape[-2]) - (track.shape[-2] - 1) / 2
    return jnp.einsum("f,...fi->...i", time, track) / (time**2).sum()


def heading(track: Float[AnyArray, "*clips F 2"]) -> Float[Array, "*clips"]:
    """Direction of the `velocity`, in radians clockwise from right."""
    x, y = jnp.moveaxis(velocity(track), -1, 0)
    return jnp.arctan2(y, x)


def moves(track: Float[AnyArray, "*clips F 2"]) -> Bool[Array, "*clips"]:
    """Whether an object goes anywhere: by `STILL` pixels a frame at least. One that rests has no direction."""
    return jnp.linalg.norm(velocity(track), axis=-1) >= STILL


def direction(track: Float[AnyArray, "*clips F 2"]) -> Int[Array, "*clips"]:
    """The index in `DIRECTIONS` nearest to the `heading`."""
    steps = jnp.round(heading(track) / (2 * jnp.pi) * len(DIRECTIONS)).astype(jnp.int32)
    return steps % len(DIRECTIONS)


def turned(a: Float[AnyArray, "*clips"], b: Float[AnyArray, "*clips"]) -> Float[Array, "*clips"]:
    """Angle between two headings, 0 to pi."""
    return jnp.abs((jnp.asarray(a) - jnp.asarray(b) + jnp.pi) % (2 * jnp.pi) - jnp.pi)


@jax.jit
def shape_overlaps(mask: Bool[AnyArray, "*clips F H W"]) -> Float[Array, "*clips shape"]:
    """Intersection over union of an object with each of `SHAPES`, at the best angle, in the mean over the frames.

    The object is moved and scaled to the templates' place and area, so size and place do not count.
    """
    mask = jnp.asarray(mask)
    flat = mask.reshape(-1, *mask.shape[-2:])
    normal = jax.vmap(_normalised)(flat).reshape(len(flat), -1).astype(jnp.float32)
    patterns = jnp.asarray(_templates())
    both = jnp.einsum("np,sap->nsa", normal, patterns)
    either = normal.sum(-1)[:, None, None] + patterns.sum(-1) - both
    best = (both / either).max(-1)
    return best.reshape(*mask.shape[:-2], len(SHAPES)).mean(-2)


def _grid() -> np.ndarray:
    """Positions of the grid's points, [GRID^2, (x, y)]."""
    side = (np.arange(GRID) + 0.5) / GRID * 2 * REACH - REACH
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(np.float32)


def _normalised(mask: Bool[Array, "H W"]) -> Bool[Array, "GRID GRID"]:
    """An object on the templates' grid."""
    unit = jnp.sqrt(mask.sum() / jnp.pi)
    x, y = (centres(mask) + unit * _grid()).T
    values = map_coordinates(mask.astype(jnp.float32), [y, x], order=1, mode="constant")
    return values.reshape(GRID, GRID) > 0.5


@lru_cache
def _templates() -> Float[np.ndarray, "shape angle point"]:
    """Each shape at each angle about its centre of mass, scaled to the area of the unit disc."""
    with jax.ensure_compile_time_eval():
        x, y = jnp.asarray(_grid()).T
        areas = [
            (shape_distance(jnp.array(s), x, y) < 0).mean() * (2 * REACH) ** 2 for s in range(len(SHAPES))
        ]
        angles = jnp.arange(ANGLES) * (2 * jnp.pi / ANGLES)
        patterns = []
        for shape, area in enumerate(areas):
            radius = jnp.sqrt(area / jnp.pi)  # of the disc of that area, where the shape's own is 1
            draw = partial(_turned_shape, jnp.array(shape), radius * x, radius * y)
            patterns.append(jax.vmap(draw)(angles))
        return np.asarray(jnp.stack(patterns), np.float32)


def _turned_shape(
    shape: Int[Array, ""], x: Float[Array, "point"], y: Float[Array, "point"], angle: Float[Array, ""]
) -> Bool[Array, "point"]:
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return shape_distance(shape, cosine * x + sine * y, cosine * y - sine * x) < 0
