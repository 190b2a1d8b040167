"""Weights of the loss over timesteps, and timesteps drawn by them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from vcjax.diffusion.objective import Prediction, alpha_sigma
from vcjax.diffusion.schedule import Schedule

BUCKETS = 4  # of timesteps, for metrics
MIN_SNR_GAMMA = 5.0  # arXiv 2303.09556, section 4


def loss_weights(
    weighting: str, schedule: Schedule, prediction: Prediction, t: Int[Array, "B"]
) -> Float[Array, "B"]:
    """Return the weight of the squared prediction error at each timestep.

    With SNR = alpha_t^2 / sigma_t^2, an error of epsilon is an error of x0 times SNR, and one of v an error of x0 times
    SNR + 1. `x0` weighs the error of x0 by 1, `min_snr` by min(SNR, 5) (arXiv 2303.09556, section 3.4), and `constant`
    weighs the prediction error itself by 1.

    Args:
        weighting: `constant`, `x0` or `min_snr`.
        schedule: noise schedule.
        prediction: what the network predicts.
        t: timesteps.
    """
    if weighting == "constant":
        return jnp.ones(t.shape)
    alpha, sigma = alpha_sigma(schedule, t)
    x0_error = {
        "x0": jnp.ones_like(alpha),
        "epsilon": jnp.square(sigma / alpha),
        "v": jnp.square(sigma) / (jnp.square(sigma) + jnp.square(alpha)),
    }[prediction]
    if weighting == "x0":
        return x0_error
    return jnp.minimum(jnp.square(alpha / sigma), MIN_SNR_GAMMA) * x0_error


def importance_timesteps(key: PRNGKeyArray, count: int, weights: Float[Array, "T"]) -> Int[Array, "count"]:
    """Draw timesteps in proportion to their weights, stratified: one from each of `count` parts of equal weight.

    The mean error at these timesteps times the mean weight has the expectation of the weighted mean error at uniform
    timesteps, and a lower variance.
    """
    quantiles = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count
    cumulative = jnp.cumsum(weights) / weights.sum()
    return jnp.minimum(jnp.searchsorted(cumulative, quantiles, side="right"), weights.size - 1)


def timestep_buckets(t: Int[Array, "B"], timesteps: int) -> dict[str, Bool[Array, "B"]]:
    """Return which samples are in which bucket of timesteps, by the name of the bucket's metric."""
    bucket = t * BUCKETS // timesteps
    edges = [timesteps * i // BUCKETS for i in range(BUCKETS + 1)]
    return {f"loss_at_t_{edges[i]}_to_{edges[i + 1] - 1}": bucket == i for i in range(BUCKETS)}
