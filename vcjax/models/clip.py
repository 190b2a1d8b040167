"""CLIP's text tower: what the text condition is made with (arXiv 2103.00020; the released size is OpenCLIP ViT-H/14)."""

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.models.attention import attend
from vcjax.models.layers import dense, exact_gelu, layer_norm

FEED_FORWARD = 4


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
        y = attend(query, key, value, causal=self.causal, implementation="plain")
        x = x + dense(width, self.dtype, "out")(y.reshape(x.shape))
        y = layer_norm(self.dtype, "norm_1")(x)
        y = exact_gelu(dense(FEED_FORWARD * width, self.dtype, "hidden_0")(y))
        return x + dense(width, self.dtype, "hidden_1")(y)


class ImageTower(nn.Module):
    """Pictures to embeddings: a vision transformer whose class token, behind its last norm, is projected.

    Attributes:
        size: height and width of the pictures.
        patch: side of a patch.
        width: channels.
        layers: transformer layers.
        heads: attention heads.
        features: width of the embedding.
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
    def __call__(self, pictures: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        """Embeddings of pictures that are normalised already; not normalised themselves. float32."""
        patches = nn.Conv(
            self.width,
            (self.patch, self.patch),
            strides=(self.patch, self.patch),
            padding="VALID",
            use_bias=False,
            dtype=self.dtype,
            name="patches",
        )(pictures.astype(self.dtype))
        x = patches.reshape(patches.shape[0], -1, self.width)
        start = nn.initializers.normal(self.width**-0.5)
        token = self.param("class", start, (self.width,), jnp.float32).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, self.width)), x], 1)
        positions = self.param("positions", start, (x.shape[1], self.width), jnp.float32)
        x = layer_norm(self.dtype, "norm_in")(x + positions.astype(self.dtype))
        for i in range(self.layers):
            x = TowerLayer(self.heads, causal=False, dtype=self.dtype, name=f"layer_{i}")(x)
        x = layer_norm(self.dtype, "norm")(x[:, 0])
        return dense(self.features, self.dtype, "project", use_bias=False)(x).astype(jnp.float32)
