"""Noise schedule of the forward process q(z_t | z_0)."""

import dataclasses
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64

from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """Variance-preserving schedule: z_t = sqrt(alpha_bar_t) z_0 + sqrt(1 - alpha_bar_t) eps, for t in [0, T).

    The defaults are those of the released model.

    Attributes:
        timesteps: number of timesteps T.
        kind: `scaled_linear` (square roots of beta evenly spaced; arXiv 2112.10752) or `cosine` (arXiv 2102.09672,
            equation 17).
        beta_start: first beta of `scaled_linear`.
        beta_end: last beta of `scaled_linear`.
        zero_terminal_snr: rescale the schedule so that alpha_bar is 0 at the last timestep (arXiv 2305.08891,
            algorithm 1).
    """

    timesteps: int = 1000
    kind: Literal["scaled_linear", "cosine"] = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.0120
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("scaled_linear", "cosine"):
            raise BadInput(f"schedule kind must be scaled_linear or cosine, not {self.kind!r}")
        if self.timesteps < 2 or not 0 < self.beta_start <= self.beta_end < 1:
            raise BadInput(
                f"a schedule needs at least 2 timesteps and 0 < beta_start <= beta_end < 1, not "
                f"timesteps={self.timesteps}, beta_start={self.beta_start}, beta_end={self.beta_end}"
            )

    @cached_property
    def alpha_bar(self) -> Float64[np.ndarray, "T"]:
        """Cumulative product of 1 - beta: the share of the signal's variance that is left at each timestep."""
        if self.kind == "cosine":
            beta = _cosine_beta(self.timesteps)
        else:
            beta = (
                np.linspace(self.beta_start**0.5, self.beta_end**0.5, self.timesteps, dtype=np.float64) ** 2
            )
        alpha_bar = np.cumprod(1.0 - beta)
        return _rescale_to_zero_terminal_snr(alpha_bar) if self.zero_terminal_snr else alpha_bar


def _cosine_beta(timesteps: int) -> np.ndarray:
    offset, max_beta = 0.008, 0.999  # arXiv 2102.09672, section 3.2
    t = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    alpha_bar = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1.0 - alpha_bar[1:] / alpha_bar[:-1], max_beta)


def _rescale_to_zero_terminal_snr(alpha_bar: np.ndarray) -> np.ndarray:
    """Shift and scale sqrt(alpha_bar) so that its first entry is unchanged and its last is exactly 0."""
    alpha = np.sqrt(alpha_bar)
    return ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2
