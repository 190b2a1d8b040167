"""Layer normalisation (arXiv 1607.06450) of a sum, which is read once and written once."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import load, store
from jaxtyping import Array, Float

from vcjax.kernels import triton

BLOCK = 4096  # elements that a program of the kernel holds


def add_layer_norm(
    x: Float[Array, "*B C"],
    added: Float[Array, "*B C"] | None,
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    epsilon: float,
) -> tuple[Float[Array, "*B C"], Float[Array, "*B C"]]:
    """Return `x + added`, and its layer norm over the last axis, in the type of `x`.

    The norm is computed in float32 or higher precision. Nothing is added where `added` is None.
    """
    if not triton.is_fused(x):
        return plain_add_layer_norm(x, added, scale, bias, epsilon)
    if added is None:
        results: Any = _fused((x,), scale, bias, epsilon)
        return x, results[0]
    results = _fused((x, added), scale, bias, epsilon)
    return results[1], results[0]


def plain_add_layer_norm(
    x: Array, added: Array | None, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, Array]:
    """Return the sum and its norm by array operations, with a two-pass variance."""
    total = x if added is None else x + added
    wide = total.astype(jnp.promote_types(x.dtype, jnp.float32))
    centred = wide - wide.mean(-1, keepdims=True)
    factor = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    return total, (centred * (factor * scale) + bias).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _fused(terms: tuple[Array, ...], scale: Array, bias: Array, epsilon: float) -> list[Array]:
    """Return the norm of the sum of one or two terms; of two also the sum."""
    channels = terms[0].shape[-1]
    rows = [x.reshape(-1, channels) for x in terms]
    width = triton.padded(channels)
    height = triton.largest_divisor(len(rows[0]), max(BLOCK // width, 1))

    def kernel(scale_ref: Any, bias_ref: Any, *refs: Any) -> None:
        exists = jnp.arange(width) < channels
        term_refs, (out_ref, *total_refs) = refs[: len(rows)], refs[len(rows) :]
        values = [load(ref, mask=exists[None], other=0.0) for ref in term_refs]
        x: Array = functools.reduce(operator.add, values)  # rounded to the terms' type
        for ref in total_refs:
            store(ref, x, mask=exists[None])
        x = x.astype(jnp.float32)
        mean = x.sum(-1, keepdims=True) / channels
        centred = jnp.where(exists[None], x - mean, 0.0)
        factor = lax.rsqrt((centred * centred).sum(-1, keepdims=True) / channels + epsilon)
        scale, bias = (
            load(ref, mask=exists, other=0.0).astype(jnp.float32)[None] for ref in (scale_ref, bias_ref)
        )
        store(out_ref, (centred * (factor * scale) + bias).astype(out_ref.dtype), mask=exists[None])

    block, vector = pl.BlockSpec((height, width), lambda i: (i, 0)), pl.BlockSpec((width,), lambda i: (0,))
    results = triton.call(
        kernel,
        name="layer_norm",
        warps=4,
        grid=(len(rows[0]) // height,),
        in_specs=[vector, vector, *[block] * len(rows)],
        out_specs=[block] * len(rows),
        out_shape=[triton.shape_of(rows[0])] * len(rows),
    )(scale, bias, *rows)
    return [x.reshape(terms[0].shape) for x in results]


def _forward(
    terms: tuple[Array, ...], scale: Array, bias: Array, epsilon: float
) -> tuple[Any, tuple[Any, ...]]:
    return _fused(terms, scale, bias, epsilon), (terms, scale, bias)


def _backward(epsilon: float, residuals: tuple[Any, ...], gradients: list[Array]) -> tuple[Any, ...]:
    """Return the gradients of the plain form, whose statistics are computed again."""

    def plain(terms: Any, scale: Array, bias: Array) -> list[Array]:
        added = terms[1] if len(terms) > 1 else None
        total, normalised = plain_add_layer_norm(terms[0], added, scale, bias, epsilon)
        return [normalised, total][: len(terms)]

    _, pull_back = jax.vjp(plain, *residuals)
    return pull_back(gradients)


_fused.defvjp(_forward, _backward)
