"""CLIP's two towers, which the text and style conditions are made with (arXiv 2103.00020; released: OpenCLIP ViT-H/14)."""

import math

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.errors import BadInput
from vcjax.models.layers import layer_norm
from vcjax.models.vit import PatchEmbedding, TowerLayer

# Of red, green and blue in [0, 1] over the pictures that CLIP was trained on (OpenAI's, and OpenCLIP's after it).
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)

FIRST_SCALE = math.log(1 / 0.07)  # of the logits, a logarithm (arXiv 2103.00020, section 2.4)


class TextTower(nn.Module):
    """Token ids to hidden states: a causal transformer, its last norm included.

    The released model takes the states after 23 of the tower's 24 layers, so `layers` is 23 and the 24th does not
    exist here.

    Attributes:
        vocabulary: number of token ids.
        length: number of positions.
        width: channels.
        layers: transformer layers.
        heads: attention heads.
        dtype: compute type.
    """

    vocabulary: int = 49408
    length: int = 77
    width: int = 1024
    layers: int = 23
    heads: int = 16
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, ids: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Hidden states of each token, float32; padding is encoded like any other token."""
        embedding = nn.Embed(
            self.vocabulary,
            self.width,
            embedding_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name="tokens",
        )
        positions = self.param(
            "positions", nn.initializers.normal(0.01), (self.length, self.width), jnp.float32
        )
        x = embedding(ids) + positions[: ids.shape[1]].astype(self.dtype)
        for i in range(self.layers):
            x = TowerLayer(self.heads, causal=True, dtype=self.dtype, name=f"layer_{i}")(x)
        return layer_norm(self.dtype, "norm")(x).astype(jnp.float32)


class TextProjection(nn.Module):
    """What makes towers a pair: the text's projection beside the pictures' embeddings, and the scale of their agreement.

    The released model cannot have it, since it lacks the text tower's last layer.

    Attributes:
        features: width of the embeddings, which is that of the image tower's.
        dtype: of the other networks; this one computes in float32.
    """

    features: int = 1024
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden: Float[Array, "B T D"], ids: Int[Array, "B T"]) -> Float[Array, "B E"]:
        """Embeddings of texts from the text tower's hidden states, not normalised, float32."""
        self.param("scale", nn.initializers.constant(FIRST_SCALE), (), jnp.float32)
        normal = nn.initializers.normal(hidden.shape[-1] ** -0.5)
        projection = self.param("projection", normal, (hidden.shape[-1], self.features), jnp.float32)
        return at_end(hidden, ids) @ projection


def at_end(hidden: Float[Array, "B T D"], ids: Int[Array, "B T"]) -> Float[Array, "B D"]:
    """The hidden state of the end token, whose id is the greatest: it has seen the whole text."""
    return jnp.take_along_axis(hidden, ids.argmax(1)[:, None, None], 1)[:, 0]


class ImageTower(nn.Module):
    """Pictures to embeddings: a vision transformer whose class token is projected, not normalised.

    ```python
    embedding = tower.apply(params, (images - MEAN) / DEVIATION)    # images in [0, 1], [B, 224, 224, 3] -> [B, 1024]
    ```

    Attributes:
        size: height and width of the pictures in pixels.
        patch: side of a patch in pixels.
        width: channels of a token.
        layers: transformer layers.
        heads: attention heads.
        features: channels of the embedding.
        dtype: compute type.
    """

    size: int = 224
    patch: int = 14
    width: int = 1280
    layers: int = 32
    heads: int = 16
    features: int = 1024
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        """Embeddings, float32, of pictures normalised with `MEAN` and `DEVIATION`.

        Raises:
            BadInput: pictures of another size.
        """
        if images.shape[1:3] != (self.size, self.size):
            height, width = images.shape[1:3]
            raise BadInput(
                f"the image tower takes pictures of {self.size}x{self.size} pixels, not {height}x{width}"
            )
        embed = PatchEmbedding(
            self.width,
            self.patch,
            self.size // self.patch,
            use_bias=False,
            dtype=self.dtype,
            name="embedding",
        )
        x = layer_norm(self.dtype, "norm_0")(embed(images))
        for i in range(self.layers):
            x = TowerLayer(self.heads, causal=False, dtype=self.dtype, name=f"layer_{i}")(x)
        x = layer_norm(self.dtype, "norm_1")(x[:, 0])
        return nn.Dense(self.features, use_bias=False, dtype=self.dtype, name="projection")(x).astype(
            jnp.float32
        )
