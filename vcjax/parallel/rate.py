"""The rate of a device, measured: what utilisation is a share of."""

import time

import jax
import jax.numpy as jnp

SIDE = 4096  # of the square matrices; smaller on a CPU, where that takes seconds
SIDE_ON_CPU = 2048
REPEATS = 3


def matrix_rate(dtype: str) -> float:
    """Floating-point operations a second of a large matrix product on the first device, the best of a few.

    Args:
        dtype: of the matrices, such as `bfloat16`.
    """
    side = SIDE_ON_CPU if jax.default_backend() == "cpu" else SIDE
    x = jnp.ones((side, side), jnp.dtype(dtype))
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    return 2 * side**3 / min(_seconds(lambda: product(x).block_until_ready()) for _ in range(REPEATS))


def _seconds(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
