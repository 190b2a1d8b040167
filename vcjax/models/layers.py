"""Small layers that every network shares, with the constants that PyTorch uses and Flax does not."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float, Real

from vcjax.models.attention import Implementation, attend
from vcjax.models.layout import ALONE, Layout
from vcjax.models.winograd import convolve

NORM_EPSILON = 1e-5  # PyTorch's default; Flax's is 1e-6


class GroupNorm(nn.Module):
    """Normalises groups of channels over every axis between the first and the last.

    On frames `[B*F, h, w, C]` the statistics are one frame's; on a clip `[B, F, h*w, C]` they span frames and
    space. Statistics are float32 at least and two-pass: first sums of each channel, then of each group, which
    on a CPU is several times faster than reducing a reshaped array.
    """

    groups: int = 32
    epsilon: float = NORM_EPSILON
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise `[B, ..., C]`; the result has the layer's compute type."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        between = tuple(range(1, x.ndim - 1))
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))

        def group_mean(per_channel: Array) -> Array:
            grouped = per_channel.reshape(-1, self.groups, channels // self.groups).mean(-1, keepdims=True)
            spread = jnp.broadcast_to(grouped, (*grouped.shape[:2], channels // self.groups))
            return spread.reshape(-1, *(1 for _ in between), channels)

        centred = x - group_mean(x.mean(between))
        variance = group_mean(jnp.square(centred).mean(between))
        return (centred * (jax.lax.rsqrt(variance + self.epsilon) * scale) + bias).astype(self.dtype)


def layer_norm(dtype: Dtype, name: str) -> nn.LayerNorm:
    """PyTorch's layer norm: epsilon 1e-5, two-pass variance in float32."""
    return nn.LayerNorm(epsilon=NORM_EPSILON, use_fast_variance=False, dtype=dtype, name=name)


def conv3x3(features: int, dtype: Dtype, name: str, *, stride: int = 1, zero: bool = False) -> nn.Conv:
    """A 3x3 convolution padded by 1 on both sides whatever the stride (Flax's SAME pads 0 and 1 at stride 2)."""
    return nn.Conv(
        features,
        (3, 3),
        strides=(stride, stride),
        padding=((1, 1), (1, 1)),
        dtype=dtype,
        kernel_init=nn.initializers.zeros if zero else nn.linear.default_kernel_init,
        conv_general_dilated=convolve,
        name=name,
    )


@jax.custom_vjp
def product(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    """`x @ kernel`, whose kernel's gradient comes out as it is stored.

    JAX's own comes out transposed, and XLA's CPU compiler then writes the operands anew in an order in which their product is
    slower (`benchmarks/layers.py`).
    """
    return x @ kernel


def _product_forwards(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _product_backwards(inputs: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = inputs
    rows = tuple(range(x.ndim - 1))
    return gradient @ kernel.T, jnp.tensordot(x, gradient, (rows, rows))


product.defvjp(_product_forwards, _product_backwards)


def channels_by_kernel(x: Array, kernel: Array, dimensions: object, **_: object) -> Array:
    """`product` as `nn.Dense` calls for it, which contracts the last axis with the kernel's first."""
    return product(x, kernel)


def dense(features: int, dtype: Dtype, name: str, *, use_bias: bool = True, zero: bool = False) -> nn.Dense:
    """A linear layer, which is also a 1x1 convolution; `zero` starts it at zero."""
    return nn.Dense(
        features,
        use_bias=use_bias,
        dtype=dtype,
        dot_general=channels_by_kernel,
        kernel_init=nn.initializers.zeros if zero else nn.linear.default_kernel_init,
        name=name,
    )


class Attention(nn.Module):
    """Multi-head attention: no bias on queries, keys and values, a bias on the output projection (`zero`: 0 at start).

    Rows are split over devices as the layout says, see `Layout.attending`.
    """

    heads: int
    head_size: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32
    implementation: Implementation = "auto"
    zero: bool = False
    layout: Layout = ALONE

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*B N C"],
        context: Float[Array, "B M E"] | None = None,
        mask: Array | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "*B N C"]:
        """Attend from `x` to `context` (to `x` itself where there is none); `mask` `[B, M]` says which keys exist."""
        across = context is not None
        context = context if across else x
        inner = self.heads * self.head_size

        def project(source: Array, name: str) -> Array:
            out = dense(inner, self.dtype, name, use_bias=False)(source)
            return out.reshape(*source.shape[:-1], self.heads, self.head_size)

        local = self.layout.attending(partial(attend, implementation=self.implementation), across=across)
        out = local(project(x, "query"), project(context, "key"), project(context, "value"), mask)
        out = dense(x.shape[-1], self.dtype, "out", zero=self.zero)(out.reshape(*x.shape[:-1], inner))
        return nn.Dropout(self.dropout)(out, deterministic=deterministic)


def exact_gelu(x: Array) -> Array:
    """GELU by the error function, in float32 at least (arXiv 1606.08415, section 2); not its tanh approximation.

    Flax's goes by the complementary error function, which takes a CPU longer (`benchmarks/layers.py`).
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (wide * (0.5 + 0.5 * lax.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


def sinusoids(t: Real[Array, "*n"], width: int) -> Float[Array, "*n width"]:
    """cos(t f_i) then sin(t f_i) with f_i = 10000^(-i / (width/2)), in float32 (DDPM, appendix B)."""
    half = width // 2
    frequencies = jnp.exp(-math.log(10_000) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
