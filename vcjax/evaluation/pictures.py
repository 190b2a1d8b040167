"""How alike pictures are: pixel by pixel (PSNR), in structure (SSIM), and in palette and texture, wherever these lie."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from vcjax.evaluation.arrays import AnyArray

BEST_PSNR = 60.0  # of equal pictures; one byte in 64 of a picture off by one is that far

# Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", section III-B and C
SSIM_DEVIATION, SSIM_WINDOW = 1.5, 11
SSIM_K1, SSIM_K2 = 0.01, 0.03

SCALES = (1, 2, 4)  # pixels between neighbours, of texture
TURNS = 16  # directions of colour or gradient space along which distributions are compared


def psnr(
    pictures: UInt8[AnyArray, "*n H W 3"],
    wanted: UInt8[AnyArray, "*n H W 3"],
    where: Bool[AnyArray, "*n H W"] | None = None,
) -> Float[Array, "*n"]:
    """Peak signal-to-noise ratio in dB, at most `BEST_PSNR`.

    Args:
        pictures, wanted: RGB.
        where: the pixels that count, if not all; a picture without any counts as equal.
    """
    square = ((jnp.asarray(pictures, jnp.float32) - jnp.asarray(wanted, jnp.float32)) ** 2).mean(-1)
    counted = jnp.ones_like(square) if where is None else jnp.asarray(where, jnp.float32)
    error = (square * counted).sum((-2, -1)) / jnp.maximum(counted.sum((-2, -1)), 1)
    return jnp.minimum(10 * jnp.log10(255.0**2 / jnp.maximum(error, 1e-12)), BEST_PSNR)


@jax.jit
def ssim(pictures: UInt8[AnyArray, "*n H W 3"], wanted: UInt8[AnyArray, "*n H W 3"]) -> Float[Array, "*n"]:
    """Structural similarity, mean over the places of its window and the channels; 1 for equal pictures.

    Pictures must be at least 11 pixels high and wide.
    """
    a, b = jnp.asarray(pictures, jnp.float32) / 255, jnp.asarray(wanted, jnp.float32) / 255
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance = _windowed(a * a) - mean_a**2 + _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    light, contrast = SSIM_K1**2, SSIM_K2**2
    similarity = (2 * mean_a * mean_b + light) * (2 * covariance + contrast)
    similarity /= (mean_a**2 + mean_b**2 + light) * (variance + contrast)
    return similarity.mean((-3, -2, -1))


def palette_distance(
    pictures: UInt8[AnyArray, "*n H W 3"], wanted: UInt8[AnyArray, "*#n H W 3"]
) -> Float[np.ndarray, "*n"]:
    """How far the colours of one picture must be moved to be those of the other, of [0, 1], wherever they lie."""
    colours = (np.asarray(x, np.float32).reshape(*x.shape[:-3], -1, 3) / 255 for x in (pictures, wanted))
    return _sliced_distance(*colours)


def texture_distance(
    pictures: UInt8[AnyArray, "*n H W 3"], wanted: UInt8[AnyArray, "*#n H W 3"]
) -> Float[np.ndarray, "*n"]:
    """The same of the changes in brightness between pixels so far apart as `SCALES`, added up.

    It knows how strong, in which direction and how frequent changes are, and neither where they are nor which colour.
    """
    a, b = (np.asarray(x, np.float32).mean(-1) / 255 for x in (pictures, wanted))
    return np.stack([_sliced_distance(_changes(a, scale), _changes(b, scale)) for scale in SCALES]).sum(0)


def _changes(light: Float[np.ndarray, "*n H W"], scale: int) -> Float[np.ndarray, "*n p 2"]:
    right = light[..., :-scale, scale:] - light[..., :-scale, :-scale]
    down = light[..., scale:, :-scale] - light[..., :-scale, :-scale]
    return np.stack([right, down], -1).reshape(*light.shape[:-2], -1, 2)


def _sliced_distance(
    a: Float[np.ndarray, "*n p d"], b: Float[np.ndarray, "*#n p d"]
) -> Float[np.ndarray, "*n"]:
    """Sliced 1-Wasserstein distance of two sets of equally many points: in one dimension, that of the sorted values.

    NumPy sorts fifty times faster than XLA does on a CPU.
    """
    directions = _directions(a.shape[-1]).T
    one, other = (np.sort(directions @ np.swapaxes(points, -1, -2), -1) for points in (a, b))
    return np.abs(one - other).mean((-2, -1))


def _directions(dimensions: int) -> Float[np.ndarray, "d turn"]:
    """`TURNS` directions, the same ones each time, spread by chance."""
    drawn = np.random.default_rng(0).standard_normal((dimensions, TURNS))
    return (drawn / np.linalg.norm(drawn, axis=0)).astype(np.float32)


def _windowed(x: Float[Array, "*n H W c"]) -> Float[Array, "*n h w c"]:
    """Mean under the Gaussian window, at every place where it lies within the picture."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SSIM_DEVIATION) ** 2)
    weights = jnp.asarray(weights / weights.sum(), jnp.float32)
    along = partial(jnp.convolve, mode="valid")
    for axis in (-3, -2):
        x = jnp.apply_along_axis(along, axis, x, weights)
    return x
