"""What vision transformers share, and CLIP's text tower with them: the layer, and the embedding of pictures as patches."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.models.attention import attend
from vcjax.models.layers import dense, exact_gelu, layer_norm

FEED_FORWARD = 4


class TowerLayer(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and with a residual."""

    heads: int
    causal: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Keep the shape."""
        width = x.shape[-1]
        y = layer_norm(self.dtype, "norm_0")(x)
        split = (*x.shape[:2], self.heads, width // self.heads)
        query, key, value = (
            dense(width, self.dtype, name)(y).reshape(split) for name in ("query", "key", "value")
        )
        y = attend(query, key, value, causal=self.causal)
        x = x + dense(width, self.dtype, "out")(y.reshape(x.shape))
        y = layer_norm(self.dtype, "norm_1")(x)
        y = exact_gelu(dense(FEED_FORWARD * width, self.dtype, "hidden_0")(y))
        return x + dense(width, self.dtype, "hidden_1")(y)


class PatchEmbedding(nn.Module):
    """Pictures as tokens: a class token, then one for each patch, row by row, with positions added.

    Attributes:
        width: channels of a token.
        patch: side of a patch in pixels.
        grid: patches on each side of the pictures that the positions are for.
        use_bias: whether the patches' projection has one.
        dtype: compute type.
    """

    width: int
    patch: int
    grid: int
    use_bias: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B T D"]:
        """Tokens; positions of another grid are interpolated bilinearly."""
        patches = nn.Conv(
            self.width,
            (self.patch, self.patch),
            strides=(self.patch, self.patch),
            padding="VALID",
            use_bias=self.use_bias,
            dtype=self.dtype,
            name="patches",
        )(images.astype(self.dtype))
        normal = nn.initializers.normal(self.width**-0.5)
        first = self.param("class", normal, (self.width,), jnp.float32)
        positions = self.param("positions", normal, (self.grid**2 + 1, self.width), jnp.float32)
        batch, height, width, _ = patches.shape
        if (height, width) != (self.grid, self.grid):
            rows = positions[1:].reshape(self.grid, self.grid, self.width)
            rows = jax.image.resize(rows, (height, width, self.width), "linear", antialias=False)
            positions = jnp.concatenate([positions[:1], rows.reshape(-1, self.width)])
        tokens = patches.reshape(batch, height * width, self.width)
        first = jnp.broadcast_to(first.astype(self.dtype), (batch, 1, self.width))
        return jnp.concatenate([first, tokens], 1) + positions.astype(self.dtype)
