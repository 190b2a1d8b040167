"""Matrix product of linear layers, with a gradient that is faster on CPUs."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from vcjax.platforms import platform


def dense_dot_general(x: Array, kernel: Array, dimension_numbers: Any, **options: Any) -> Array:
    """Contract the last axis of `x` with the first of `kernel`, as the `dot_general` of `nn.Dense`.

    Uses `matmul_cpu` on a CPU and `lax.dot_general` elsewhere.
    """
    if platform() == "cpu":
        return matmul_cpu(x, kernel)
    return lax.dot_general(x, kernel, dimension_numbers, **options)


@jax.custom_vjp
def matmul_cpu(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    """Return `x @ kernel`, with the gradient of the kernel computed in the kernel's layout.

    The gradient of `lax.dot_general` is computed transposed. XLA's CPU compiler then copies the operands to a
    layout whose matrix product is slower (`benchmarks/layers.py`).
    """
    return x @ kernel


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    rows = tuple(range(x.ndim - 1))
    return gradient @ kernel.T, jnp.tensordot(x, gradient, (rows, rows))


matmul_cpu.defvjp(_forward, _backward)
