"""Our linear layer and GELU against those of JAX and Flax: forward and backward pass of a feed-forward block.

    taskset -c 0 python -m benchmarks.layers

The sizes are those of the first level of `tiny` with 16 clips, in float32. Runs of the variants alternate,
and medians are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from vcjax.kernels.dense import matmul_cpu
from vcjax.kernels.geglu import gelu
from vcjax.models.blocks import FEED_FORWARD
from vcjax.parallel import compilation

ROWS, CHANNELS = (256, 64), 72
Product = Callable[[Array, Array], Array]
Gelu = Callable[[Array], Array]


def flax_gelu(x: Array) -> Array:
    return nn.gelu(x, approximate=False)


PROGRAMS: dict[str, tuple[Product, Gelu]] = {
    "JAX linear, Flax GELU": (jnp.matmul, flax_gelu),
    "our linear, Flax GELU": (matmul_cpu, flax_gelu),
    "JAX linear, our GELU": (jnp.matmul, gelu),
    "ours": (matmul_cpu, gelu),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=15)
    turns = parser.parse_args().turns
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((*ROWS, CHANNELS), (CHANNELS, 2 * FEED_FORWARD * CHANNELS), (FEED_FORWARD * CHANNELS, CHANNELS))
    inputs = [0.1 * jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False)]
    weights = jax.random.normal(keys[3], shapes[0])
    programs = {name: gradient_of(*layers) for name, layers in PROGRAMS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(turns + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program(*inputs, weights))
            seconds[name].append(time.perf_counter() - began)
    medians = {
        name: statistics.median(taken[1:]) for name, taken in seconds.items()
    }  # the first run compiles
    baseline = next(iter(medians.values()))
    print("| layers | ms | ratio |\n| --- | --- | --- |")
    for name, median in medians.items():
        print(f"| {name} | {1e3 * median:.0f} | {median / baseline:.2f} |")


def gradient_of(product: Product, gelu: Gelu) -> Callable[..., tuple[Array, ...]]:
    """Return the compiled gradients of a gated feed-forward with respect to its input and kernels."""

    def loss(x: Array, gated: Array, out: Array, weights: Array) -> Array:
        value, gate = jnp.split(product(x, gated), 2, -1)
        return (product(value * gelu(gate), out) * weights).sum()

    return compilation.jit(jax.grad(loss, (0, 1, 2)), compilation.TRAINING_OPTIONS)


if __name__ == "__main__":
    main()
