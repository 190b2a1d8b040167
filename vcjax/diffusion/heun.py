"""Heun's method (arXiv 2206.00364, algorithm 1 without churn): second order, two evaluations a step.

In x = z / alpha and n = sigma / alpha the probability flow is dx / dn = epsilon. A step from t to s evaluates epsilon at t,
takes the DDIM step to s, evaluates epsilon there, and takes the step again with the mean of both.
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
class HeunState:
    """State of Heun's method.

    Attributes:
        z: latents, `[B, ...]`.
        before: latents of the evaluation before.
        epsilon: estimate of epsilon of the evaluation before.
    """

    z: Any
    before: Any
    epsilon: Any


@dataclasses.dataclass(frozen=True)
class Heun:
    """Heun's method. With zero terminal SNR the first step is a DDIM step, since n is infinite at its start."""

    stochastic = False
    takes_eta = False

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return `karras`, for which the method was proposed; `trailing` with zero terminal SNR, which ends its noise levels."""
        return "trailing" if schedule.zero_terminal_snr else "karras"

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the timestep of each evaluation and the factors of its step; see `vcjax.diffusion.sampler.Sampler`."""
        alpha, sigma = np.sqrt(schedule.alpha_bar), np.sqrt(1 - schedule.alpha_bar)
        (x0_z, x0_out), (eps_z, eps_out) = x0_and_epsilon(prediction, schedule.alpha_bar[t])
        with np.errstate(divide="ignore"):
            scale = alpha[s] / alpha[t]
            length = sigma[s] - scale * sigma[t]
        rows: list[dict[str, float]] = []
        for i in range(len(t)):
            if np.isinf(scale[i]):  # the DDIM step in (latent, prediction)
                z, out = (
                    alpha[s[i]] * x0 + sigma[s[i]] * eps
                    for x0, eps in ((x0_z[i], eps_z[i]), (x0_out[i], eps_out[i]))
                )
                rows.append({"t": t[i], "z": z, "out": out})
            else:
                half = length[i] / 2
                rows.append({"t": t[i], "z": scale[i], "now": length[i]})
                rows.append({"t": s[i], "before": scale[i], "now": half, "earlier": half})
        table = {
            name: np.array([row.get(name, 0.0) for row in rows])
            for name in ("z", "out", "before", "now", "earlier")
        }
        evaluated = np.array([row["t"] for row in rows], np.int32)
        _, (eps_z, eps_out) = x0_and_epsilon(prediction, schedule.alpha_bar[evaluated])
        return {"t": evaluated, **table, "eps_z": eps_z, "eps_out": eps_out}

    def init(self, z: Float[Array, "B ..."]) -> HeunState:
        """Return the state of the first evaluation, which does not use one before."""
        return HeunState(z=z, before=jnp.zeros_like(z), epsilon=jnp.zeros_like(z))

    def step(self, state: HeunState, row: Row, out: Float[Array, "B ..."], noise: None) -> HeunState:
        """Return the prediction at s, or, after the evaluation there, its correction."""
        epsilon = row["eps_z"] * state.z + row["eps_out"] * out
        z = row["z"] * state.z + row["out"] * out + row["before"] * state.before
        z = z + row["now"] * epsilon + row["earlier"] * state.epsilon
        return HeunState(z=z, before=state.z, epsilon=epsilon)

    def latents(self, state: HeunState) -> Float[Array, "B ..."]:
        """Return the latents."""
        return state.z
