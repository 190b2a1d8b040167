"""How everything moves in a video of the sprite world, measured from its pixels: an estimator that is no codec and no network.

Objects and what lies behind them are told apart by colour, and each of them is taken to move by a similarity (shift,
turn, growth) from frame to frame, fitted to its pixels by Gauss-Newton from coarse to fine (Lucas and Kanade 1981).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Bool, Float, Int, UInt8

from vcjax.data.sprites import COLOURS, NO_COLOUR
from vcjax.evaluation.arrays import AnyArray
from vcjax.evaluation.objects import colour_map

BLURS = (3.0, 1.5, 0.7)  # standard deviations in pixels, from coarse to fine
STEPS = 5  # of Gauss-Newton at each
LONGEST_STEP = 2.0  # pixels
OUTLIER = 0.03  # a difference in colour beyond which a pixel counts ever less: it shows something else
PRIOR = 1.0  # pulls to rest what the pixels leave open, as the motion along stripes; a textured surface outweighs it
WHOLLY = 0.999  # of a sample that lies between pixels which all count
PAIRS_AT_ONCE = 16  # bounds the memory


class _Pair(NamedTuple):
    """Two neighbouring frames, RGB in [0, 1], and which layer each pixel belongs to: 0 behind, then the colours."""

    before: Float[Array, "*n H W 3"]
    now: Float[Array, "*n H W 3"]
    layers_before: Int[Array, "*n H W"]
    layers: Int[Array, "*n H W"]


@jax.jit
def motion_field(frames: UInt8[AnyArray, "*clips F H W 3"]) -> Float[Array, "*clips F H W 2"]:
    """Where what is seen at each pixel is, minus where it was one frame before: pixels a frame, zero in the first.

    On true clips it is off by 0.1 pixels in the mean (0.01 in the median) where resting would be off by 0.5; the worst
    are striped backgrounds, along whose stripes no estimator can see a motion.
    """
    layers = colour_map(frames) - NO_COLOUR
    colours = jnp.asarray(frames, jnp.float32) / 255
    *clips, count, height, width = layers.shape
    pairs = _Pair(
        colours[..., :-1, :, :, :], colours[..., 1:, :, :, :], layers[..., :-1, :, :], layers[..., 1:, :, :]
    )
    pairs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(clips) + 1 :]), pairs)
    moved = jax.lax.map(_motion, pairs, batch_size=PAIRS_AT_ONCE)
    moved = moved.reshape(*clips, count - 1, height, width, 2)
    return jnp.pad(moved, [(0, 0)] * len(clips) + [(1, 0)] + [(0, 0)] * 3)


def end_point_error(
    field: Float[AnyArray, "*clips F H W 2"],
    wanted: Float[AnyArray, "*clips F H W 2"],
    where: Bool[AnyArray, "*clips F H W"] | None = None,
) -> Float[Array, "*clips"]:
    """Mean distance of the vectors of two fields in pixels a frame; of all frames but the first, which has no motion.

    Args:
        field, wanted: motion.
        where: the pixels that count, if not all; a clip without any counts as 0.
    """
    distance = jnp.linalg.norm(jnp.asarray(field) - jnp.asarray(wanted), axis=-1)[..., 1:, :, :]
    counted = jnp.ones_like(distance) if where is None else jnp.asarray(where, jnp.float32)[..., 1:, :, :]
    return (distance * counted).sum((-3, -2, -1)) / jnp.maximum(counted.sum((-3, -2, -1)), 1)


def _motion(pair: _Pair) -> Float[Array, "H W 2"]:
    """The field of one pair: the similarity of each layer, refined at each blur."""
    basis = _similarity_basis(*pair.layers.shape)
    member = jax.nn.one_hot(pair.layers, len(COLOURS) + 1)
    similarities = jnp.zeros((len(COLOURS) + 1, 4))
    for blur in BLURS:
        similarities = _refined(similarities, pair, blur, basis, member)
    return _vectors(similarities, basis, member)


def _similarity_basis(height: int, width: int) -> Float[np.ndarray, "H W 2 4"]:
    """The vectors at each pixel of a shift right, a shift down, a growth and a turn about the frame's centre.

    The latter two move the middle of a side by one pixel, so that all four are of one order.
    """
    rows, columns = np.mgrid[:height, :width]
    unit = max(height, width) / 2
    x, y = (columns - (width - 1) / 2) / unit, (rows - (height - 1) / 2) / unit
    one, zero = np.ones_like(x), np.zeros_like(x)
    right, down = np.stack([one, zero, x, -y], -1), np.stack([zero, one, y, x], -1)
    return np.stack([right, down], -2).astype(np.float32)


def _vectors(
    similarities: Float[Array, "layer 4"],
    basis: Float[np.ndarray, "H W 2 4"],
    member: Float[Array, "H W layer"],
) -> Float[Array, "H W 2"]:
    return jnp.einsum("hwi,hwvi->hwv", member @ similarities, basis)


def _refined(
    similarities: Float[Array, "layer 4"],
    pair: _Pair,
    blur: float,
    basis: Float[np.ndarray, "H W 2 4"],
    member: Float[Array, "H W layer"],
) -> Float[Array, "layer 4"]:
    """A few steps of Gauss-Newton towards where the earlier frame, moved, is the later one, both blurred."""
    height, width = pair.layers.shape
    rows, columns = np.mgrid[:height, :width]
    before, now = _blurred(pair.before, blur), _blurred(pair.now, blur)
    reach = math.ceil(2 * blur)  # how far an object shines into a blurred background
    is_object, clear = pair.layers > 0, _far_from_objects(pair.layers, reach)
    clear_before = _far_from_objects(pair.layers_before, reach).astype(jnp.float32)

    def step(similarities: Float[Array, "layer 4"], _: None) -> tuple[Float[Array, "layer 4"], None]:
        vectors = _vectors(similarities, basis, member)
        origin = [rows - vectors[..., 1], columns - vectors[..., 0]]
        sample = partial(map_coordinates, coordinates=origin, order=1)
        warped = jnp.stack([sample(before[..., c], mode="nearest") for c in range(3)], -1)
        in_frame = sample(jnp.ones_like(clear_before), mode="constant") > WHOLLY
        came_clear = sample(clear_before, mode="nearest") > WHOLLY
        seen = in_frame & (is_object | (clear & came_clear))

        difference = warped - now
        trust = seen / ((difference**2).sum(-1) + OUTLIER**2)
        gradient = [jnp.asarray(jnp.gradient((warped + now) / 2, axis=axis)) for axis in (1, 0)]
        slope = jnp.einsum("vhwc,hwvi->hwci", jnp.stack(gradient), basis)  # of colour along each parameter
        weighed = slope * trust[..., None, None]
        normal = jnp.einsum("hwk,hwci,hwcj->kij", member, weighed, slope) + PRIOR * jnp.eye(4)
        pull = jnp.einsum("hwk,hwci,hwc->ki", member, weighed, difference) - PRIOR * similarities
        change = jnp.linalg.solve(normal, pull[..., None])[..., 0]
        return similarities + jnp.clip(change, -LONGEST_STEP, LONGEST_STEP), None

    return jax.lax.scan(step, similarities, None, length=STEPS)[0]


def _blurred(picture: Float[Array, "H W c"], deviation: float) -> Float[Array, "H W c"]:
    """A Gaussian blur; what lies outside of the frame is like its border."""
    reach = math.ceil(2.5 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = weights / weights.sum()
    for axis in (0, 1):
        padded = jnp.pad(picture, [(reach, reach) if i == axis else (0, 0) for i in range(3)], mode="edge")
        size = picture.shape[axis]
        parts = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(weights))]
        picture = jnp.tensordot(weights.astype(np.float32), jnp.stack(parts), 1)
    return picture


def _far_from_objects(layers: Int[Array, "H W"], reach: int) -> Bool[Array, "H W"]:
    """Where all pixels within so many rows and columns belong to the background."""
    window = (2 * reach + 1, 2 * reach + 1)
    return jax.lax.reduce_window(layers, 0, jax.lax.max, window, (1, 1), "SAME") == 0
