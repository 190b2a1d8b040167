"""Rule-based detection of sprite-world objects in any video: position, colour, shape and direction of motion.

Objects are segmented by colour and their shape is classified by IoU with drawn templates. No network is
involved.
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

MIN_SPEED = 0.1  # pixels per frame; a slower object counts as static
MIN_AREA = 0.005  # share of the frame; a smaller object counts as absent. The smallest has four times as much

# Templates are drawn on a square grid whose unit is the radius of a disc of the object's area.
GRID, REACH = 40, 2.0  # points per side, and half the side in units; a star's tips reach to 1.9
ANGLES = 36  # orientations of each template


@jax.jit
def colour_map(frames: UInt8[AnyArray, "*clips H W 3"]) -> Int[Array, "*clips H W"]:
    """Return the index in `COLOURS` of each pixel, `NO_COLOUR` for background."""
    return colour_ids(jnp.asarray(frames, jnp.float32) / 255)


def object_mask(frames: UInt8[AnyArray, "*clips H W 3"]) -> Bool[Array, "*clips H W"]:
    """Return the mask of all objects."""
    return colour_map(frames) != NO_COLOUR


def mask_of_colour(
    frames: UInt8[AnyArray, "*clips F H W 3"], colour: Int[AnyArray, "*clips"]
) -> Bool[Array, "*clips F H W"]:
    """Return the mask of the object of a colour; the objects of a clip all have different colours.

    Args:
        frames: RGB frames.
        colour: index in `COLOURS`, one for each clip.
    """
    return colour_map(frames) == jnp.asarray(colour)[..., None, None, None]


def present(mask: Bool[AnyArray, "*clips H W"]) -> Bool[Array, "*clips"]:
    """Return whether an object is visible: whether it covers at least `MIN_AREA` of the frame."""
    return jnp.mean(jnp.asarray(mask), (-2, -1)) >= MIN_AREA


@jax.jit
def centroids(mask: Bool[AnyArray, "*clips H W"]) -> Float[Array, "*clips 2"]:
    """Return the centroid (x, y) of a mask in pixels; the frame's centre where the object is absent.

    (0, 0) is the centre of the top left pixel.
    """
    mask = jnp.asarray(mask)
    height, width = mask.shape[-2:]
    count = mask.sum((-2, -1))
    x = (mask.sum(-2) * jnp.arange(width)).sum(-1) / jnp.maximum(count, 1)
    y = (mask.sum(-1) * jnp.arange(height)).sum(-1) / jnp.maximum(count, 1)
    frame_centre = jnp.array([width - 1, height - 1]) / 2
    return jnp.where(present(mask)[..., None], jnp.stack([x, y], -1), frame_centre)


def trajectory_error(
    track: Float[AnyArray, "*clips F 2"], target: Float[AnyArray, "*clips F 2"]
) -> Float[Array, "*clips"]:
    """Return the mean distance of two trajectories in pixels.

    ```python
    trajectory_error(centroids(mask_of_colour(frames, colour)), clips.track)
    ```

    Args:
        track: centre of the object in each frame, in pixels.
        target: trajectory to compare it with.
    """
    return jnp.linalg.norm(jnp.asarray(track) - jnp.asarray(target), axis=-1).mean(-1)


def velocity(track: Float[AnyArray, "*clips F 2"]) -> Float[Array, "*clips 2"]:
    """Return the constant velocity in pixels per frame that fits a trajectory best (least squares)."""
    track = jnp.asarray(track)
    time = jnp.arange(track.shape[-2]) - (track.shape[-2] - 1) / 2
    return jnp.einsum("f,...fi->...i", time, track) / (time**2).sum()


def heading(track: Float[AnyArray, "*clips F 2"]) -> Float[Array, "*clips"]:
    """Return the direction of the `velocity` in radians, clockwise from right."""
    x, y = jnp.moveaxis(velocity(track), -1, 0)
    return jnp.arctan2(y, x)


def is_moving(track: Float[AnyArray, "*clips F 2"]) -> Bool[Array, "*clips"]:
    """Return whether an object moves by at least `MIN_SPEED`; a static object has no direction."""
    return jnp.linalg.norm(velocity(track), axis=-1) >= MIN_SPEED


def direction(track: Float[AnyArray, "*clips F 2"]) -> Int[Array, "*clips"]:
    """Return the index in `DIRECTIONS` nearest to the `heading`."""
    steps = jnp.round(heading(track) / (2 * jnp.pi) * len(DIRECTIONS)).astype(jnp.int32)
    return steps % len(DIRECTIONS)


def angle_between(a: Float[AnyArray, "*clips"], b: Float[AnyArray, "*clips"]) -> Float[Array, "*clips"]:
    """Return the angle between two headings in radians, 0 to pi."""
    return jnp.abs((jnp.asarray(a) - jnp.asarray(b) + jnp.pi) % (2 * jnp.pi) - jnp.pi)


@jax.jit
def shape_ious(mask: Bool[AnyArray, "*clips F H W"]) -> Float[Array, "*clips shape"]:
    """Return the IoU of an object with the template of each shape at its best angle, averaged over frames.

    The object is first moved and scaled to the position and area of the templates, so its own do not matter.
    """
    mask = jnp.asarray(mask)
    flat = mask.reshape(-1, *mask.shape[-2:])
    objects = jax.vmap(_on_grid)(flat).reshape(len(flat), -1).astype(jnp.float32)
    templates = jnp.asarray(_templates())
    intersection = jnp.einsum("np,sap->nsa", objects, templates)
    union = objects.sum(-1)[:, None, None] + templates.sum(-1) - intersection
    best = (intersection / union).max(-1)
    return best.reshape(*mask.shape[:-2], len(SHAPES)).mean(-2)


def _grid() -> np.ndarray:
    """Return the positions of the grid's points, [GRID^2, (x, y)]."""
    side = (np.arange(GRID) + 0.5) / GRID * 2 * REACH - REACH
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(np.float32)


def _on_grid(mask: Bool[Array, "H W"]) -> Bool[Array, "GRID GRID"]:
    """Resample an object on the grid of the templates."""
    unit = jnp.sqrt(mask.sum() / jnp.pi)
    x, y = (centroids(mask) + unit * _grid()).T
    values = map_coordinates(mask.astype(jnp.float32), [y, x], order=1, mode="constant")
    return values.reshape(GRID, GRID) > 0.5


@lru_cache
def _templates() -> Float[np.ndarray, "shape angle point"]:
    """Return each shape at each angle about its centre of mass, scaled to the area of the unit disc."""
    with jax.ensure_compile_time_eval():
        x, y = jnp.asarray(_grid()).T
        areas = [
            (shape_distance(jnp.array(s), x, y) < 0).mean() * (2 * REACH) ** 2 for s in range(len(SHAPES))
        ]
        angles = jnp.arange(ANGLES) * (2 * jnp.pi / ANGLES)
        templates = []
        for shape, area in enumerate(areas):
            radius = jnp.sqrt(
                area / jnp.pi
            )  # radius of the disc of this area; the shape's nominal radius is 1
            draw = partial(_rotated_shape, jnp.array(shape), radius * x, radius * y)
            templates.append(jax.vmap(draw)(angles))
        return np.asarray(jnp.stack(templates), np.float32)


def _rotated_shape(
    shape: Int[Array, ""], x: Float[Array, "point"], y: Float[Array, "point"], angle: Float[Array, ""]
) -> Bool[Array, "point"]:
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return shape_distance(shape, cosine * x + sine * y, cosine * y - sine * x) < 0
