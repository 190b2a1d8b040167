"""Classifier-free guidance between any two sets of conditions (arXiv 2207.12598; VideoComposer, section 3.3)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Denoise = Callable[[Array, Array], Array]


def guided(denoise: Denoise, weight: Float[Array, ""] | float) -> Denoise:
    """Turn a denoiser of two branches into one of the guided prediction.

    out = out(negative) + weight * (out(positive) - out(negative)). It holds for epsilon, v and x0 alike, since at fixed
    z and t each is affine in the others.

    Args:
        denoise: maps latents `[2 B, ...]` and timesteps `[2 B]` to predictions `[2 B, ...]` in one call. The first B
            rows are conditioned on the negative set, the last B on the positive set.
        weight: guidance weight w; 1 gives the positive branch alone.

    Returns:
        A function of latents `[B, ...]` and timesteps `[B]`.
    """

    def combined(z: Float[Array, "B ..."], t: Int[Array, "B"]) -> Float[Array, "B ..."]:
        out = denoise(jnp.concatenate([z, z]), jnp.concatenate([t, t]))
        negative, positive = jnp.split(out, 2)
        return negative + weight * (positive - negative)

    return combined
