"""Layers shared by the networks, with PyTorch's constants and initial zeros where Flax's defaults differ."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float, Real

from vcjax.kernels.dense import dense_dot_general
from vcjax.kernels.winograd import convolve
from vcjax.models.attention import Implementation, dot_product_attention
from vcjax.models.layout import SINGLE_DEVICE, Layout

NORM_EPSILON = 1e-5  # PyTorch's default; Flax's is 1e-6


class GroupNorm(nn.Module):
    """Group normalisation over all axes between the first and the last (arXiv 1803.08494).

    On frames `[B*F, h, w, C]` the statistics are per frame; on a clip `[B, F, h*w, C]` they span frames and
    space. Statistics are computed in float32 or higher precision, with a two-pass variance. Means are taken
    per channel first, then per group, which on a CPU is several times faster than reducing a reshaped array.

    Attributes:
        groups: number of groups.
        epsilon: added to the variance.
        dtype: type of the result.
    """

    groups: int = 32
    epsilon: float = NORM_EPSILON
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise `[B, ..., C]`."""
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
    """Return a layer norm with PyTorch's epsilon, 1e-5, and a two-pass variance in float32."""
    return nn.LayerNorm(epsilon=NORM_EPSILON, use_fast_variance=False, dtype=dtype, name=name)


def conv3x3(features: int, dtype: Dtype, name: str, *, stride: int = 1, zero: bool = False) -> nn.Conv:
    """Return a 3x3 convolution with padding 1 on both sides; with `zero` its kernel is initialised to zero.

    Flax's `SAME` padding is 0 and 1 at stride 2.
    """
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


def dense(features: int, dtype: Dtype, name: str, *, use_bias: bool = True, zero: bool = False) -> nn.Dense:
    """Return a linear layer or 1x1 convolution; with `zero` its kernel is initialised to zero."""
    return nn.Dense(
        features,
        use_bias=use_bias,
        dtype=dtype,
        dot_general=dense_dot_general,
        kernel_init=nn.initializers.zeros if zero else nn.linear.default_kernel_init,
        name=name,
    )


class Attention(nn.Module):
    """Multi-head attention with a bias on the output projection only.

    Attributes:
        heads: number of heads.
        head_dim: channels of a head.
        dropout: dropout rate of the output.
        dtype: compute type.
        implementation: see `vcjax.models.attention.dot_product_attention`.
        zero: initialise the output projection to zero.
        layout: sharding of the sequences, see `Layout.local_attention`.
    """

    heads: int
    head_dim: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32
    implementation: Implementation = "auto"
    zero: bool = False
    layout: Layout = SINGLE_DEVICE

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*B N C"],
        context: Float[Array, "B M E"] | None = None,
        mask: Array | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "*B N C"]:
        """Attend from `x` to `context`, or to `x` if None; `mask`, `[B, M]`, is True for keys that exist."""
        cross = context is not None
        context = context if cross else x
        inner = self.heads * self.head_dim

        def project(source: Array, name: str) -> Array:
            out = dense(inner, self.dtype, name, use_bias=False)(source)
            return out.reshape(*source.shape[:-1], self.heads, self.head_dim)

        local = self.layout.local_attention(
            partial(dot_product_attention, implementation=self.implementation), cross=cross
        )
        out = local(project(x, "query"), project(context, "key"), project(context, "value"), mask)
        out = dense(x.shape[-1], self.dtype, "out", zero=self.zero)(out.reshape(*x.shape[:-1], inner))
        return nn.Dropout(self.dropout)(out, deterministic=deterministic)


class GEGLU(nn.Module):
    """GELU-gated linear unit `value * gelu(gate)` (arXiv 2002.05202, equation 6), without output projection.

    Value and gate are the two halves of one projection.

    Attributes:
        features: channels of the result.
        dtype: compute type.
    """

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B D"]:
        """Map `C` to `features` channels."""
        value, gate = jnp.split(dense(2 * self.features, self.dtype, "proj")(x), 2, -1)
        return value * gelu(gate)


def gelu(x: Array) -> Array:
    """Return x Phi(x), the exact GELU and not its tanh approximation (arXiv 1606.08415, section 2).

    Computed with the error function, in float32 or higher precision. Flax uses the complementary error
    function, which is slower on CPUs (`benchmarks/layers.py`).
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (wide * (0.5 + 0.5 * lax.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


def sinusoidal_embedding(t: Real[Array, "*n"], width: int) -> Float[Array, "*n width"]:
    """Return the sinusoidal embedding of timesteps or positions in float32 (arXiv 2006.11239, appendix B).

    The first half is cos(t f_i), the second sin(t f_i), with f_i = 10000^(-i / (width / 2)).
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(10_000) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
