"""Group normalisation (arXiv 1803.08494), with the SiLU that follows it, in one read for statistics and one to apply them."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """How examples `[P, G, c]` are cut into blocks of positions.

    Attributes:
        height: positions of a block.
        width: padded channels of a group.
        side: padded number of groups.
        parts: parts of an example, each of several blocks, whose statistics are combined.
        run: blocks that a program normalises, one after another.
    """

    height: int
    width: int
    side: int
    parts: int
    run: int

    @classmethod
    def of(cls, grouped: Float[Array, "B P G c"]) -> "_Blocks":
        """Return the blocks of examples."""
        batch, positions, groups, size = grouped.shape
        side, width = triton.padded(groups), triton.padded(size)
        height = triton.largest_divisor(positions, triton.padded(max(BLOCK // (side * width), 1)))
        blocks = positions // height
        parts = triton.largest_divisor(blocks, min(MAX_PARTS, triton.padded(max(PROGRAMS // batch, 1))))
        return cls(height, width, side, parts, triton.largest_divisor(blocks, APPLIED_BLOCKS))

    def tile(self, count: int) -> pl.BlockSpec:
        """Return the specification of so many blocks of an example."""
        return pl.BlockSpec((None, count * self.height, self.side, self.width), lambda b, i: (b, i, 0, 0))

    @property
    def vector(self) -> pl.BlockSpec:
        """Specification of a parameter `[G, c]`."""
        return pl.BlockSpec((self.side, self.width), lambda b, i: (0, 0))

    @property
    def of_example(self) -> pl.BlockSpec:
        """Specification of a number for each group of an example, `[B, G]`."""
        return pl.BlockSpec((None, self.side), lambda b, i: (b, 0))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _fused(x: Array, scale: Array, bias: Array, groups: int, epsilon: float, silu: bool) -> Array:
    return _forward(x, scale, bias, groups, epsilon, silu)[0]


def _forward(
    x: Array, scale: Array, bias: Array, groups: int, epsilon: float, silu: bool
) -> tuple[Array, tuple[Array, ...]]:
    grouped = _grouped(x, groups)
    cut, (_, positions, _, size) = _Blocks.of(grouped), grouped.shape
    means, squares = _statistics(grouped, cut.height, cut.width, cut.parts)

    def apply(
        x_ref: Any, means_ref: Any, squares_ref: Any, scale_ref: Any, bias_ref: Any, out_ref: Any
    ) -> None:
        of_groups, exists = _exists(groups, size, cut.width)
        part_means = load(means_ref, mask=of_groups[None], other=0.0)
        mean = part_means.sum(0) / cut.parts
        offsets = jnp.where(of_groups[None], part_means - mean[None], 0.0)
        square = load(squares_ref, mask=of_groups[None], other=0.0).sum(0) / cut.parts
        variance = square + (offsets * offsets).sum(0) / cut.parts
        factor = lax.rsqrt(variance + epsilon)[:, None]
        scale, bias = (load(ref, mask=exists, other=0.0).astype(jnp.float32) for ref in (scale_ref, bias_ref))

        def normalise(step: Any, carry: None) -> None:
            rows = pl.ds(step * cut.height, cut.height)
            x = load(x_ref.at[rows], mask=exists[None], other=0.0).astype(jnp.float32)
            y = (x - mean[None, :, None]) * (factor * scale)[None] + bias[None]
            y = y / (1 + jnp.exp(-y)) if silu else y
            store(out_ref.at[rows], y.astype(out_ref.dtype), mask=exists[None])

        lax.fori_loop(0, cut.run, normalise, None)

    statistics = pl.BlockSpec((None, cut.parts, cut.side), lambda b, i: (b, 0, 0))
    out = triton.call(
        apply,
        name="group_norm",
        warps=8,
        grid=(len(x), positions // (cut.height * cut.run)),
        in_specs=[cut.tile(cut.run), statistics, statistics, cut.vector, cut.vector],
        out_specs=cut.tile(cut.run),
        out_shape=triton.shape_of(grouped),
    )(grouped, means, squares, scale.reshape(groups, size), bias.reshape(groups, size))
    return out.reshape(x.shape), (x, scale, bias, means, squares)


def _grouped(x: Array, groups: int) -> Float[Array, "B P G c"]:
    return x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


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


def _backward(
    groups: int, epsilon: float, silu: bool, residuals: tuple[Array, ...], gradient: Array
) -> tuple[Array, ...]:
    """Return the gradients, from one read of input and gradient for their sums, and one to apply them."""
    x, scale, bias, means, squares = residuals
    grouped, gradients = _grouped(x, groups), _grouped(gradient, groups)
    mean = means.mean(1)
    factor = lax.rsqrt(squares.mean(1) + jnp.square(means - mean[:, None]).mean(1) + epsilon)
    parameters: Any = [p.reshape(groups, -1).astype(jnp.float32) for p in (scale, bias)]
    given: Any = [grouped, gradients, mean, factor, *parameters]
    of_bias, of_scale = (part.sum(1) for part in _gradient_sums(silu, *given))  # [B, G, c]
    count = grouped.shape[1] * grouped.shape[3]
    first, second = ((parameters[0] * total).sum(-1) / count for total in (of_bias, of_scale))
    of_x = _gradient_of_x(silu, *[*given, first, second]).reshape(x.shape)
    sums = (total.sum(0).reshape(scale.shape) for total in (of_scale, of_bias))
    return of_x, *(total.astype(p.dtype) for total, p in zip(sums, (scale, bias), strict=True))


def _normalised_and_gradient(
    silu: bool, x: Array, gradient: Array, mean: Array, factor: Array, scale: Array, bias: Array
) -> tuple[Array, Array]:
    """Return a normalised block `[P, G, c]`, and the gradient of the result before the SiLU."""
    normalised = (x - mean[None, :, None]) * factor[None, :, None]
    if silu:
        y = normalised * scale[None] + bias[None]
        gate = 1 / (1 + jnp.exp(-y))
        gradient = gradient * gate * (1 + y * (1 - gate))
    return normalised, gradient


def _gradient_sums(
    silu: bool, grouped: Array, gradients: Array, mean: Array, factor: Array, scale: Array, bias: Array
) -> tuple[Float[Array, "B T G c"], Float[Array, "B T G c"]]:
    """Return sums over each part of an example: of the gradient, and of its product with the normalised input."""
    cut, (batch, positions, groups, size) = _Blocks.of(grouped), grouped.shape
    steps = positions // (cut.height * cut.parts)

    def add_up(x_ref: Any, gradient_ref: Any, *refs: Any) -> None:
        of_groups, exists = _exists(groups, size, cut.width)
        loaded: Any = _load_all(refs[:4], of_groups, exists)

        def add(step: Any, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            rows = pl.ds(step * cut.height, cut.height)
            x, gradient = (
                load(ref.at[rows], mask=exists[None], other=0.0).astype(jnp.float32)
                for ref in (x_ref, gradient_ref)
            )
            normalised, gradient = _normalised_and_gradient(silu, x, gradient, *loaded)
            return sums[0] + gradient.sum(0), sums[1] + (gradient * normalised).sum(0)

        zeros = jnp.zeros((cut.side, cut.width), jnp.float32)
        for ref, total in zip(refs[4:], lax.fori_loop(0, steps, add, (zeros, zeros)), strict=True):
            store(ref, total, mask=exists)

    out = pl.BlockSpec((None, None, cut.side, cut.width), lambda b, i: (b, i, 0, 0))
    return triton.call(
        add_up,
        name="group_norm_sums",
        warps=8,
        grid=(batch, cut.parts),
        in_specs=[*[cut.tile(steps)] * 2, *[cut.of_example] * 2, *[cut.vector] * 2],
        out_specs=[out, out],
        out_shape=[jax.ShapeDtypeStruct((batch, cut.parts, groups, size), jnp.float32)] * 2,
    )(grouped, gradients, mean, factor, scale, bias)


def _gradient_of_x(
    silu: bool, grouped: Array, gradients: Array, mean: Array, factor: Array, scale: Array, bias: Array,
    first: Array, second: Array,
) -> Float[Array, "B P G c"]:  # fmt: skip
    """Return the gradient of the input; `first` and `second` are means over a group, `[B, G]`."""
    cut, (batch, positions, groups, size) = _Blocks.of(grouped), grouped.shape

    def apply(x_ref: Any, gradient_ref: Any, *refs: Any) -> None:
        of_groups, exists = _exists(groups, size, cut.width)
        mean, factor, scale, bias = _load_all(refs[:4], of_groups, exists)
        first, second = (load(ref, mask=of_groups, other=0.0)[None, :, None] for ref in refs[4:6])

        def differentiate(step: Any, carry: None) -> None:
            rows = pl.ds(step * cut.height, cut.height)
            x, gradient = (
                load(ref.at[rows], mask=exists[None], other=0.0).astype(jnp.float32)
                for ref in (x_ref, gradient_ref)
            )
            normalised, gradient = _normalised_and_gradient(silu, x, gradient, mean, factor, scale, bias)
            of_x = (gradient * scale[None] - first - normalised * second) * factor[None, :, None]
            store(refs[6].at[rows], of_x.astype(refs[6].dtype), mask=exists[None])

        lax.fori_loop(0, cut.run, differentiate, None)

    return triton.call(
        apply,
        name="group_norm_gradient",
        warps=8,
        grid=(batch, positions // (cut.height * cut.run)),
        in_specs=[*[cut.tile(cut.run)] * 2, *[cut.of_example] * 2, *[cut.vector] * 2, *[cut.of_example] * 2],
        out_specs=cut.tile(cut.run),
        out_shape=triton.shape_of(grouped),
    )(grouped, gradients, mean, factor, scale, bias, first, second)


def _load_all(refs: Any, of_groups: Array, exists: Array) -> list[Array]:
    """Load mean and factor of the groups, scale and bias of the channels."""
    of_example = [load(ref, mask=of_groups, other=0.0) for ref in refs[:2]]
    return [*of_example, *(load(ref, mask=exists, other=0.0) for ref in refs[2:])]


_fused.defvjp(_forward, _backward)
