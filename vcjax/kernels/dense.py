"""Matrix product of linear layers, with a gradient that is faster on CPUs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vcjax.platforms import platform


def dot(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    """Return `x @ kernel` in float32 or higher precision.

    Uses `matmul_cpu` on a CPU and `jnp.matmul` elsewhere.
    """
    if platform() == "cpu" and x.dtype not in (jnp.bfloat16, jnp.float16):
        return matmul_cpu(x, kernel)
    return jnp.matmul(x, kernel, preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


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
