"""Layers shared by the networks, with PyTorch's constants and initial zeros where Flax's defaults differ."""

import math
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float, Real

from vcjax.kernels.dense import dot
from vcjax.kernels.frame_attention import frame_attention
from vcjax.kernels.geglu import geglu, plain_geglu
from vcjax.kernels.group_norm import group_norm, plain_group_norm
from vcjax.kernels.layer_norm import add_layer_norm, plain_add_layer_norm
from vcjax.kernels.triton import is_fused
from vcjax.models.attention import Implementation, dot_product_attention
from vcjax.models.layout import SINGLE_DEVICE, Layout
from vcjax.models.low_rank import Conv, add_low_rank, low_rank

NORM_EPSILON = 1e-5  # PyTorch's default; Flax's is 1e-6


def has_kernels(x: Array, layout: Layout) -> bool:
    """Return whether `vcjax.kernels` has kernels for an array: on a GPU, in 16 bits, with whole clips on each device."""
    return not layout.splits_clips and is_fused(x)


class GroupNorm(nn.Module):
    """Group normalisation over all axes between the first and the last, see `vcjax.kernels.group_norm`.

    On frames `[B*F, h, w, C]` the statistics are per frame; on a clip `[B, F, h*w, C]` they span frames and
    space.

    Attributes:
        groups: number of groups.
        epsilon: added to the variance.
        dtype: type of the result.
        silu: apply the SiLU to the result.
        layout: sharding of the rows, for the kernel of a GPU; array operations where None.
    """

    groups: int = 32
    epsilon: float = NORM_EPSILON
    dtype: Dtype = jnp.float32
    silu: bool = False
    layout: Layout | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise `[B, ..., C]`."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        options = {"groups": self.groups, "epsilon": self.epsilon, "silu": self.silu}
        if self.layout is not None and has_kernels(x, self.layout):
            return self.layout.local(partial(group_norm, **options))(x, scale, bias)
        return plain_group_norm(x, scale, bias, **options).astype(self.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, see `vcjax.kernels.layer_norm`, with PyTorch's epsilon, 1e-5.

    Attributes:
        dtype: type of the result.
        layout: sharding of the rows, for the kernel of a GPU; array operations where None.
    """

    dtype: Dtype
    layout: Layout | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "*B C"], added: Float[Array, "*B C"] | None = None
    ) -> tuple[Float[Array, "*B C"], Float[Array, "*B C"]]:
        """Return `x + added`, a residual connection, and its norm; without `added`, `x` and its norm."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        if self.layout is not None and has_kernels(x, self.layout) and x.dtype == self.dtype:
            normalise = partial(add_layer_norm, epsilon=NORM_EPSILON)
            return self.layout.local(normalise)(x, added, scale, bias)
        total, normalised = plain_add_layer_norm(x, added, scale, bias, NORM_EPSILON)
        return total, normalised.astype(self.dtype)


def conv3x3(features: int, dtype: Dtype, name: str, *, stride: int = 1, zero: bool = False) -> Conv:
    """Return a 3x3 convolution with padding 1 on both sides; with `zero` its kernel is initialised to zero.

    Flax's `SAME` padding is 0 and 1 at stride 2.
    """
    return Conv(features, (3, 3), ((1, 1), (1, 1)), dtype, (stride, stride), zero, name=name)


class Dense(nn.Module):
    """Linear layer or 1x1 convolution, with the parameters of `nn.Dense`; it rounds once, after the bias.

    Attributes:
        features: output channels.
        dtype: type of the result.
        use_bias: whether it has a bias.
        zero: initialise the kernel to zero.
    """

    features: int
    dtype: Dtype
    use_bias: bool = True
    zero: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B D"]:
        """Map `C` to `features` channels."""
        init = nn.initializers.zeros if self.zero else nn.linear.default_kernel_init
        kernel = self.param("kernel", init, (x.shape[-1], self.features), jnp.float32)
        y = add_low_rank(self, dot(x.astype(self.dtype), kernel.astype(self.dtype)), x, self.dtype)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(y.dtype)
        return y.astype(self.dtype)


def dense(features: int, dtype: Dtype, name: str, *, use_bias: bool = True, zero: bool = False) -> Dense:
    """Return a linear layer or 1x1 convolution; with `zero` its kernel is initialised to zero."""
    return Dense(features, dtype, use_bias, zero, name=name)


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
        over_frames: attend among the frames of clips `[B, F, N, C]`, see `vcjax.kernels.frame_attention`.
    """

    heads: int
    head_dim: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32
    implementation: Implementation = "auto"
    zero: bool = False
    layout: Layout = SINGLE_DEVICE
    over_frames: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*B N C"],
        context: Float[Array, "B M E"] | None = None,
        lengths: Array | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "*B N C"]:
        """Attend from `x` to the first `lengths` rows, `[B]`, of `context`, or to `x` if None."""
        cross = context is not None
        context = context if cross else x
        inner = self.heads * self.head_dim

        def project(source: Array, name: str) -> Array:
            out = dense(inner, self.dtype, name, use_bias=False)(source)
            return out.reshape(*source.shape[:-1], self.heads, self.head_dim)

        query, key, value = project(x, "query"), project(context, "key"), project(context, "value")
        if self.over_frames:
            out = self.layout.local(frame_attention)(query, key, value)
        else:
            attend = partial(dot_product_attention, implementation=self.implementation)
            out = self.layout.local_attention(attend, cross=cross)(query, key, value, lengths)
        out = dense(x.shape[-1], self.dtype, "out", zero=self.zero)(out.reshape(*x.shape[:-1], inner))
        return nn.Dropout(self.dropout)(out, deterministic=deterministic)


class GEGLU(nn.Module):
    """GELU-gated linear unit, without output projection; see `vcjax.kernels.geglu`.

    Attributes:
        features: channels of the result.
        dtype: compute type.
        layout: sharding of the rows.
    """

    features: int
    dtype: Dtype
    layout: Layout = SINGLE_DEVICE

    @nn.compact
    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B D"]:
        """Map `C` to `features` channels."""
        kernel, bias, adapter = Projection(2 * self.features, self.dtype, name="proj")(x)
        x, kernel, bias = (array.astype(self.dtype) for array in (x, kernel, bias))
        if adapter is not None:  # W x + B A x = [W B] [x A x]
            x, kernel = (
                jnp.concatenate(pair, axis)
                for axis, pair in ((-1, (x, adapter[0])), (0, (kernel, adapter[1])))
            )
        function = self.layout.local(geglu) if has_kernels(x, self.layout) else plain_geglu
        return function(x, kernel, bias)


class Projection(nn.Module):
    """Kernel and bias of a linear layer that a fused operation applies.

    Attributes:
        features: output channels.
        dtype: compute type.
    """

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "*B C"]
    ) -> tuple[Float[Array, "C D"], Float[Array, "D"], tuple[Array, Array] | None]:
        """Return the parameters, float32, with the initialisers of `nn.Dense`, and what `low_rank` returns."""
        kernel = self.param(
            "kernel", nn.linear.default_kernel_init, (x.shape[-1], self.features), jnp.float32
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return kernel, bias, low_rank(self, x, self.dtype)


def sinusoidal_embedding(t: Real[Array, "*n"], width: int) -> Float[Array, "*n width"]:
    """Return the sinusoidal embedding of timesteps or positions in float32 (arXiv 2006.11239, appendix B).

    The first half is cos(t f_i), the second sin(t f_i), with f_i = 10000^(-i / (width / 2)).
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(10_000) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
