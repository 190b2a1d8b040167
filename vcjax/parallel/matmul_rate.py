"""Measurement of a device's matrix product rate, the reference of `mfu`."""

import time

import jax
import jax.numpy as jnp

SIZE = 4096  # rows and columns of the matrices; smaller on a CPU, where this takes seconds
SIZE_ON_CPU = 2048
REPEATS = 3


def matmul_flops(dtype: str) -> float:
    """Measure the rate of a large matrix product on the first device, the best of `REPEATS` runs.

    Args:
        dtype: type of the matrices, such as `bfloat16`.

    Returns:
        Floating-point operations per second.
    """
    size = SIZE_ON_CPU if jax.default_backend() == "cpu" else SIZE
    x = jnp.ones((size, size), jnp.dtype(dtype))
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    return 2 * size**3 / min(_seconds(lambda: product(x).block_until_ready()) for _ in range(REPEATS))


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
