"""Consistency sampling (arXiv 2303.01469, algorithm 1), for networks distilled to consistency models (arXiv 2310.04378).

A consistency function maps a latent of any timestep to the end of its trajectory,

    f(z_t, t) = c_skip(t) z_t + c_out(t) x0(z_t, t),

where x0 is the network's estimate, and c_skip(0) = 1, c_out(0) = 0. A step estimates the end, and adds fresh noise:

    z_s = alpha_s f(z_t, t) + sigma_s noise;    the last one returns f itself.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.sampler import x0_and_epsilon
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import Spacing

# Of arXiv 2310.04378's implementation: std of the data in c_skip and c_out, and the factor of the timestep in them.
DATA_STD, TIMESTEP_SCALE = 0.5, 10.0


def boundary(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return c_skip(t) and c_out(t) (arXiv 2310.04378, section 4; arXiv 2303.01469, appendix C)."""
    scaled = TIMESTEP_SCALE * np.asarray(t, np.float64)
    norm = scaled**2 + DATA_STD**2
    return DATA_STD**2 / norm, scaled / np.sqrt(norm)


@dataclasses.dataclass(frozen=True)
class LCM(DDIM):
    """Consistency sampling in few steps, which are affine as DDIM's. Its noise is part of the method: it has no `eta`."""

    takes_eta = False

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return `lcm`: timesteps of the distillation."""
        return "lcm"

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the factors of z, out and noise; see `vcjax.diffusion.sampler.Sampler`."""
        c_skip, c_out = boundary(t)
        (x0_z, x0_out), _ = x0_and_epsilon(prediction, schedule.alpha_bar[t])
        last = np.arange(len(t)) == len(t) - 1
        alpha_s = np.where(last, 1.0, np.sqrt(schedule.alpha_bar[s]))
        return {
            "z": alpha_s * (c_skip + c_out * x0_z),
            "out": alpha_s * c_out * x0_out,
            "noise": np.where(last, 0.0, np.sqrt(1 - schedule.alpha_bar[s])),
        }
