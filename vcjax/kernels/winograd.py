"""Winograd convolutions of kernel size 3 for CPUs (Lavin and Gray, arXiv 1509.09308).

F(2, 3) computes two neighbouring outputs with four multiplications instead of six (section 4.1). Nested over
two axes, F(2x2, 3x3) computes four outputs with 16 multiplications instead of 36. Each multiplication is a
matrix product over channels.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from vcjax.platforms import platform

# Winograd's algorithm is used above this number of multiplications saved per element that the transforms
# write. Single convolutions were a fifth slower at 139 and a fifth faster at 148 (two cores with AVX-512,
# jaxlib 0.10.2).
MIN_SAVED_PER_ELEMENT = 145


def convolve(
    x: Float[Array, "N h w C"],
    kernel: Float[Array, "r s C D"],
    strides: Sequence[int],
    padding: Any,
    **options: Any,
) -> Float[Array, "N h2 w2 D"]:
    """Return `lax.conv_general_dilated`, computed by Winograd's algorithm where that is faster.

    It is the `conv_general_dilated` argument of `nn.Conv` for kernel sizes 3 (padding 1) and 1 (padding 0),
    without dilation or groups.
    """
    on_cpu = platform() == "cpu" and x.dtype == jnp.float32
    if on_cpu and set(strides) == {1} and saved_per_element(x.shape, kernel.shape) > MIN_SAVED_PER_ELEMENT:
        return winograd(x, kernel)
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def saved_per_element(x: Sequence[int], kernel: Sequence[int]) -> float:
    """Return the multiplications saved per element that the transforms write; arguments are shapes."""
    axes = kernel[:2].count(3)
    pixels, channels, features = math.prod(x[:-1]), *kernel[2:]
    saved = (3**axes - 2**axes) * pixels * channels * features
    written = 2**axes * pixels * (channels + features) + 4**axes * channels * features
    return saved / written


def winograd(x: Float[Array, "N h w C"], kernel: Float[Array, "r s C D"]) -> Float[Array, "N h w D"]:
    """Return the convolution with stride 1 and zero padding; the kernel's size along each axis is 3 or 1."""
    return _nested_winograd([axis for axis in (1, 2) if kernel.shape[axis - 1] == 3], x, kernel)


def _nested_winograd(axes: list[int], x: Array, kernel: Array) -> Array:
    """Apply F(2, 3) along the first axis, and recursively along the others for its four products."""
    if not axes:
        return jnp.einsum("nhwc,cd->nhwd", x, kernel[0, 0])
    axis, *others = axes
    pairs = zip(_transform_input(x, axis), _transform_kernel(kernel, axis - 1), strict=True)
    a, b, c, d = (_nested_winograd(others, *pair) for pair in pairs)
    outputs = jnp.stack([a + b + c, b - c - d], axis + 1)  # even and odd positions
    outputs = outputs.reshape(*a.shape[:axis], -1, *a.shape[axis + 1 :])
    return lax.slice_in_dim(outputs, 0, x.shape[axis], axis=axis)


def _transform_input(x: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """Return the transformed input B^T d of tiles of size 4 and stride 2, with zero padding 1."""
    length = x.shape[axis]
    widths = [(0, 0)] * x.ndim
    widths[axis] = (1, 1 + length % 2)
    x = jnp.pad(x, widths)
    span = length + length % 2 - 1
    a, b, c, d = (lax.slice_in_dim(x, i, i + span, stride=2, axis=axis) for i in range(4))
    return a - c, b + c, c - b, b - d


def _transform_kernel(kernel: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """Return the transformed kernel G g."""
    a, b, c = (lax.index_in_dim(kernel, i, axis) for i in range(3))
    return a, (a + b + c) / 2, (a - b + c) / 2, c
