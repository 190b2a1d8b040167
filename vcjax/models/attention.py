"""Scaled dot-product attention, with an implementation chosen by device and size of the score matrix."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from vcjax.platforms import platform

Implementation = Literal["auto", "cudnn", "blockwise", "plain"]

# Largest score matrix of one head that `auto` computes in one piece. On a CPU larger ones exceed the caches of a core;
# elsewhere they take memory that a frame's attention should not.
MAX_PLAIN_SCORES = {"cpu": 256 * 256, "gpu": 2048 * 2048, "tpu": 256 * 256}
QUERY_BLOCK = 1024
MAX_CUDNN_HEAD_DIM = 128  # largest head dimension that cuDNN supports on every GPU generation
MIN_CUDNN_QUERIES = 64  # fewer do not fill a tile of cuDNN's kernels


def dot_product_attention(
    query: Float[Array, "*B N H D"],
    key: Float[Array, "*B M H D"],
    value: Float[Array, "*B M H D"],
    lengths: Int[Array, "*B"] | None = None,
    *,
    causal: bool = False,
    implementation: Implementation = "auto",
) -> Float[Array, "*B N H D"]:
    """Return softmax(Q K^T / sqrt(D)) V for each head (arXiv 1706.03762, equation 1).

    The softmax is computed in float32 or higher precision.

    Args:
        query: queries Q.
        key: keys K.
        value: values V.
        lengths: number of keys to attend to, the first ones of each row; at least 1. Default: all.
        causal: query i attends to keys 0 to i only.
        implementation: `cudnn` (NVIDIA GPUs, 16-bit types only), `blockwise` (holds the scores of
            `QUERY_BLOCK` queries of one head at a time), `plain` (holds all scores; the only one that
            supports several batch axes), or `auto`, which selects one by platform and shapes.
    """
    if implementation == "auto":
        implementation = _select_implementation(query, key)
    if implementation == "plain":
        return _plain(query, key, value, _bias(lengths, causal, query.shape[-3], key.shape[-3]))
    if implementation == "cudnn":
        key, value, lengths = _even(key, value, lengths)
        return jax.nn.dot_product_attention(
            query, key, value, key_value_seq_lengths=lengths, is_causal=causal, implementation="cudnn"
        )
    return _blockwise(query, key, value, _bias(lengths, causal, query.shape[1], key.shape[1]))


def _select_implementation(query: Array, key: Array) -> Implementation:
    """Return the implementation that `auto` selects."""
    sixteen_bits = query.dtype in (jnp.bfloat16, jnp.float16)
    queries, _, head_dim = query.shape[-3:]
    fits_cudnn = sixteen_bits and head_dim % 8 == 0 and head_dim <= MAX_CUDNN_HEAD_DIM and query.ndim == 4
    if platform() == "gpu" and fits_cudnn and queries >= MIN_CUDNN_QUERIES and queries % 2 == 0:
        return "cudnn"
    return "plain" if queries * key.shape[-3] <= MAX_PLAIN_SCORES[platform()] else "blockwise"


def _even(key: Array, value: Array, lengths: Array | None) -> tuple[Array, Array, Array | None]:
    """Return an even number of keys and values, as cuDNN's gradient takes; lengths exclude what is added."""
    if key.shape[1] % 2 == 0:
        return key, value, lengths
    lengths = jnp.full(key.shape[0], key.shape[1], jnp.int32) if lengths is None else lengths
    widths = ((0, 0), (0, 1), (0, 0), (0, 0))
    return jnp.pad(key, widths), jnp.pad(value, widths), lengths


def _bias(lengths: Array | None, causal: bool, queries: int, keys: int) -> Array | None:
    """Return the bias of the scores, `[... or 1, 1, N or 1, M]`: 0 for keys to attend to, -inf for others."""
    allowed = None if lengths is None else (jnp.arange(keys) < lengths[..., None])[..., None, None, :]
    if causal:
        lower = jnp.tril(jnp.ones((queries, keys), bool))[None, None]
        allowed = lower if allowed is None else allowed & lower
    return None if allowed is None else jnp.where(allowed, 0.0, -jnp.inf).astype(jnp.float32)


def _softmax_values(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """Return the attention of queries `[..., N, D]` on keys `[..., M, D]`.

    The softmax is normalised after the product with the values, which is smaller than the score matrix.
    """
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...nd,...md->...nm", query, key, preferred_element_type=wide)
    if bias is not None:
        scores = scores + bias
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    out = jnp.einsum("...nm,...md->...nd", weights.astype(value.dtype), value, preferred_element_type=wide)
    return (out / total).astype(value.dtype)


def _swap_heads(x: Array) -> Array:
    """`[..., N, H, D]` to `[..., H, N, D]`, or the inverse."""
    return x.swapaxes(-2, -3)


def _plain(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    out = _softmax_values(_swap_heads(query), _swap_heads(key), _swap_heads(value), bias)
    return _swap_heads(out)


def _blockwise(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """Process one head and one block of queries at a time; the backward pass recomputes each block."""
    batch, length, heads, head_dim = query.shape
    blocks = -(-length // QUERY_BLOCK)
    padded = blocks * QUERY_BLOCK if blocks > 1 else length
    block = padded // blocks

    def rows(x: Array) -> Array:
        """`[B, N, H, D]` to `[B * H, N, D]`."""
        return _swap_heads(x).reshape(batch * heads, x.shape[1], head_dim)

    def in_blocks(x: Array, axis: int) -> Array:
        """Zero-pad an axis and split it into blocks."""
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, padded - length)
        x = jnp.pad(x, widths)
        return x.reshape(*x.shape[:axis], blocks, block, *x.shape[axis + 1 :])

    queries = in_blocks(rows(query * (1.0 / math.sqrt(head_dim))), 1)
    queries = queries.reshape(batch * heads * blocks, block, head_dim)
    keys, values = rows(key), rows(value)
    if bias is not None:
        bias = jnp.broadcast_to(bias[:, 0], (batch, length, key.shape[1]))
        bias = in_blocks(bias, 1).reshape(batch * blocks, block, -1)

    @jax.checkpoint
    def attend_block(inputs: tuple[Array, Array]) -> Array:
        index, q = inputs
        row, block_index = index // blocks, index % blocks
        b = None if bias is None else bias[row // heads * blocks + block_index]
        return _softmax_values(q, keys[row], values[row], b)

    out = lax.map(attend_block, (jnp.arange(queries.shape[0]), queries))
    out = out.reshape(batch, heads, padded, head_dim)[:, :, :length]
    return _swap_heads(out)
