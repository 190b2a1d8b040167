"""Vision transformer blocks and patch embedding, shared by CLIP's towers and DPT (arXiv 2010.11929)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.kernels.geglu import gelu
from vcjax.models.attention import dot_product_attention
from vcjax.models.layers import LayerNorm, dense

FEED_FORWARD = 4  # channels of the feed-forward layer, in units of the input's


class TransformerBlock(nn.Module):
    """Self-attention and GELU feed-forward layer, each with pre-norm and residual connection."""

    heads: int
    causal: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Apply the block; the shape is unchanged."""
        width = x.shape[-1]
        y = LayerNorm(self.dtype, name="norm_0")(x)[1]
        split = (*x.shape[:2], self.heads, width // self.heads)
        query, key, value = (
            dense(width, self.dtype, name)(y).reshape(split) for name in ("query", "key", "value")
        )
        y = dot_product_attention(query, key, value, causal=self.causal)
        x = x + dense(width, self.dtype, "out")(y.reshape(x.shape))
        y = LayerNorm(self.dtype, name="norm_1")(x)[1]
        y = gelu(dense(FEED_FORWARD * width, self.dtype, "hidden_0")(y))
        return x + dense(width, self.dtype, "hidden_1")(y)


class PatchEmbedding(nn.Module):
    """Embedding of images as a class token and one token per patch, row by row, with position embeddings.

    Attributes:
        width: channels of a token.
        patch_size: side of a patch in pixels.
        grid: patches per side of the training images, which the position embeddings are for.
        use_bias: whether the patch projection has a bias.
        dtype: compute type.
    """

    width: int
    patch_size: int
    grid: int
    use_bias: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B T D"]:
        """Return the tokens; position embeddings are interpolated bilinearly for images of another size."""
        patches = nn.Conv(
            self.width,
            (self.patch_size, self.patch_size),
            strides=(self.patch_size, self.patch_size),
            padding="VALID",
            use_bias=self.use_bias,
            dtype=self.dtype,
            name="patches",
        )(images.astype(self.dtype))
        normal = nn.initializers.normal(self.width**-0.5)
        class_token = self.param("class", normal, (self.width,), jnp.float32)
        positions = self.param("positions", normal, (self.grid**2 + 1, self.width), jnp.float32)
        batch, height, width, _ = patches.shape
        if (height, width) != (self.grid, self.grid):
            rows = positions[1:].reshape(self.grid, self.grid, self.width)
            rows = jax.image.resize(rows, (height, width, self.width), "linear", antialias=False)
            positions = jnp.concatenate([positions[:1], rows.reshape(-1, self.width)])
        tokens = patches.reshape(batch, height * width, self.width)
        class_token = jnp.broadcast_to(class_token.astype(self.dtype), (batch, 1, self.width))
        return jnp.concatenate([class_token, tokens], 1) + positions.astype(self.dtype)
