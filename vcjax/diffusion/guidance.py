"""Classifier-free guidance between sets of conditions (arXiv 2207.12598; VideoComposer, section 3.3)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Denoise = Callable[[Array, Array], Array]


def guided(denoise: Denoise, weights: Float[Array, "W"]) -> Denoise:
    """Turn a denoiser of G branches into one of the guided prediction.

    With the prediction out(c_i) under each set of conditions,

        out = out(c_0) + sum_i w_i (out(c_i) - out(c_(i-1))),    i = 1 ... G - 1.

    Two branches are the negative and the positive set of the paper. It holds for epsilon, v and x0 alike, since at
    fixed z and t each is affine in the others.

    Args:
        denoise: maps latents `[G B, ...]` and timesteps `[G B]` to predictions `[G B, ...]` in one call. The first B
            rows are conditioned on c_0, the next B on c_1, and so on.
        weights: guidance weights w_1 ... w_(G-1): W = G - 1.

    Returns:
        A function of latents `[B, ...]` and timesteps `[B]`.
    """
    count = weights.shape[0] + 1

    def combined(z: Float[Array, "B ..."], t: Int[Array, "B"]) -> Float[Array, "B ..."]:
        out = denoise(jnp.concatenate([z] * count), jnp.concatenate([t] * count))
        branches = jnp.split(out, count)
        result = branches[0]
        for i in range(1, count):
            result = result + weights[i - 1] * (branches[i] - branches[i - 1])
        return result

    return combined
