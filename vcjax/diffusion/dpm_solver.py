"""DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): a second-order multistep method.

With lambda = log(alpha / sigma), h_i = lambda_i - lambda_(i-1) and r_i = h_(i-1) / h_i, the step to timestep i is

    D_i = (1 + 1 / (2 r_i)) x0_(i-1) - 1 / (2 r_i) x0_(i-2)
    z_i = sigma_i / sigma_(i-1) z_(i-1) - alpha_i (exp(-h_i) - 1) D_i,

where x0_i is the network's estimate at z_i. The first step has D = x0. The stochastic version (SDE-DPM-Solver++(2M) there)
is, with D as above,

    z_i = sigma_i / sigma_(i-1) exp(-h_i) z_(i-1) + alpha_i (1 - exp(-2 h_i)) D_i + sigma_i sqrt(1 - exp(-2 h_i)) noise.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from vcjax.diffusion.multistep import Multistep, log_snr_steps
from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class DPMSolver2M(Multistep):
    """DPM-Solver++(2M), deterministic or stochastic.

    With zero terminal SNR the first two steps are of first order, since lambda begins at -infinity.
    """

    stochastic: bool = False
    memory = 1
    corrects = False

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the factors of a step; see `vcjax.diffusion.sampler.Sampler`."""
        alpha_s, sigma_s, sigma_t, h = log_snr_steps(schedule, t, s)
        with np.errstate(invalid="ignore"):
            extrapolation = np.append(0.0, h[1:] / h[:-1] / 2)  # 1 / (2 r_i); 0 after an infinite h
        z, x0 = sigma_s / sigma_t, -alpha_s * np.expm1(-h)
        noise = {}
        if self.stochastic:
            z, x0 = z * np.exp(-h), -alpha_s * np.expm1(-2 * h)
            noise = {"noise": sigma_s * np.sqrt(-np.expm1(-2 * h))}
        return {"p_z": z, "p_0": x0 * (1 + extrapolation), "p_1": -x0 * extrapolation, **noise}
