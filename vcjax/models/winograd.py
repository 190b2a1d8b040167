"""Winograd's minimal filtering: convolutions of size 3 with fewer multiplications, for CPUs.

F(2, 3) makes two neighbouring outputs from four products instead of six (Lavin and Gray, arXiv 1509.09308, section 4.1);
nested over two axes, four outputs from 16 products instead of 36. Every product is a matrix product over channels.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from vcjax.platforms import platform

# Multiplications saved for each element that the transforms write from which it is faster on a CPU: single convolutions
# lost a fifth of their time at 139 and won a fifth at 148 (two cores with AVX-512, jaxlib 0.10.2).
WORTHWHILE = 145


def convolve(
    x: Float[Array, "N h w C"],
    kernel: Float[Array, "r s C D"],
    strides: Sequence[int],
    padding: Any,
    **options: Any,
) -> Float[Array, "N h2 w2 D"]:
    """`lax.conv_general_dilated`, by Winograd's algorithm where that is faster: `nn.Conv` takes it in its place.

    It is for convolutions as this package makes them: sizes of 3 or 1, padded by 1 or 0, neither dilated nor grouped.
    """
    on_cpu = platform() == "cpu" and x.dtype == jnp.float32
    if on_cpu and set(strides) == {1} and saved_per_element(x.shape, kernel.shape) > WORTHWHILE:
        return winograd(x, kernel)
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def saved_per_element(x: Sequence[int], kernel: Sequence[int]) -> float:
    """Multiplications saved over elements written by the transforms, for these shapes."""
    axes = kernel[:2].count(3)
    pixels, channels, features = math.prod(x[:-1]), *kernel[2:]
    saved = (3**axes - 2**axes) * pixels * channels * features
    written = 2**axes * pixels * (channels + features) + 4**axes * channels * features
    return saved / written


def winograd(x: Float[Array, "N h w C"], kernel: Float[Array, "r s C D"]) -> Float[Array, "N h w D"]:
    """The convolution with stride 1 and zeros around `x`, along each axis in which the kernel's size is 3 (else 1)."""
    return _along([axis for axis in (1, 2) if kernel.shape[axis - 1] == 3], x, kernel)


def _along(axes: list[int], x: Array, kernel: Array) -> Array:
    """F(2, 3) along the first of the axes, its four products by the same along the others."""
    if not axes:
        return jnp.einsum("nhwc,cd->nhwd", x, kernel[0, 0])
    axis, *others = axes
    pairs = zip(_inputs(x, axis), _kernels(kernel, axis - 1), strict=True)
    a, b, c, d = (_along(others, *pair) for pair in pairs)
    outputs = jnp.stack([a + b + c, b - c - d], axis + 1)  # even and odd places
    outputs = outputs.reshape(*a.shape[:axis], -1, *a.shape[axis + 1 :])
    return lax.slice_in_dim(outputs, 0, x.shape[axis], axis=axis)


def _inputs(x: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """The transformed input: of the tiles of four places that begin at every second place, one before the first."""
    length = x.shape[axis]
    widths = [(0, 0)] * x.ndim
    widths[axis] = (1, 1 + length % 2)
    x = jnp.pad(x, widths)
    span = length + length % 2 - 1
    a, b, c, d = (lax.slice_in_dim(x, i, i + span, stride=2, axis=axis) for i in range(4))
    return a - c, b + c, c - b, b - d


def _kernels(kernel: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """The transformed kernel."""
    a, b, c = (lax.index_in_dim(kernel, i, axis) for i in range(3))
    return a, (a + b + c) / 2, (a - b + c) / 2, c
