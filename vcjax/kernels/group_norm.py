"""Group normalisation (arXiv 1803.08494), with the SiLU that follows it, in one read for statistics and one to apply them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import load, store
from jaxtyping import Array, Float

from vcjax.kernels import triton

BLOCK = 8192  # elements that a program holds at a time
MAX_PARTS = 64  # of an example, whose statistics the second kernel combines
PROGRAMS = 256  # of the first kernel: enough for every multiprocessor
APPLIED_BLOCKS = 4  # that a program of the second kernel normalises, one after another


def group_norm(
    x: Float[Array, "B *P C"],
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    groups: int,
    epsilon: float,
    silu: bool = False,
) -> Float[Array, "B *P C"]:
    """Normalise groups of channels over all axes but the first; `silu` applies x sigmoid(x) to the result.

    Statistics are computed in float32 or higher precision. The type of the result is that of `x`.
    """
    if triton.is_fused(x):
        return _fused(x, scale, bias, groups, epsilon, silu)
    return plain_group_norm(x, scale, bias, groups, epsilon, silu)


def plain_group_norm(
    x: Array, scale: Array, bias: Array, groups: int, epsilon: float, silu: bool = False
) -> Array:
    """Return the group norm by array operations, with a two-pass variance.

    Means are taken per channel first, then per group, which on a CPU is several times faster than reducing a reshaped
    array.
    """
    channels, between = x.shape[-1], tuple(range(1, x.ndim - 1))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def group_mean(per_channel: Array) -> Array:
        grouped = per_channel.reshape(-1, groups, channels // groups).mean(-1, keepdims=True)
        spread = jnp.broadcast_to(grouped, (*grouped.shape[:2], channels // groups))
        return spread.reshape(-1, *(1 for _ in between), channels)

    centred = wide - group_mean(wide.mean(between))
    variance = group_mean(jnp.square(centred).mean(between))
    out = centred * (lax.rsqrt(variance + epsilon) * scale) + bias
    return (jax.nn.silu(out) if silu else out).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _fused(x: Array, scale: Array, bias: Array, groups: int, epsilon: float, silu: bool) -> Array:
    batch, channels = x.shape[0], x.shape[-1]
    size = channels // groups
    grouped = x.reshape(batch, -1, groups, size)
    width, positions = triton.padded(size), grouped.shape[1]
    height = triton.largest_divisor(
        positions, triton.padded(max(BLOCK // (triton.padded(groups) * width), 1))
    )
    blocks = positions // height
    parts = triton.largest_divisor(blocks, min(MAX_PARTS, triton.padded(max(PROGRAMS // batch, 1))))
    means, squares = _statistics(grouped, height, width, parts)
    run = triton.largest_divisor(blocks, APPLIED_BLOCKS)

    def apply(
        x_ref: Any, means_ref: Any, squares_ref: Any, scale_ref: Any, bias_ref: Any, out_ref: Any
    ) -> None:
        of_groups, exists = _exists(groups, size, width)
        part_means = load(means_ref, mask=of_groups[None], other=0.0)
        mean = part_means.sum(0) / parts
        offsets = jnp.where(of_groups[None], part_means - mean[None], 0.0)
        square = load(squares_ref, mask=of_groups[None], other=0.0).sum(0) / parts  # of means of squares
        variance = square + (offsets * offsets).sum(0) / parts
        factor = lax.rsqrt(variance + epsilon)[:, None]
        scale, bias = (load(ref, mask=exists, other=0.0).astype(jnp.float32) for ref in (scale_ref, bias_ref))

        def normalise(step: Any, carry: None) -> None:
            rows = pl.ds(step * height, height)
            x = load(x_ref.at[rows], mask=exists[None], other=0.0).astype(jnp.float32)
            y = (x - mean[None, :, None]) * (factor * scale)[None] + bias[None]
            y = y / (1 + jnp.exp(-y)) if silu else y
            store(out_ref.at[rows], y.astype(out_ref.dtype), mask=exists[None])

        lax.fori_loop(0, run, normalise, None)

    side = triton.padded(groups)
    tile = pl.BlockSpec((None, run * height, side, width), lambda b, i: (b, i, 0, 0))
    statistics = pl.BlockSpec((None, parts, side), lambda b, i: (b, 0, 0))
    vector = pl.BlockSpec((side, width), lambda b, i: (0, 0))
    out = triton.call(
        apply,
        name="group_norm",
        warps=8,
        grid=(batch, blocks // run),
        in_specs=[tile, statistics, statistics, vector, vector],
        out_specs=tile,
        out_shape=triton.shape_of(grouped),
    )(grouped, means, squares, scale.reshape(groups, size), bias.reshape(groups, size))
    return out.reshape(x.shape)


def _statistics(
    grouped: Float[Array, "B P G c"], height: int, width: int, parts: int
) -> tuple[Float[Array, "B T G"], Float[Array, "B T G"]]:
    """Return the mean of each part of the positions and the mean of squares around it, by Chan's combination of blocks."""
    batch, positions, groups, size = grouped.shape
    side, steps = triton.padded(groups), positions // (height * parts)
    count = height * size

    def measure(x_ref: Any, means_ref: Any, squares_ref: Any) -> None:
        of_groups, exists = _exists(groups, size, width)

        def add(step: Any, before: tuple[Array, Array]) -> tuple[Array, Array]:
            mean, square = before
            x = load(x_ref.at[pl.ds(step * height, height)], mask=exists[None], other=0.0).astype(jnp.float32)
            block_mean = x.sum(2).sum(0) / count
            centred = jnp.where(exists[None], x - block_mean[None, :, None], 0.0)
            block_square = (centred * centred).sum(2).sum(0) / count
            share = 1.0 / (step + 1).astype(jnp.float32)
            difference = block_mean - mean
            square += share * (block_square - square) + (1 - share) * share * difference * difference
            return mean + share * difference, square

        zeros = jnp.zeros(side, jnp.float32)
        mean, square = lax.fori_loop(0, steps, add, (zeros, zeros))
        store(means_ref, mean, mask=of_groups)
        store(squares_ref, square, mask=of_groups)

    part = pl.BlockSpec((None, None, side), lambda b, i: (b, i, 0))
    means, squares = triton.call(
        measure,
        name="group_statistics",
        warps=8,
        grid=(batch, parts),
        in_specs=[pl.BlockSpec((None, steps * height, side, width), lambda b, i: (b, i, 0, 0))],
        out_specs=[part, part],
        out_shape=[jax.ShapeDtypeStruct((batch, parts, groups), jnp.float32)] * 2,
    )(grouped)
    return means, squares


def _exists(groups: int, size: int, width: int) -> tuple[Array, Array]:
    """Return the masks of the groups, and of the groups and channels `[G, c]`, of a block that exist."""
    of_groups = jnp.arange(triton.padded(groups)) < groups
    return of_groups, of_groups[:, None] & (jnp.arange(width) < size)[None]


def _forward(
    x: Array, scale: Array, bias: Array, groups: int, epsilon: float, silu: bool
) -> tuple[Array, tuple[Array, ...]]:
    return _fused(x, scale, bias, groups, epsilon, silu), (x, scale, bias)


def _backward(
    groups: int, epsilon: float, silu: bool, residuals: tuple[Array, ...], gradient: Array
) -> tuple[Array, ...]:
    """Return the gradients of the plain form, whose statistics are computed again."""
    plain = functools.partial(plain_group_norm, groups=groups, epsilon=epsilon, silu=silu)
    _, pull_back = jax.vjp(plain, *residuals)
    return pull_back(gradient)


_fused.defvjp(_forward, _backward)
