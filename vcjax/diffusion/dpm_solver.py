"""DPM-Solver++(2M) sampler (arXiv 2211.01095, algorithm 2): a second-order multistep method, deterministic.

With lambda = log(alpha / sigma), h_i = lambda_i - lambda_(i-1) and r_i = h_(i-1) / h_i, the step to timestep i is

    D_i = (1 + 1 / (2 r_i)) x0_(i-1) - 1 / (2 r_i) x0_(i-2)
    z_i = sigma_i / sigma_(i-1) z_(i-1) - alpha_i (exp(-h_i) - 1) D_i,

where x0_i is the network's estimate at z_i. The first step has D = x0.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.sampler import Row, x0_and_epsilon
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import Spacing


@struct.dataclass
class MultistepState:
    """State of a two-step method.

    Attributes:
        z: latents, `[B, ...]`.
        x0: estimate of x0 in the step before, `[B, ...]`.
    """

    z: Any
    x0: Any


@dataclasses.dataclass(frozen=True)
class DPMSolver2M:
    """DPM-Solver++(2M). With zero terminal SNR the first two steps are of first order, since lambda begins at -infinity."""

    stochastic = False

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return `logsnr`: steps that are even in lambda, which the method extrapolates in."""
        return "logsnr"

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the factors of z, x0 and the previous x0, and of (z, out) in x0; see `vcjax.diffusion.sampler.Sampler`."""
        alpha_t, sigma_t = np.sqrt(schedule.alpha_bar[t]), np.sqrt(1 - schedule.alpha_bar[t])
        alpha_s, sigma_s = np.sqrt(schedule.alpha_bar[s]), np.sqrt(1 - schedule.alpha_bar[s])
        with np.errstate(divide="ignore", invalid="ignore"):
            h = np.log(alpha_s / sigma_s) - np.log(alpha_t / sigma_t)
            extrapolation = np.append(0.0, h[1:] / h[:-1] / 2)  # 1 / (2 r_i); 0 after an infinite h
        x0_factor = alpha_s * (1 - alpha_t * sigma_s / (sigma_t * alpha_s))
        (x0_z, x0_out), _ = x0_and_epsilon(prediction, schedule.alpha_bar[t])
        return {
            "z": sigma_s / sigma_t,
            "x0": x0_factor * (1 + extrapolation),
            "previous_x0": -x0_factor * extrapolation,
            "x0_z": x0_z,
            "x0_out": x0_out,
        }

    def init(self, z: Float[Array, "B ..."]) -> MultistepState:
        """Return the state of the first step, which does not use the previous x0."""
        return MultistepState(z=z, x0=jnp.zeros_like(z))

    def step(
        self, state: MultistepState, row: Row, out: Float[Array, "B ..."], noise: None
    ) -> MultistepState:
        """Return z_i and the x0 that it was computed from."""
        x0 = row["x0_z"] * state.z + row["x0_out"] * out
        z = row["z"] * state.z + row["x0"] * x0 + row["previous_x0"] * state.x0
        return MultistepState(z=z, x0=x0)

    def latents(self, state: MultistepState) -> Float[Array, "B ..."]:
        """Return the latents."""
        return state.z
