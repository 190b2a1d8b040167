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
