"""The token encoder: text, style and their like become one row of tokens for cross-attention, with a key mask."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from vcjax.models.layers import dense


class TokenEncoder(nn.Module):
    """Rows of tokens as they are (text), and each vector (style) as one token that has passed a two-layer MLP.

    The number of tokens is fixed; what is absent is masked, which equals a row without it. A vector of zeros still
    passes its MLP: that is the released model's "no style" in guidance.

    Attributes:
        features: width of the tokens.
        dtype: compute type.
    """

    features: int = 1024
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, embeddings: Mapping[str, Float[Array, "B ..."]], present: Mapping[str, Bool[Array, "B"]]
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Tokens of all embeddings behind one another and which of them are there: rows first, then vectors, by name.

        Args:
            embeddings: `[B, T, features]` of rows of tokens, `[B, E]` of vectors, by condition.
            present: for each clip of the batch, by condition.
        """
        tokens, mask = [], []
        for name in sorted(embeddings, key=lambda name: (-embeddings[name].ndim, name)):
            embedding = embeddings[name]
            rows = embedding if embedding.ndim == 3 else self._vector(name, embedding)[:, None]
            tokens.append(rows.astype(jnp.float32))
            mask.append(jnp.broadcast_to(present[name][:, None], rows.shape[:2]))
        return jnp.concatenate(tokens, 1), jnp.concatenate(mask, 1)

    def _vector(self, name: str, vector: Array) -> Array:
        hidden = nn.silu(dense(self.features, self.dtype, f"{name}_0")(vector.astype(self.dtype)))
        return dense(self.features, self.dtype, f"{name}_1")(hidden)
