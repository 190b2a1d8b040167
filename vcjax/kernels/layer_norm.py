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
BACKWARD_BLOCKS = 8  # that a program of the backward pass takes, one after another


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
    rows = [_rows(x) for x in terms]
    channels, width = rows[0].shape[1], triton.padded(rows[0].shape[1])
    height = triton.largest_divisor(len(rows[0]), max(BLOCK // width, 1))

    def kernel(scale_ref: Any, bias_ref: Any, *refs: Any) -> None:
        exists = jnp.arange(width) < channels
        term_refs, (out_ref, *total_refs) = refs[: len(rows)], refs[len(rows) :]
        values = [load(ref, mask=exists[None], other=0.0) for ref in term_refs]
        x: Array = functools.reduce(operator.add, values)  # rounded to the terms' type
        for ref in total_refs:
            store(ref, x, mask=exists[None])
        normalised, _ = _normalise(x.astype(jnp.float32), exists, channels, epsilon)
        scale, bias = (
            load(ref, mask=exists, other=0.0).astype(jnp.float32)[None] for ref in (scale_ref, bias_ref)
        )
        store(out_ref, (normalised * scale + bias).astype(out_ref.dtype), mask=exists[None])

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


def _rows(x: Array) -> Float[Array, "N C"]:
    return x.reshape(-1, x.shape[-1])


def _normalise(x: Array, exists: Array, channels: int, epsilon: float) -> tuple[Array, Array]:
    """Return normalised rows of a block and the factor of each, before scale and bias."""
    mean = x.sum(-1, keepdims=True) / channels
    centred = jnp.where(exists[None], x - mean, 0.0)
    factor = lax.rsqrt((centred * centred).sum(-1, keepdims=True) / channels + epsilon)
    return centred * factor, factor


def _forward(terms: Any, scale: Array, bias: Array, epsilon: float) -> tuple[Any, tuple[Any, ...]]:
    results: Any = _fused(terms, scale, bias, epsilon)
    total = results[1] if len(terms) > 1 else terms[0]
    return results, (total, scale, bias, (None,) * len(terms))


def _backward(epsilon: float, residuals: tuple[Any, ...], gradients: Any) -> tuple[Any, ...]:
    """Return the gradients from one read of the sum and of the gradients, and one write.

    The gradients of scale and bias are summed over the blocks of a program here, and over the programs after it.
    """
    total, scale, bias, terms = residuals
    rows, *of_results = (_rows(x) for x in (total, *gradients))
    channels, width = rows.shape[1], triton.padded(rows.shape[1])
    height = triton.largest_divisor(len(rows), max(BLOCK // width, 1))
    run = triton.largest_divisor(len(rows) // height, BACKWARD_BLOCKS)

    def kernel(scale_ref: Any, x_ref: Any, *refs: Any) -> None:
        exists = jnp.arange(width) < channels
        gradient_refs, (out_ref, *sum_refs) = refs[: len(of_results)], refs[len(of_results) :]
        scale = load(scale_ref, mask=exists, other=0.0).astype(jnp.float32)[None]

        def differentiate(step: Any, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            block = pl.ds(step * height, height)
            x, gradient, *of_sum = (
                load(ref.at[block], mask=exists[None], other=0.0).astype(jnp.float32)
                for ref in (x_ref, *gradient_refs)
            )
            normalised, factor = _normalise(x, exists, channels, epsilon)
            scaled = gradient * scale
            first = scaled.sum(-1, keepdims=True) / channels
            second = (scaled * normalised).sum(-1, keepdims=True) / channels
            of_x = (scaled - first - normalised * second) * factor
            for direct in of_sum:
                of_x += direct
            store(out_ref.at[block], of_x.astype(out_ref.dtype), mask=exists[None])
            return sums[0] + (gradient * normalised).sum(0), sums[1] + gradient.sum(0)

        zeros = jnp.zeros(width, jnp.float32)
        for ref, of_parameter in zip(
            sum_refs, lax.fori_loop(0, run, differentiate, (zeros, zeros)), strict=True
        ):
            store(ref, of_parameter, mask=exists)

    programs = len(rows) // (height * run)
    block = pl.BlockSpec((height * run, width), lambda i: (i, 0))
    sums = pl.BlockSpec((None, width), lambda i: (i, 0))
    of_x, of_scale, of_bias = triton.call(
        kernel,
        name="layer_norm_gradient",
        warps=4,
        grid=(programs,),
        in_specs=[pl.BlockSpec((width,), lambda i: (0,)), block, *[block] * len(of_results)],
        out_specs=[block, sums, sums],
        out_shape=[triton.shape_of(rows), *[jax.ShapeDtypeStruct((programs, channels), jnp.float32)] * 2],
    )(scale, rows, *of_results)
    of_term = of_x.reshape(total.shape)
    return (of_term,) * len(terms), of_scale.sum(0).astype(scale.dtype), of_bias.sum(0).astype(bias.dtype)


_fused.defvjp(_forward, _backward)
