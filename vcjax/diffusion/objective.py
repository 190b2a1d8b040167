"""What the network learns to predict: noise (epsilon), velocity (v) or the clean latent (x0)."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput

Prediction = Literal["epsilon", "v", "x0"]


def signal_and_noise(schedule: Schedule, t: Int[Array, "B"]) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), made in float64 and rounded once to float32."""
    signal = jnp.asarray(schedule.alpha_bar**0.5, jnp.float32)
    noise = jnp.asarray((1.0 - schedule.alpha_bar) ** 0.5, jnp.float32)
    return signal[t], noise[t]


def q_sample(
    clean: Float[Array, "B ..."], noise: Float[Array, "B ..."], t: Int[Array, "B"], schedule: Schedule
) -> Float[Array, "B ..."]:
    """The forward process q(z_t | z_0) at given noise (DDPM, arXiv 2006.11239, equation 4)."""
    signal, sigma = (_as_columns(x, clean) for x in signal_and_noise(schedule, t))
    return signal * clean + sigma * noise


def target(
    prediction: Prediction,
    clean: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    t: Int[Array, "B"],
    schedule: Schedule,
) -> Float[Array, "B ..."]:
    """What the network should answer at (z_t, t).

    epsilon: the noise (DDPM); v: signal * noise - sigma * clean (arXiv 2202.00512, appendix D); x0: the clean latent.
    """
    check_prediction(prediction, schedule)
    if prediction == "epsilon":
        return noise
    if prediction == "x0":
        return clean
    signal, sigma = (_as_columns(x, clean) for x in signal_and_noise(schedule, t))
    return signal * noise - sigma * clean


def check_prediction(prediction: str, schedule: Schedule) -> None:
    """Raise BadInput for an unknown prediction, or for epsilon where the last timestep holds no signal."""
    if prediction not in ("epsilon", "v", "x0"):
        raise BadInput(f"prediction must be epsilon, v or x0, not {prediction!r}")
    if prediction == "epsilon" and schedule.zero_terminal_snr:
        raise BadInput(
            "epsilon says nothing of a clean latent where no signal is left: "
            "take prediction v or x0 with zero_terminal_snr, or switch zero_terminal_snr off"
        )


def _as_columns(x: Array, like: Array) -> Array:
    return x.reshape(-1, *(1 for _ in like.shape[1:]))
