"""Classifier-free guidance between sets of conditions (arXiv 2207.12598; VideoComposer, section 3.3)."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Denoise = Callable[[Array, Array], Array]


def combine(
    branches: Sequence[Float[Array, "B ..."]],
    weights: Float[Array, "W"],
    rescale: Float[Array, ""] | None = None,
) -> Float[Array, "B ..."]:
    """Return the guided prediction of G = W + 1 branches.

    With the prediction out(c_i) under each set of conditions,

        out = out(c_0) + sum_i w_i (out(c_i) - out(c_(i-1))),    i = 1 ... W.

    Two branches are the negative and the positive set of the paper. It holds for epsilon, v and x0 alike, since at
    fixed z and t each is affine in the others.

    Args:
        branches: predictions out(c_0) ... out(c_W).
        weights: guidance weights w_1 ... w_W.
        rescale: share, from 0 to 1, of the prediction with the std of the last branch, which guidance increases
            (arXiv 2305.08891, section 3.4); None is 0.
    """
    result = branches[0]
    for i in range(1, len(branches)):
        result = result + weights[i - 1] * (branches[i] - branches[i - 1])
    if rescale is None:
        return result
    axes = tuple(range(1, result.ndim))
    ratio = branches[-1].std(axes, keepdims=True) / result.std(axes, keepdims=True)
    return result * (1 + rescale * (ratio - 1))


def guided(denoise: Denoise, weights: Float[Array, "W"]) -> Denoise:
    """Turn a denoiser of G = W + 1 branches into one of the guided prediction, see `combine`.

    Args:
        denoise: maps latents `[G B, ...]` and timesteps `[G B]` to predictions `[G B, ...]` in one call. The first B
            rows are conditioned on c_0, the next B on c_1, and so on.
        weights: guidance weights.

    Returns:
        A function of latents `[B, ...]` and timesteps `[B]`.
    """
    count = weights.shape[0] + 1

    def combined(z: Float[Array, "B ..."], t: Int[Array, "B"]) -> Float[Array, "B ..."]:
        out = denoise(jnp.concatenate([z] * count), jnp.concatenate([t] * count))
        return combine(jnp.split(out, count), weights)

    return combined
