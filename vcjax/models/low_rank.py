"""Low-rank adapters of layers (LoRA, arXiv 2106.09685): y = W x + B A x, where W is frozen and A and B are trained.

A layer finds its A and B in the collection `adapters` of its variables, as `down` and `up`; without them it computes what it
always does.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

from vcjax.kernels.dense import dot
from vcjax.kernels.winograd import convolve

COLLECTION = "adapters"
DROPOUT = "adapters"  # name of the random numbers of dropout of the inputs of A


def low_rank(layer: nn.Module, x: Array, dtype: Dtype) -> tuple[Array, Array] | None:
    """Return A x of a linear layer, and B; None where the layer has no adapter.

    Args:
        layer: the layer.
        x: its input, `[..., C]`.
        dtype: type of the product.
    """
    if not layer.has_variable(COLLECTION, "down"):
        return None
    down, up = (layer.get_variable(COLLECTION, name).astype(dtype) for name in ("down", "up"))
    return dot(_dropped(layer, x.astype(dtype)), down).astype(dtype), up


def add_low_rank(
    layer: nn.Module, y: Float[Array, "*B D"], x: Float[Array, "*B C"], dtype: Dtype
) -> Float[Array, "*B D"]:
    """Return the output of a linear layer with that of its adapter."""
    found = low_rank(layer, x, dtype)
    return y if found is None else y + dot(*found)


class Conv(nn.Module):
    """Convolution of `[N, h, w, C]`, with the parameters of `nn.Conv`.

    Its adapter is a convolution to a few channels, with the same kernel size, and a 1x1 convolution.

    Attributes:
        features: output channels.
        kernel_size: height and width of the kernel.
        padding: padding of each axis.
        dtype: compute type.
        strides: strides of each axis.
        zero: initialise the kernel to zero.
    """

    features: int
    kernel_size: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dtype: Dtype
    strides: tuple[int, int] = (1, 1)
    zero: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N h2 w2 D"]:
        """Convolve `[N, h, w, C]`."""
        init = nn.initializers.zeros if self.zero else nn.linear.default_kernel_init
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape, jnp.float32).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        numbers = ("NHWC", "HWIO", "NHWC")
        y = convolve(x, kernel, self.strides, self.padding, dimension_numbers=numbers)
        if self.has_variable(COLLECTION, "down"):
            down, up = (self.get_variable(COLLECTION, name).astype(self.dtype) for name in ("down", "up"))
            reduced = lax.conv_general_dilated(
                _dropped(self, x), down, self.strides, self.padding, dimension_numbers=numbers
            )
            y = y + dot(reduced, up).astype(self.dtype)
        return y + bias


def _dropped(layer: nn.Module, x: Array) -> Array:
    """Return x with dropout where the call has random numbers for it."""
    if not layer.has_rng(DROPOUT):
        return x
    keep = 1 - layer.get_variable(COLLECTION, "dropout")
    kept = jax.random.bernoulli(layer.make_rng(DROPOUT), keep, x.shape)
    return x * (kept / keep).astype(x.dtype)
