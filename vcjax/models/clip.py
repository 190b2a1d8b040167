"""CLIP's text and image towers, which encode text and style (arXiv 2103.00020, OpenCLIP ViT-H/14)."""

import math

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.errors import BadInput
from vcjax.models.layers import LayerNorm
from vcjax.models.vit import PatchEmbedding, TransformerBlock

# Mean and standard deviation of RGB values in [0, 1] over CLIP's training images, as in OpenAI's CLIP and
# OpenCLIP.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

INITIAL_LOGIT_SCALE = math.log(1 / 0.07)  # log of the inverse temperature (arXiv 2103.00020, section 2.4)


class TextTower(nn.Module):
    """Causal transformer from token ids to hidden states, including its final layer norm.

    The released model uses the hidden states after layer 23 of 24; the 24th layer is omitted.

    Attributes:
        vocab_size: number of token ids.
        context_length: number of positions.
        width: channels of a token.
        layers: transformer layers.
        heads: attention heads.
        dtype: compute type.
    """

    vocab_size: int = 49408
    context_length: int = 77
    width: int = 1024
    layers: int = 23
    heads: int = 16
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, ids: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Return the hidden state of each token, float32; padding is encoded like any other token."""
        embedding = nn.Embed(
            self.vocab_size,
            self.width,
            embedding_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name="tokens",
        )
        positions = self.param(
            "positions", nn.initializers.normal(0.01), (self.context_length, self.width), jnp.float32
        )
        x = embedding(ids) + positions[: ids.shape[1]].astype(self.dtype)
        for i in range(self.layers):
            x = TransformerBlock(self.heads, causal=True, dtype=self.dtype, name=f"layer_{i}")(x)
        return LayerNorm(self.dtype, name="norm")(x)[1].astype(jnp.float32)


class TextProjection(nn.Module):
    """Projection of text features into the joint embedding space of text and images, and the logit scale.

    The released model cannot have it, since it lacks the last layer of the text tower.

    Attributes:
        embed_dim: channels of the embeddings, as in the image tower.
        dtype: compute type of the other networks; the projection is computed in float32.
    """

    embed_dim: int = 1024
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden: Float[Array, "B T D"], ids: Int[Array, "B T"]) -> Float[Array, "B E"]:
        """Return the text embeddings for the hidden states of the text tower, not normalised, float32."""
        self.param("scale", nn.initializers.constant(INITIAL_LOGIT_SCALE), (), jnp.float32)
        normal = nn.initializers.normal(hidden.shape[-1] ** -0.5)
        projection = self.param("projection", normal, (hidden.shape[-1], self.embed_dim), jnp.float32)
        return pool_end_token(hidden, ids) @ projection


def pool_end_token(hidden: Float[Array, "B T D"], ids: Int[Array, "B T"]) -> Float[Array, "B D"]:
    """Return the hidden state of the end token, which has the largest id and attends to all tokens."""
    return jnp.take_along_axis(hidden, ids.argmax(1)[:, None, None], 1)[:, 0]


class ImageTower(nn.Module):
    """Vision transformer from images to embeddings: the projected class token, not normalised.

    ```python
    embedding = tower.apply(params, (images - MEAN) / STD)  # images in [0, 1], [B, 224, 224, 3] -> [B, 1024]
    ```

    Attributes:
        image_size: height and width of the images in pixels.
        patch_size: side of a patch in pixels.
        width: channels of a token.
        layers: transformer layers.
        heads: attention heads.
        embed_dim: channels of the embedding.
        dtype: compute type.
    """

    image_size: int = 224
    patch_size: int = 14
    width: int = 1280
    layers: int = 32
    heads: int = 16
    embed_dim: int = 1024
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        """Return the embeddings of images that are normalised with `MEAN` and `STD`, float32.

        Raises:
            BadInput: the images have another size.
        """
        if images.shape[1:3] != (self.image_size, self.image_size):
            height, width = images.shape[1:3]
            raise BadInput(
                f"the image tower takes images of {self.image_size}x{self.image_size} pixels, "
                f"not {height}x{width}"
            )
        embed = PatchEmbedding(
            self.width,
            self.patch_size,
            self.image_size // self.patch_size,
            use_bias=False,
            dtype=self.dtype,
            name="embedding",
        )
        x = LayerNorm(self.dtype, name="norm_0")(embed(images))[1]
        for i in range(self.layers):
            x = TransformerBlock(self.heads, causal=False, dtype=self.dtype, name=f"layer_{i}")(x)
        x = LayerNorm(self.dtype, name="norm_1")(x[:, 0])[1]
        return nn.Dense(self.embed_dim, use_bias=False, dtype=self.dtype, name="projection")(x).astype(
            jnp.float32
        )
