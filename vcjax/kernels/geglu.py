"""GEGLU (arXiv 2002.05202, equation 6) whose gate is applied inside the product, before the result is written."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import dot
from jaxtyping import Array, Float

from vcjax.kernels import triton
from vcjax.kernels.dense import dot as wide_dot

ROWS, COLUMNS, DEPTH = 128, 64, 64  # of the blocks that a program multiplies


def gelu(x: Array) -> Array:
    """Return x Phi(x), the exact GELU and not its tanh approximation (arXiv 1606.08415, section 2).

    Computed with the error function, in float32 or higher precision. Flax uses the complementary error
    function, which is slower on CPUs (`benchmarks/layers.py`).
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (wide * (0.5 + 0.5 * lax.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


def erf(x: Array) -> Array:
    """Return the error function to 6e-7 in float32 (Abramowitz and Stegun, 7.1.26), by what Pallas has for Triton."""
    t = 1 / (1 + 0.3275911 * jnp.abs(x))
    polynomial = 0.0
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + coefficient) * t
    value = 1 - polynomial * jnp.exp(-x * x)
    return jnp.where(x < 0, -value, value)


def geglu(
    x: Float[Array, "*B C"], kernel: Float[Array, "C E"], bias: Float[Array, "E"]
) -> Float[Array, "*B E//2"]:
    """Return `value * gelu(gate)`, where value and gate are the halves of `x @ kernel + bias`.

    All arguments have the type of the result.
    """
    return _with_gradient(x, kernel, bias) if triton.is_fused(x) else plain_geglu(x, kernel, bias)


def plain_geglu(x: Array, kernel: Array, bias: Array) -> Array:
    """Return the GEGLU by array operations, in float32 or higher precision after the product."""
    value, gate = jnp.split(wide_dot(x, kernel) + bias, 2, -1)
    return (value * gelu(gate)).astype(x.dtype)


@jax.custom_vjp
def _with_gradient(x: Array, kernel: Array, bias: Array) -> Array:
    rows, (channels, columns) = math.prod(x.shape[:-1]), kernel.shape
    if rows % ROWS == 0 and channels % DEPTH == 0 and columns % (2 * COLUMNS) == 0:
        return _fused(x, kernel, bias)
    return plain_geglu(x, kernel, bias)


def _fused(x: Array, kernel: Array, bias: Array) -> Array:
    channels, features = kernel.shape[0], kernel.shape[1] // 2
    rows = x.reshape(-1, channels)
    blocks = features // COLUMNS

    def multiply(x_ref, value_ref, gate_ref, value_bias_ref, gate_bias_ref, out_ref):
        def add(step, sums):
            depth = pl.ds(step * DEPTH, DEPTH)
            block = x_ref[:, depth]
            return tuple(
                s + dot(block, ref[depth, :]) for s, ref in zip(sums, (value_ref, gate_ref), strict=True)
            )

        zeros = jnp.zeros((ROWS, COLUMNS), jnp.float32)
        value, gate = lax.fori_loop(0, channels // DEPTH, add, (zeros, zeros))
        value += value_bias_ref[...].astype(jnp.float32)[None]
        gate += gate_bias_ref[...].astype(jnp.float32)[None]
        gate *= 0.5 + 0.5 * erf(gate * math.sqrt(0.5))
        out_ref[...] = (value * gate).astype(out_ref.dtype)

    def weights(first: int) -> pl.BlockSpec:
        return pl.BlockSpec((channels, COLUMNS), lambda i, j: (0, j + first))

    def biases(first: int) -> pl.BlockSpec:
        return pl.BlockSpec((COLUMNS,), lambda i, j: (j + first,))

    product = triton.call(
        multiply,
        name="geglu",
        warps=4,
        stages=3,
        grid=(len(rows) // ROWS, blocks),
        in_specs=[
            pl.BlockSpec((ROWS, channels), lambda i, j: (i, 0)),
            weights(0), weights(blocks), biases(0), biases(blocks),
        ],
        out_specs=pl.BlockSpec((ROWS, COLUMNS), lambda i, j: (i, j)),
        out_shape=jax.ShapeDtypeStruct((len(rows), features), x.dtype),
    )(rows, kernel, kernel, bias, bias)  # fmt: skip
    return product.reshape(*x.shape[:-1], features)


def _forward(x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, ...]]:
    return _with_gradient(x, kernel, bias), (x, kernel, bias)


def _backward(residuals: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
    """Return the gradients. Value and gate are computed again and not kept; between products all is in 16 bits."""
    x, kernel, bias = residuals
    value, gate, gradient = (
        each.astype(jnp.float32) for each in (*jnp.split(x @ kernel + bias, 2, -1), gradient)
    )
    share = 0.5 + 0.5 * lax.erf(gate * math.sqrt(0.5))  # Phi
    density = jnp.exp(-0.5 * jnp.square(gate)) / math.sqrt(2 * math.pi)
    halves = gradient * gate * share, gradient * value * (share + gate * density)
    product_gradient = jnp.concatenate(halves, -1).astype(x.dtype)
    rows = product_gradient.reshape(-1, kernel.shape[1])
    return (
        product_gradient @ kernel.T,
        x.reshape(-1, x.shape[-1]).T @ rows,
        rows.sum(0, dtype=jnp.float32).astype(bias.dtype),
    )


_with_gradient.defvjp(_forward, _backward)
