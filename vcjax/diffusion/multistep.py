"""Methods that combine estimates of x0 of several steps linearly: what DPM-Solver++ and UniPC have in common.

A step at timestep t corrects the latent that the step before has predicted, and predicts the next:

    x0   = estimate of the network at (z, t)
    z^c  = c_z z + c_base z^c' + c_0 x0 + sum_k c_k x0_k
    z    = p_z z^c + p_0 x0 + sum_k p_k x0_k + noise,

where z^c' is the corrected latent, and x0_k the estimate, of one and of k steps before. A method gives the factors.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Float64, Int

from vcjax.diffusion.sampler import Row
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import Spacing


@struct.dataclass
class MultistepState:
    """State of a multistep method.

    Attributes:
        z: latents, `[B, ...]`.
        base: corrected latents of the step before, `[B, ...]`; None for a method without corrector.
        history: estimates of x0 of the steps before, the latest first, each `[B, ...]`.
    """

    z: Any
    base: Any
    history: tuple[Any, ...]


class Multistep:
    """The loop's side of a multistep method; see the module's docstring.

    Attributes:
        memory: number of earlier estimates that it uses.
        corrects: whether it has a corrector.
    """

    takes_eta = False
    stochastic: bool
    memory: int
    corrects: bool

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return `logsnr`: steps that are even in lambda, in which these methods extrapolate."""
        return "logsnr"

    def init(self, z: Float[Array, "B ..."]) -> MultistepState:
        """Return the state of the first step, which does not use earlier estimates."""
        return MultistepState(
            z=z, base=z if self.corrects else None, history=(jnp.zeros_like(z),) * self.memory
        )

    def step(self, state: MultistepState, row: Row, out: Float[Array, "B ..."], noise: Any) -> MultistepState:
        """Return the state at the next timestep."""
        x0 = row["x0_z"] * state.z + row["x0_out"] * out
        estimates = (x0, *state.history)

        def combined(kind: str) -> Any:
            return sum(row[f"{kind}_{k}"] * estimate for k, estimate in enumerate(estimates))

        z = state.z
        if self.corrects:
            z = row["c_z"] * z + row["c_base"] * state.base + combined("c")
        predicted = row["p_z"] * z + combined("p")
        if self.stochastic:
            predicted = predicted + row["noise"] * noise
        return MultistepState(
            z=predicted, base=z if self.corrects else None, history=estimates[: self.memory]
        )

    def latents(self, state: MultistepState) -> Float[Array, "B ..."]:
        """Return the latents."""
        return state.z


def log_snr_steps(
    schedule: Schedule, t: Int[np.ndarray, "K"], s: Int[np.ndarray, "K"]
) -> tuple[Float64[np.ndarray, "K"], ...]:
    """Return alpha and sigma at s, sigma at t, and h = lambda_s - lambda_t with lambda = log(alpha / sigma).

    h of the first step is infinite with zero terminal SNR.
    """
    alpha, sigma = np.sqrt(schedule.alpha_bar), np.sqrt(1 - schedule.alpha_bar)
    with np.errstate(divide="ignore"):
        h = np.log(alpha[s] / sigma[s]) - np.log(alpha[t] / sigma[t])
    return alpha[s], sigma[s], sigma[t], h
