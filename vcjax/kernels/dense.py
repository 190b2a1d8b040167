"""Matrix product of linear layers, with a gradient that is faster on CPUs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vcjax.platforms import platform


def dot(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    """Return `x @ kernel`; on a CPU in float32 or higher precision, with the gradient of `matmul_cpu`.

    Compilers for GPUs and TPUs add a bias inside the product, before they round. A wider result would be written to memory
    and read again.
    """
    if platform() != "cpu":
        return x @ kernel
    if x.dtype in (jnp.bfloat16, jnp.float16):
        return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)
    return matmul_cpu(x, kernel)


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
