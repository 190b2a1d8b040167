"""Denoising of latents under all branches of guidance, and what later steps may reuse of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from vcjax.diffusion.guidance import Denoise, combine
from vcjax.diffusion.sampler import Reuse

FRESH_BLOCKS = 1  # of the UNet's up path, which are never reused

Network = Callable[..., tuple[Array, Any]]  # see `denoiser`


@dataclasses.dataclass(frozen=True)
class Passes:
    """Which evaluations of the network the steps of a chunk take.

    Attributes:
        every: in one of `every` steps all is computed; 1 in each.
        deep: the other steps reuse the deep features of the UNet (DeepCache, arXiv 2312.00858).
        difference: the other steps evaluate the last branch only, and reuse what guidance has added to it.
    """

    every: int = 1
    deep: bool = False
    difference: bool = False


def denoiser(network: Network, weights: Array, rescale: Array | None, passes: Passes) -> Denoise | Reuse:
    """Return the guided denoiser of a chunk.

    Args:
        network: function of latents `[B, ...]`, timesteps `[B]`, and as keywords `last`, whether to evaluate the last
            branch only, `deep`, features to reuse, and `keep`, whether to return features. It returns predictions
            `[G B, ...]`, or `[B, ...]` of the last branch, and the features.
        weights: guidance weights, `[G - 1]`.
        rescale: see `vcjax.diffusion.guidance.combine`.
        passes: what is evaluated.
    """
    count = weights.shape[0] + 1

    def total(out: Array) -> Array:
        return combine(jnp.split(out, count), weights, rescale)

    if passes.every == 1:
        return lambda z, t: total(network(z, t)[0])
    difference = passes.difference and count > 1

    def fresh(z: Array, t: Array) -> tuple[Array, Any]:
        out, deep = network(z, t, keep=passes.deep)
        guided = total(out)
        size = z.shape[0] if difference else out.shape[0]
        added = guided - out[-z.shape[0] :] if difference else None
        return guided, (None if deep is None else deep[-size:], added)

    def reused(z: Array, t: Array, kept: Any) -> Array:
        deep, added = kept
        out, _ = network(z, t, deep=deep, last=difference)
        return out + added if difference else total(out)

    return Reuse(passes.every, fresh, reused)
