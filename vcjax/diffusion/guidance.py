"""Classifier-free guidance between any two condition sets (arXiv 2207.12598; VideoComposer, section 3.3)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Denoise = Callable[[Array, Array], Array]


def guided(denoise: Denoise, weight: Float[Array, ""] | float) -> Denoise:
    """Turn a denoiser of both branches into one of the guided answer.

    out = out(away) + weight * (out(toward) - out(away)), for epsilon, v and x0 alike, since all are affine in one
    another at fixed z and t.

    Args:
        denoise: maps `[2 B, ...]` and timesteps `[2 B]` to `[2 B, ...]`; the first B rows are conditioned on the set
            that guidance leads away from, the last B on the set that it leads toward. One batch, one call.
        weight: 1 is the plain `toward` branch.

    Returns:
        A function of `[B, ...]` and `[B]`.
    """

    def combined(z: Float[Array, "B ..."], t: Int[Array, "B"]) -> Float[Array, "B ..."]:
        out = denoise(jnp.concatenate([z, z]), jnp.concatenate([t, t]))
        away, toward = jnp.split(out, 2)
        return away + weight * (toward - away)

    return combined
