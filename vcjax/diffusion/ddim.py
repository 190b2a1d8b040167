"""DDIM sampler (arXiv 2010.02502).

Each step is affine in the latent, the network's prediction and fresh noise,

    z_s = a_t z_t + b_t out + sigma_t noise,

for epsilon, v and x0 prediction alike.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.sampler import Row, x0_and_epsilon
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import Spacing, linear_spacing


@dataclasses.dataclass(frozen=True)
class DDIM:
    """DDIM; `eta` 0 is deterministic, 1 has the noise of DDPM (equation 16). Its state is the latent."""

    stochastic = True
    takes_eta = True

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return the spacing of the released sampler, or `trailing` with zero terminal SNR."""
        return linear_spacing(schedule)

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return a_t as `z`, b_t as `out` and sigma_t as `noise`; see `vcjax.diffusion.sampler.Sampler`."""
        alpha_bar_t, alpha_bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
        sigma = eta * np.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s))
        direction = np.sqrt(np.maximum(1 - alpha_bar_s - sigma**2, 0.0))
        (x0_z, x0_out), (eps_z, eps_out) = x0_and_epsilon(prediction, alpha_bar_t)
        return {
            "z": np.sqrt(alpha_bar_s) * x0_z + direction * eps_z,
            "out": np.sqrt(alpha_bar_s) * x0_out + direction * eps_out,
            "noise": sigma,
        }

    def init(self, z: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
        """Return the latent."""
        return z

    def step(
        self, state: Float[Array, "B ..."], row: Row, out: Float[Array, "B ..."], noise: Any
    ) -> Float[Array, "B ..."]:
        """Return z_s."""
        return row["z"] * state + row["out"] * out + row["noise"] * noise

    def latents(self, state: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
        """Return the latent."""
        return state
