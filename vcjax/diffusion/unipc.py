"""UniPC (arXiv 2302.04867): a predictor and a corrector of any order that share the network's evaluations.

In the form for x0 with B(h) = exp(-h) - 1 (their B_2), a step from timestep t to s over h = lambda_s - lambda_t is

    z_s = sigma_s / sigma_t z_t - alpha_s (exp(-h) - 1) x0_t - alpha_s B(h) sum_m a_m (x0_m - x0_t) / r_m,

with r_m = (lambda_m - lambda_t) / h. The predictor's m are the timesteps before t, and the corrector's also s itself
(r = 1), once the network has been evaluated there. The a_m solve sum_m r_m^(k-1) a_m = b_k(h), k = 1, 2, ...
(algorithms 5 and 6; section 3.3).
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Int

from vcjax.diffusion.multistep import Multistep, log_snr_steps
from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class UniPC(Multistep):
    """UniPC with the predictor of an order, which the corrector raises by one. The first steps are of lower order.

    With zero terminal SNR, where lambda begins at -infinity, the second step begins anew.
    """

    order: int = 2
    stochastic = False
    corrects = True

    @property
    def memory(self) -> int:
        """Estimates of x0 before the latest; the corrector, which adds that of its end, uses as many."""
        return self.order

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the factors of a step; see `vcjax.diffusion.sampler.Sampler`."""
        alpha, sigma, sigma_t, h = log_snr_steps(schedule, t, s)
        count = len(t)
        names = [f"{kind}_{k}" for kind in ("c", "p") for k in ("z", *range(self.memory + 1))]
        table = {name: np.zeros(count) for name in (*names, "c_base")}
        known = 0  # estimates before the one at t that may be used
        for i in range(count):
            if i == 0 or math.isinf(h[i - 1]):
                table["c_z"][i], known = 1.0, 0
            else:
                order = min(known + 1, self.order)
                # The step from t' = t[i - 1] to t, with the estimates at t, at t', and at the timesteps before t'.
                ratios = [1.0, *(-h[i - 1 - m : i - 1].sum() / h[i - 1] for m in range(1, order))]
                at_start, at_end, *before = _factors(h[i - 1], ratios)
                table["c_base"][i] = sigma[i - 1] / sigma_t[i - 1]
                for k, factor in enumerate((at_end, at_start, *before)):
                    table[f"c_{k}"][i] = alpha[i - 1] * factor
                known = min(known + 1, self.order - 1)
            ratios = [-h[i - m : i].sum() / h[i] for m in range(1, known + 1)]
            table["p_z"][i] = sigma[i] / sigma_t[i]
            for k, factor in enumerate(_factors(h[i], ratios)):
                table[f"p_{k}"][i] = alpha[i] * factor
        return table


def _factors(h: float, ratios: list[float]) -> list[float]:
    """Return the factors of x0 at the start of a step and at the timesteps of `ratios`, in units of alpha at its end."""
    weights = _differences(h, ratios)
    return [-np.expm1(-h) - weights.sum(), *weights]


def _differences(h: float, ratios: list[float]) -> np.ndarray:
    """Return the factor -a_m B(h) / r_m of each difference x0_m - x0_t."""
    r = np.array(ratios)
    if len(r) == 1:  # any a = 1/2 + O(h) keeps the order; 1/2 is the paper's choice
        return -np.expm1(-h) / 2 / r
    # b_k B(h) = k! x phi_(k+1)(x) at x = -h, with phi_1(x) = (exp(x) - 1) / x and phi_(k+1)(x) = (phi_k(x) - 1 / k!) / x.
    targets, phi = [], np.expm1(-h) / -h
    for k in range(1, len(r) + 1):
        phi = (phi - 1 / math.factorial(k)) / -h
        targets.append(-math.factorial(k) * h * phi)
    powers = r[None] ** np.arange(len(r))[:, None]
    return -np.linalg.solve(powers, np.array(targets)) / r
