"""Scaled dot-product attention in the form that suits the device and the size of the score matrix."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from vcjax.platforms import platform

Implementation = Literal["auto", "cudnn", "blockwise", "plain"]

# Above this many scores for one head the matrix leaves the caches of a core; `auto` then works in blocks.
PLAIN_SCORES = 256 * 256
QUERY_BLOCK = 1024
CUDNN_HEAD = 128  # most channels of a head that cuDNN's attention takes, on every generation of GPU


def attend(
    query: Float[Array, "*B N H D"],
    key: Float[Array, "*B M H D"],
    value: Float[Array, "*B M H D"],
    mask: Bool[Array, "*B M"] | None = None,
    *,
    causal: bool = False,
    implementation: Implementation = "auto",
) -> Float[Array, "*B N H D"]:
    """softmax(q k / sqrt D) v for each head; the softmax is computed in float32 at least.

    Args:
        query: queries.
        key: keys.
        value: values.
        mask: which keys are there; at least one of each row must be.
        causal: query i sees keys up to i only.
        implementation: `cudnn` (NVIDIA, 16-bit only), `blockwise` (never more scores at once than one head's
            for `QUERY_BLOCK` queries), `plain` (all scores at once; it alone takes several axes of rows), or `auto`,
            which takes the best for the default device and the shapes.
    """
    if implementation == "auto":
        implementation = _best(query, key)
    if implementation == "plain":
        return _plain(query, key, value, _bias(mask, causal, query.shape[-3], key.shape[-3]))
    if implementation == "cudnn":
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            mask=None if mask is None else mask[:, None, None, :],
            is_causal=causal,
            implementation="cudnn",
        )
    return _blockwise(query, key, value, _bias(mask, causal, query.shape[1], key.shape[1]))


def _best(query: Array, key: Array) -> Implementation:
    scores = query.shape[-3] * key.shape[-3]
    if scores <= PLAIN_SCORES:
        return "plain"
    sixteen_bits = query.dtype in (jnp.bfloat16, jnp.float16)
    size = query.shape[-1]
    if platform() == "gpu" and sixteen_bits and size % 8 == 0 and size <= CUDNN_HEAD:
        return "cudnn"
    return "blockwise"


def _bias(mask: Array | None, causal: bool, queries: int, keys: int) -> Array | None:
    """What is added to the scores, `[... or 1, 1, N or 1, M]`: 0 where a key is seen, -inf elsewhere."""
    seen = None if mask is None else mask[..., None, None, :]
    if causal:
        lower = jnp.tril(jnp.ones((queries, keys), bool))[None, None]
        seen = lower if seen is None else seen & lower
    return None if seen is None else jnp.where(seen, 0.0, -jnp.inf).astype(jnp.float32)


def _softmax_values(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """Attention of `[..., N, D]` on `[..., M, D]`; the division comes after the product with the values."""
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...nd,...md->...nm", query, key, preferred_element_type=wide)
    if bias is not None:
        scores = scores + bias
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    out = jnp.einsum("...nm,...md->...nd", weights.astype(value.dtype), value, preferred_element_type=wide)
    return (out / total).astype(value.dtype)


def _heads_first(x: Array) -> Array:
    return x.swapaxes(-2, -3)


def _plain(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    out = _softmax_values(_heads_first(query), _heads_first(key), _heads_first(value), bias)
    return _heads_first(out)


def _blockwise(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """One head and one block of queries at a time; gradients recompute the block instead of storing it."""
    batch, length, heads, size = query.shape
    blocks = -(-length // QUERY_BLOCK)
    padded = blocks * QUERY_BLOCK if blocks > 1 else length
    block = padded // blocks

    def rows(x: Array) -> Array:
        """[B, N, H, D] -> [B * H, N, D]."""
        return _heads_first(x).reshape(batch * heads, x.shape[1], size)

    def in_blocks(x: Array, axis: int) -> Array:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, padded - length)
        x = jnp.pad(x, widths)
        return x.reshape(*x.shape[:axis], blocks, block, *x.shape[axis + 1 :])

    queries = in_blocks(rows(query * (1.0 / math.sqrt(size))), 1).reshape(batch * heads * blocks, block, size)
    keys, values = rows(key), rows(value)
    if bias is not None:
        bias = jnp.broadcast_to(bias[:, 0], (batch, length, key.shape[1]))
        bias = in_blocks(bias, 1).reshape(batch * blocks, block, -1)

    @jax.checkpoint
    def one(inputs: tuple[Array, Array]) -> Array:
        index, q = inputs
        head, at = index // blocks, index % blocks
        b = None if bias is None else bias[head // heads * blocks + at]
        return _softmax_values(q, keys[head], values[head], b)

    out = lax.map(one, (jnp.arange(queries.shape[0]), queries))
    out = out.reshape(batch, heads, padded, size)[:, :, :length]
    return _heads_first(out)
