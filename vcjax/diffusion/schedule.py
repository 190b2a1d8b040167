"""The forward process: how much signal and noise there is at each timestep."""

import dataclasses
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64

from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """Variance-preserving noise: z_t = sqrt(alpha_bar_t) z_0 + sqrt(1 - alpha_bar_t) noise, t in [0, steps).

    The defaults are the released model's.

    Attributes:
        steps: number of timesteps.
        kind: `scaled_linear` (square roots of beta are evenly spaced; arXiv 2112.10752) or `cosine`
            (arXiv 2102.09672, equation 17).
        start: first beta of `scaled_linear`.
        end: last beta of `scaled_linear`.
        zero_terminal_snr: rescale so that the last timestep holds no signal (arXiv 2305.08891, algorithm 1).
    """

    steps: int = 1000
    kind: Literal["scaled_linear", "cosine"] = "scaled_linear"
    start: float = 0.00085
    end: float = 0.0120
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("scaled_linear", "cosine"):
            raise BadInput(f"schedule kind must be scaled_linear or cosine, not {self.kind!r}")
        if self.steps < 2 or not 0 < self.start <= self.end < 1:
            raise BadInput(
                f"a schedule needs at least 2 steps and 0 < start <= end < 1, "
                f"not steps={self.steps}, start={self.start}, end={self.end}"
            )

    @cached_property
    def alpha_bar(self) -> Float64[np.ndarray, "steps"]:
        """Share of the signal's variance that is left at each timestep."""
        if self.kind == "cosine":
            beta = _cosine_beta(self.steps)
        else:
            beta = np.linspace(self.start**0.5, self.end**0.5, self.steps, dtype=np.float64) ** 2
        alpha_bar = np.cumprod(1.0 - beta)
        return _without_terminal_signal(alpha_bar) if self.zero_terminal_snr else alpha_bar


def _cosine_beta(steps: int) -> np.ndarray:
    offset, largest = 0.008, 0.999  # of arXiv 2102.09672, section 3.2
    t = np.arange(steps + 1, dtype=np.float64) / steps
    alpha_bar = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    return np.minimum(1.0 - alpha_bar[1:] / alpha_bar[:-1], largest)


def _without_terminal_signal(alpha_bar: np.ndarray) -> np.ndarray:
    """Shift and scale sqrt(alpha_bar) so that the first entry stays and the last is exactly 0."""
    signal = np.sqrt(alpha_bar)
    return ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
