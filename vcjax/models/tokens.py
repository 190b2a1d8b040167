"""Token encoder: text and style become one sequence of tokens for cross-attention, with a key mask."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from vcjax.models.layers import dense


class TokenEncoder(nn.Module):
    """Concatenates token sequences (text) with vectors (style), each mapped to tokens by a two-layer MLP.

    The number of tokens is fixed; absent conditions are masked, which is equivalent to leaving them out. A
    vector of zeros passes through its MLP too: this token is the released model's null style in guidance.

    Attributes:
        token_dim: channels of the tokens.
        vector_tokens: tokens of each vector; the released model has 1, TF-T2V and VideoLCM (arXiv 2312.15770, 2312.09109) 4.
        dtype: compute type.
    """

    token_dim: int = 1024
    vector_tokens: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, embeddings: Mapping[str, Float[Array, "B ..."]], present: Mapping[str, Bool[Array, "B"]]
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Return the tokens of all embeddings and their key mask, sequences before vectors, sorted by name.

        Args:
            embeddings: token sequences `[B, T, token_dim]` and vectors `[B, E]`, by condition.
            present: True for clips that have the condition, by condition.
        """
        tokens, mask = [], []
        for name in sorted(embeddings, key=lambda name: (-embeddings[name].ndim, name)):
            embedding = embeddings[name]
            sequence = embedding if embedding.ndim == 3 else self._mlp(name, embedding)
            tokens.append(sequence.astype(jnp.float32))
            mask.append(jnp.broadcast_to(present[name][:, None], sequence.shape[:2]))
        return jnp.concatenate(tokens, 1), jnp.concatenate(mask, 1)

    def _mlp(self, name: str, vector: Array) -> Array:
        hidden = nn.silu(dense(self.token_dim, self.dtype, f"{name}_0")(vector.astype(self.dtype)))
        tokens = dense(self.vector_tokens * self.token_dim, self.dtype, f"{name}_1")(hidden)
        return tokens.reshape(-1, self.vector_tokens, self.token_dim)
