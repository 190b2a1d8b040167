"""What the Pallas kernels for NVIDIA GPUs share. Each kernel has a plain form of the same numbers, which other platforms use."""

from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import CompilerParams
from jaxtyping import Array

from vcjax.platforms import platform

_interpreted: ContextVar[bool] = ContextVar("interpreted", default=False)


def is_fused(x: Array) -> bool:
    """Return whether the kernels are used for an array: on a GPU, and in 16 bits."""
    return (platform() == "gpu" or _interpreted.get()) and x.dtype in (jnp.bfloat16, jnp.float16)


@contextmanager
def interpreted():
    """Run the kernels in Pallas's interpreter, on any platform, inside this context; for tests."""
    token = _interpreted.set(True)
    try:
        yield
    finally:
        _interpreted.reset(token)


def call(kernel: Callable[..., None], *, name: str, warps: int, stages: int = 1, **options: Any) -> Any:
    """Return `pallas_call` of a kernel for Triton.

    Args:
        kernel: function of references to blocks of the inputs and the outputs.
        name: name of the kernel in programs and profiles.
        warps: warps of 32 threads of each program.
        stages: stages of Triton's software pipeline.
        **options: see `jax.experimental.pallas.pallas_call`.
    """
    return pl.pallas_call(
        kernel,
        name=name,
        interpret=_interpreted.get(),
        compiler_params=CompilerParams(num_warps=warps, num_stages=stages),
        **options,
    )


def shape_of(x: Array) -> jax.ShapeDtypeStruct:
    """Return the shape and type of an array, for an output like it."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def padded(length: int, least: int = 1) -> int:
    """Return the power of 2 that holds a length: Triton's blocks have no other sides."""
    return max(least, pl.next_power_of_2(length))


def largest_divisor(length: int, most: int) -> int:
    """Return the largest power of 2 that divides a length and is at most `most`, itself a power of 2."""
    while length % most:
        most //= 2
    return most
