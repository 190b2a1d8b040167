"""The four blocks that the 3D UNet is made of: residual with temporal convolutions, and two transformers.

Every block maps a clip `[B, F, h, w, C]` to a clip. Inside, spatial layers see `[B*F, h, w, C]` and temporal
layers `[B, F, h*w, C]`. On several devices the former have their share of the frames, the latter of the pixels.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from vcjax.models.attention import Implementation
from vcjax.models.layers import Attention, GroupNorm, conv3x3, dense, exact_gelu, layer_norm
from vcjax.models.layout import Layout
from vcjax.models.winograd import convolve

TRANSFORMER_NORM_EPSILON = 1e-6  # of the group norm in front of a transformer; all other norms have 1e-5
FEED_FORWARD = 4


class TemporalConvolutions(nn.Module):
    """Four convolutions along the frame axis with a residual around them, the last one zero at start."""

    groups: int
    dropout: float
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B F N C"], deterministic: bool) -> Float[Array, "B F N C"]:
        """Mix neighbouring frames of each pixel; norms span frames and space."""
        channels = x.shape[-1]
        y = x
        for i in range(4):
            y = nn.silu(GroupNorm(self.groups, dtype=self.dtype, name=f"norm_{i}")(y))
            if i > 0:
                y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
            y = nn.Conv(
                channels,
                (3, 1),
                padding=((1, 1), (0, 0)),
                dtype=self.dtype,
                kernel_init=nn.initializers.zeros if i == 3 else nn.linear.default_kernel_init,
                conv_general_dilated=convolve,
                name=f"conv_{i}",
            )(y)
        return x + y


class ResidualBlock(nn.Module):
    """Two convolutions with the time embedding between them, then the temporal convolutions."""

    features: int
    groups: int
    dropout: float
    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(
        self, x: Float[Array, "B F h w C"], time: Float[Array, "B #F E"], temporal: bool, deterministic: bool
    ) -> Float[Array, "B F h w D"]:
        """Map `C` to `features` channels; `time` is the embedding before its SiLU."""
        batch, frames, height, width, channels = x.shape
        merged, apart = self.layout.merged, partial(self.layout.apart, batch=batch)
        x = merged(x)
        y = nn.silu(GroupNorm(self.groups, dtype=self.dtype, name="norm_0")(x))
        y = conv3x3(self.features, self.dtype, "conv_0")(y)
        shift = dense(self.features, self.dtype, "time")(nn.silu(time))
        y = merged(apart(y) + shift[:, :, None, None])
        y = nn.silu(GroupNorm(self.groups, dtype=self.dtype, name="norm_1")(y))
        y = merged(nn.Dropout(self.dropout)(apart(y), deterministic=deterministic))
        y = conv3x3(self.features, self.dtype, "conv_1", zero=True)(y)
        if channels != self.features:
            x = dense(self.features, self.dtype, "skip")(x)
        x = apart(x + y)
        if temporal:
            x = self.layout.by_pixels(x.reshape(batch, frames, height * width, self.features))
            x = TemporalConvolutions(self.groups, self.dropout, self.dtype, name="temporal")(x, deterministic)
            x = self.layout.back_to_frames(x).reshape(batch, frames, height, width, self.features)
        return x


class TransformerLayer(nn.Module):
    """Self-attention, attention on a context (on itself without one), gated feed-forward: each behind a norm."""

    heads: int
    head_size: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "N L C"],
        context: Float[Array, "B M E"] | None = None,
        mask: Bool[Array, "B M"] | None = None,
    ) -> Float[Array, "N L C"]:
        """Rows of `x` are frames or pixels; a context has one row a clip and is seen by all of that clip's."""

        def attention(name: str) -> Attention:
            return Attention(
                self.heads,
                self.head_size,
                dtype=self.dtype,
                implementation=self.attention,
                layout=self.layout,
                name=name,
            )

        channels = x.shape[-1]
        x = x + attention("self")(layer_norm(self.dtype, "norm_0")(x))
        y = layer_norm(self.dtype, "norm_1")(x)
        if context is None:
            y = attention("cross")(y)
        else:  # all frames of a clip are one long row of queries: keys are made once a clip
            y = self.layout.apart(y, context.shape[0])
            seen = attention("cross")(y.reshape(y.shape[0], -1, channels), context, mask)
            y = self.layout.merged(seen.reshape(y.shape))
        x = x + y
        y = layer_norm(self.dtype, "norm_2")(x)
        value, gate = jnp.split(dense(2 * FEED_FORWARD * channels, self.dtype, "gated")(y), 2, -1)
        return x + dense(channels, self.dtype, "out")(value * exact_gelu(gate))


class SpatialTransformer(nn.Module):
    """Attention among the pixels of each frame, and of each pixel on the tokens."""

    head_size: int
    groups: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(
        self, x: Float[Array, "B F h w C"], tokens: Float[Array, "B L D"], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B F h w C"]:
        """Add what pixels see in their frame and in the tokens."""
        channels = x.shape[-1]
        y = rearrange(self.layout.merged(x), "n h w c -> n (h w) c")
        y = GroupNorm(self.groups, TRANSFORMER_NORM_EPSILON, self.dtype, name="norm")(y)
        y = dense(channels, self.dtype, "in")(y)
        heads = channels // self.head_size
        layer = TransformerLayer(heads, self.head_size, self.dtype, self.attention, self.layout, name="layer")
        y = dense(channels, self.dtype, "out", zero=True)(layer(y, tokens, mask))
        return x + self.layout.apart(y, x.shape[0]).reshape(x.shape)


class TemporalTransformer(nn.Module):
    """Attention among the frames of each pixel; both attentions of its layer are self-attentions."""

    heads: int
    head_size: int
    groups: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h w C"]:
        """Add what pixels see at their place in the other frames; there is no position encoding."""
        inner = self.heads * self.head_size
        y = self.layout.by_pixels(rearrange(x, "b f h w c -> b f (h w) c"))
        y = GroupNorm(self.groups, TRANSFORMER_NORM_EPSILON, self.dtype, name="norm")(y)
        y = dense(inner, self.dtype, "in")(y)
        y = self.layout.merged(rearrange(y, "b f n c -> b n f c"))
        layer = TransformerLayer(
            self.heads, self.head_size, self.dtype, self.attention, self.layout, name="layer"
        )
        y = rearrange(self.layout.apart(layer(y), x.shape[0]), "b n f c -> b f n c")
        y = self.layout.back_to_frames(dense(x.shape[-1], self.dtype, "out", zero=True)(y))
        return x + y.reshape(x.shape)


class Downsample(nn.Module):
    """Halves height and width by a strided convolution, padded by 1 on both sides."""

    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h2 w2 C"]:
        """Map `[B, F, h, w, C]` to `[B, F, h/2, w/2, C]`."""
        y = conv3x3(x.shape[-1], self.dtype, "conv", stride=2)(self.layout.merged(x))
        return self.layout.apart(y, x.shape[0])


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution."""

    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h2 w2 C"]:
        """Map `[B, F, h, w, C]` to `[B, F, 2h, 2w, C]`."""
        y = self.layout.merged(x)
        rows, height, width, channels = y.shape
        y = jax.image.resize(y, (rows, 2 * height, 2 * width, channels), "nearest")
        y = conv3x3(channels, self.dtype, "conv")(y)
        return self.layout.apart(y, x.shape[0])
