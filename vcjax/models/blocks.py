"""Blocks of the 3D UNet: residual blocks with temporal convolutions, transformers and resampling.

Every block maps a clip `[B, F, h, w, C]` to a clip. Inside, spatial layers process `[B*F, h, w, C]` and
temporal layers `[B, F, h*w, C]`. On several devices spatial layers are sharded over frames, temporal layers
over pixels.
"""

from functools import partial

import flax.linen as nn
import jax
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.kernels.frame_attention import is_supported
from vcjax.models.attention import Implementation
from vcjax.models.layers import GEGLU, Attention, GroupNorm, LayerNorm, conv3x3, dense, has_kernels
from vcjax.models.layout import Layout
from vcjax.models.low_rank import Conv

TRANSFORMER_NORM_EPSILON = 1e-6  # of the group norm before a transformer; all other norms have 1e-5
FEED_FORWARD = 4  # channels of the feed-forward layer, in units of the input's


class TemporalConvolutions(nn.Module):
    """Four convolutions along the frame axis with a residual connection; the last is initialised to zero."""

    norm_groups: int
    dropout: float
    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F N C"], deterministic: bool) -> Float[Array, "B F N C"]:
        """Mix neighbouring frames of each pixel; norm statistics span frames and space."""
        channels = x.shape[-1]
        y = x
        for i in range(4):
            y = GroupNorm(
                self.norm_groups, dtype=self.dtype, silu=True, layout=self.layout, name=f"norm_{i}"
            )(y)
            if i > 0:
                y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
            y = Conv(channels, (3, 1), ((1, 1), (0, 0)), self.dtype, zero=i == 3, name=f"conv_{i}")(y)
        return x + y


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with the time embedding added between them, then the temporal convolutions."""

    features: int
    norm_groups: int
    dropout: float
    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(
        self, x: Float[Array, "B F h w C"], time: Float[Array, "B #F E"], temporal: bool, deterministic: bool
    ) -> Float[Array, "B F h w D"]:
        """Map `C` to `features` channels.

        Args:
            x: clip.
            time: time embedding before its SiLU.
            temporal: False skips the temporal convolutions.
            deterministic: False enables dropout.
        """
        batch, frames, height, width, channels = x.shape
        flatten, unflatten = self.layout.flatten_frames, partial(self.layout.unflatten_frames, batch=batch)
        norm = partial(GroupNorm, self.norm_groups, dtype=self.dtype, silu=True, layout=self.layout)
        x = flatten(x)
        y = norm(name="norm_0")(x)
        y = conv3x3(self.features, self.dtype, "conv_0")(y)
        shift = dense(self.features, self.dtype, "time")(nn.silu(time))
        y = flatten(unflatten(y) + shift[:, :, None, None])
        y = norm(name="norm_1")(y)
        y = flatten(nn.Dropout(self.dropout)(unflatten(y), deterministic=deterministic))
        y = conv3x3(self.features, self.dtype, "conv_1", zero=True)(y)
        if channels != self.features:
            x = dense(self.features, self.dtype, "skip")(x)
        x = unflatten(x + y)
        if temporal:
            x = self.layout.shard_pixels(x.reshape(batch, frames, height * width, self.features))
            x = TemporalConvolutions(
                self.norm_groups, self.dropout, self.dtype, self.layout, name="temporal"
            )(x, deterministic)
            x = self.layout.reshard_frames(x).reshape(batch, frames, height, width, self.features)
        return x


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention and GEGLU feed-forward, each with pre-norm and residual connection.

    Without a context the cross-attention is a second self-attention.
    """

    heads: int
    head_dim: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "... C"],
        context: Float[Array, "B M E"] | None = None,
        lengths: Int[Array, "B"] | None = None,
    ) -> Float[Array, "... C"]:
        """Transform sequences; all sequences of a clip attend to the same context.

        Args:
            x: sequences `[N, L, C]`, where the leading axis is flattened frames or pixels of the clips; or clips
                `[B, F, P, C]`, whose frames at each pixel are a sequence.
            context: keys of the cross-attention, one row for each clip.
            lengths: number of keys of each context that exist, the first ones.
        """

        def attention(name: str) -> Attention:
            return Attention(
                self.heads,
                self.head_dim,
                dtype=self.dtype,
                implementation=self.attention,
                layout=self.layout,
                over_frames=x.ndim == 4,
                name=name,
            )

        def norm(name: str) -> LayerNorm:
            return LayerNorm(self.dtype, self.layout, name=name)

        channels = x.shape[-1]
        x, y = norm("norm_0")(x)
        x, y = norm("norm_1")(x, attention("self")(y))
        if context is None:
            y = attention("cross")(y)
        else:  # the queries of all frames of a clip are concatenated, so that keys are computed once per clip
            y = self.layout.unflatten_frames(y, context.shape[0])
            out = attention("cross")(y.reshape(y.shape[0], -1, channels), context, lengths)
            y = self.layout.flatten_frames(out.reshape(y.shape))
        x, y = norm("norm_2")(x, y)
        y = GEGLU(FEED_FORWARD * channels, self.dtype, self.layout, name="geglu")(y)
        return x + dense(channels, self.dtype, "out")(y)


class SpatialTransformer(nn.Module):
    """Self-attention among the pixels of each frame, and cross-attention on the tokens."""

    head_dim: int
    norm_groups: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(
        self, x: Float[Array, "B F h w C"], tokens: Float[Array, "B L D"], lengths: Int[Array, "B"]
    ) -> Float[Array, "B F h w C"]:
        """Apply the transformer with a residual connection; the first `lengths` tokens exist."""
        channels = x.shape[-1]
        y = rearrange(self.layout.flatten_frames(x), "n h w c -> n (h w) c")
        y = GroupNorm(
            self.norm_groups, TRANSFORMER_NORM_EPSILON, self.dtype, layout=self.layout, name="norm"
        )(y)
        y = dense(channels, self.dtype, "in")(y)
        heads = channels // self.head_dim
        layer = BasicTransformerBlock(
            heads, self.head_dim, self.dtype, self.attention, self.layout, name="layer"
        )
        y = dense(channels, self.dtype, "out", zero=True)(layer(y, tokens, lengths))
        return x + self.layout.unflatten_frames(y, x.shape[0]).reshape(x.shape)


class TemporalTransformer(nn.Module):
    """Self-attention among the frames of each pixel; both attentions of its layer are self-attentions."""

    heads: int
    head_dim: int
    norm_groups: int
    dtype: Dtype
    attention: Implementation
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h w C"]:
        """Apply the transformer with a residual connection; there is no positional encoding."""
        inner = self.heads * self.head_dim
        y = self.layout.shard_pixels(rearrange(x, "b f h w c -> b f (h w) c"))
        y = GroupNorm(
            self.norm_groups, TRANSFORMER_NORM_EPSILON, self.dtype, layout=self.layout, name="norm"
        )(y)
        y = dense(inner, self.dtype, "in")(y)
        layer = BasicTransformerBlock(
            self.heads, self.head_dim, self.dtype, self.attention, self.layout, name="layer"
        )
        if has_kernels(y, self.layout) and is_supported(x.shape[1], self.head_dim):
            y = layer(y)
        else:
            y = self.layout.flatten_frames(rearrange(y, "b f n c -> b n f c"))
            y = rearrange(self.layout.unflatten_frames(layer(y), x.shape[0]), "b n f c -> b f n c")
        y = self.layout.reshard_frames(dense(x.shape[-1], self.dtype, "out", zero=True)(y))
        return x + y.reshape(x.shape)


class Downsample(nn.Module):
    """Downsampling by 2 with a strided 3x3 convolution, padded by 1 on both sides."""

    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h2 w2 C"]:
        """Map `[B, F, h, w, C]` to `[B, F, h/2, w/2, C]`."""
        y = conv3x3(x.shape[-1], self.dtype, "conv", stride=2)(self.layout.flatten_frames(x))
        return self.layout.unflatten_frames(y, x.shape[0])


class Upsample(nn.Module):
    """Upsampling by 2: nearest neighbour, then a 3x3 convolution."""

    dtype: Dtype
    layout: Layout

    @nn.compact
    def __call__(self, x: Float[Array, "B F h w C"]) -> Float[Array, "B F h2 w2 C"]:
        """Map `[B, F, h, w, C]` to `[B, F, 2h, 2w, C]`."""
        y = self.layout.flatten_frames(x)
        rows, height, width, channels = y.shape
        y = jax.image.resize(y, (rows, 2 * height, 2 * width, channels), "nearest")
        y = conv3x3(channels, self.dtype, "conv")(y)
        return self.layout.unflatten_frames(y, x.shape[0])
