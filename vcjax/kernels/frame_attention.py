"""Attention among the frames of each pixel, on clips as they lie in memory: nothing is transposed."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import dot, load, store
from jaxtyping import Array, Float

from vcjax.kernels import triton

MIN_FRAMES = 16  # of a block, the least that Triton multiplies
MAX_FRAMES = 128  # whose scores a program holds
HEAD_DIMS = (16, 32, 64, 128)


def is_supported(frames: int, head_dim: int) -> bool:
    """Return whether the kernel takes clips of this length and heads of this size."""
    return frames <= MAX_FRAMES and head_dim in HEAD_DIMS


@jax.custom_vjp
def frame_attention(
    query: Float[Array, "B F N H D"], key: Float[Array, "B F N H D"], value: Float[Array, "B F N H D"]
) -> Float[Array, "B F N H D"]:
    """Return softmax(Q K^T / sqrt(D)) V over the frames F, for each clip, pixel and head."""
    return _call(_attend, "frame_attention", 1, query, key, value)[0]


def plain_frame_attention(query: Array, key: Array, value: Array) -> Array:
    """Return the attention by array operations."""
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("bfnhd,bgnhd->bnhfg", query, key, preferred_element_type=wide)
    weights = jax.nn.softmax(scores / math.sqrt(query.shape[-1]), axis=-1)
    return jnp.einsum("bnhfg,bgnhd->bfnhd", weights.astype(value.dtype), value)


def _call(kernel: Callable[..., None], name: str, outputs: int, *arrays: Array) -> list[Array]:
    """Call a kernel for each clip, pixel and head, on blocks of `[F, D]`."""
    batch, frames, pixels, heads, head_dim = arrays[0].shape
    clips = [x.reshape(batch, frames, pixels, heads * head_dim) for x in arrays]
    block = pl.BlockSpec(
        (None, triton.padded(frames, MIN_FRAMES), None, head_dim), lambda b, n, h: (b, 0, n, h)
    )

    def on_blocks(*refs: Any) -> None:
        kernel(frames, *refs)

    results = triton.call(
        on_blocks,
        name=name,
        warps=1,
        grid=(batch, pixels, heads),
        in_specs=[block] * len(clips),
        out_specs=[block] * outputs,
        out_shape=[triton.shape_of(clips[0])] * outputs,
    )(*clips)
    return [x.reshape(arrays[0].shape) for x in results]


def _load(frames: int, ref: Any) -> Array:
    """Load a block `[F, D]`; rows beyond the frames are 0."""
    return load(ref, mask=_exists(frames, ref)[:, None], other=0.0)


def _store(frames: int, ref: Any, x: Array) -> None:
    store(ref, x.astype(ref.dtype), mask=_exists(frames, ref)[:, None])


def _exists(frames: int, ref: Any) -> Array:
    return jnp.arange(ref.shape[0]) < frames


def _weights(frames: int, query: Array, key: Array) -> Array:
    """Return the attention weights of a block, float32 `[F, F]`."""
    scores = dot(query, key.T) * (1.0 / math.sqrt(query.shape[-1]))
    scores = jnp.where((jnp.arange(key.shape[0]) < frames)[None], scores, -jnp.inf)
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _attend(frames: int, query_ref: Any, key_ref: Any, value_ref: Any, out_ref: Any) -> None:
    query, key, value = (_load(frames, ref) for ref in (query_ref, key_ref, value_ref))
    weights = _weights(frames, query, key)
    _store(frames, out_ref, dot(weights.astype(value.dtype), value))


def _differentiate(
    frames: int, query_ref: Any, key_ref: Any, value_ref: Any, gradient_ref: Any, *out_refs: Any
) -> None:
    """Compute the gradients of queries, keys and values; the weights are computed again."""
    query, key, value, gradient = (_load(frames, r) for r in (query_ref, key_ref, value_ref, gradient_ref))
    weights = _weights(frames, query, key)
    of_weights = dot(gradient, value.T)
    of_scores = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True))
    of_scores = (of_scores * (1.0 / math.sqrt(query.shape[-1]))).astype(query.dtype)
    results = (
        dot(of_scores, key),
        dot(of_scores.T, query),
        dot(weights.astype(gradient.dtype).T, gradient),
    )
    for ref, result in zip(out_refs, results, strict=True):
        _store(frames, ref, result)


def _forward(query: Array, key: Array, value: Array) -> tuple[Array, tuple[Array, ...]]:
    return frame_attention(query, key, value), (query, key, value)


def _backward(residuals: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
    return tuple(_call(_differentiate, "frame_attention_gradient", 3, *residuals, gradient))


frame_attention.defvjp(_forward, _backward)
