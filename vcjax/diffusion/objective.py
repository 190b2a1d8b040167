"""Training targets: what the network predicts is the noise (epsilon), the velocity (v) or the latent without noise (x0)."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput

Prediction = Literal["epsilon", "v", "x0"]


def alpha_sigma(schedule: Schedule, t: Int[Array, "B"]) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """Return alpha_t = sqrt(alpha_bar_t) and sigma_t = sqrt(1 - alpha_bar_t).

    Both are computed in float64 and rounded once to float32.
    """
    alpha = jnp.asarray(schedule.alpha_bar**0.5, jnp.float32)
    sigma = jnp.asarray((1.0 - schedule.alpha_bar) ** 0.5, jnp.float32)
    return alpha[t], sigma[t]


def q_sample(
    x0: Float[Array, "B ..."], noise: Float[Array, "B ..."], t: Int[Array, "B"], schedule: Schedule
) -> Float[Array, "B ..."]:
    """Sample the forward process: z_t = alpha_t x0 + sigma_t noise (DDPM, arXiv 2006.11239, equation 4)."""
    alpha, sigma = (_broadcast(x, x0) for x in alpha_sigma(schedule, t))
    return alpha * x0 + sigma * noise


def prediction_target(
    prediction: Prediction,
    x0: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    t: Int[Array, "B"],
    schedule: Schedule,
) -> Float[Array, "B ..."]:
    """Return the regression target of the network at (z_t, t).

    epsilon: the noise (DDPM); v: alpha_t noise - sigma_t x0 (arXiv 2202.00512, appendix D); x0: x0 itself.
    """
    check_prediction(prediction, schedule)
    if prediction == "epsilon":
        return noise
    if prediction == "x0":
        return x0
    alpha, sigma = (_broadcast(x, x0) for x in alpha_sigma(schedule, t))
    return alpha * noise - sigma * x0


def to_x0_and_epsilon(
    prediction: Prediction,
    z: Float[Array, "B ..."],
    out: Float[Array, "B ..."],
    t: Int[Array, "B"],
    schedule: Schedule,
) -> tuple[Float[Array, "B ..."], Float[Array, "B ..."]]:
    """Return the estimates of x0 and of the noise from a prediction at (z_t, t): the inverse of `prediction_target`."""
    check_prediction(prediction, schedule)
    alpha, sigma = (_broadcast(x, z) for x in alpha_sigma(schedule, t))
    if prediction == "epsilon":
        return (z - sigma * out) / alpha, out
    if prediction == "x0":
        return out, (z - alpha * out) / sigma
    return alpha * z - sigma * out, sigma * z + alpha * out


def check_prediction(prediction: str, schedule: Schedule) -> None:
    """Raise BadInput for an unknown prediction type, or for epsilon with zero terminal SNR."""
    if prediction not in ("epsilon", "v", "x0"):
        raise BadInput(f"prediction must be epsilon, v or x0, not {prediction!r}")
    if prediction == "epsilon" and schedule.zero_terminal_snr:
        raise BadInput(
            "epsilon does not determine x0 at zero SNR: "
            "use prediction v or x0 with zero_terminal_snr, or switch zero_terminal_snr off"
        )


def _broadcast(x: Array, like: Array) -> Array:
    """Append axes of length 1 to `[B]`."""
    return x.reshape(-1, *(1 for _ in like.shape[1:]))
