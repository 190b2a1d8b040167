"""Rounding of bfloat16: difference of a guided step to float32, in units of the std of its output.

    python -m benchmarks.precision              # the released size, random weights; minutes on two cores, 16 GB
    python -m benchmarks.precision --size tiny  # the built-in model with its weights

The network is called as in sampling: two branches, guidance 9.
"""

import argparse
import gc
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vcjax import load
from vcjax.diffusion.guidance import guided
from vcjax.weights.networks import Networks, apply, random_parameters

GUIDANCE = 9.0
SEED = 0


def main() -> None:
    """Print the difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    size = parser.parse_args().size
    outputs = {dtype: guided_step(size, dtype) for dtype in ("float32", "bfloat16")}
    difference = outputs["bfloat16"] - outputs["float32"]
    std = outputs["float32"].std()
    print(f"std of the difference over that of the output: {difference.std() / std:.4f}")
    print(f"largest difference over the std of the output: {np.abs(difference).max() / std:.4f}")


def guided_step(size: str, dtype: str) -> np.ndarray:
    """Return the guided prediction of one network at one noisy latent, in a compute type."""
    began = time.monotonic()
    tiny = load("tiny")
    networks = (tiny.networks if size == "tiny" else Networks()).with_dtype(jnp.dtype(dtype))
    frames, side = (tiny.shape.frames, 8) if size == "tiny" else (16, 32)
    parameters: Any = (
        tiny.parameters("unet")
        if size == "tiny"
        else random_parameters(networks.shapes({}, {"style": 1024}, ["unet"])["unet"], SEED)
    )
    parameters = jax.tree.map(lambda x: jnp.asarray(x, jnp.dtype(dtype)), parameters)
    rng = np.random.default_rng(SEED)
    unet, length = networks.unet, networks.text.context_length + 1
    z = jnp.asarray(rng.standard_normal((1, frames, side, side, unet.latent_channels)), jnp.float32)
    shapes = (2, *z.shape[1:-1], networks.stc.out_channels), (2, length, networks.tokens.token_dim)
    maps, tokens = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    mask = jnp.ones((2, length), bool)

    @jax.jit
    def step(parameters: Any, z: Any) -> Any:
        predict = guided(
            lambda z, t: apply(unet, parameters, z, t, maps, tokens, mask), jnp.full(1, GUIDANCE)
        )
        return predict(z, jnp.full(1, 500, jnp.int32))

    out = np.asarray(step(parameters, z), np.float64)
    del parameters
    gc.collect()
    print(f"{dtype}: {time.monotonic() - began:.0f} seconds", flush=True)
    return out


if __name__ == "__main__":
    main()
