"""Timesteps of a sampling trajectory."""

from typing import Literal

import numpy as np
from jaxtyping import Int

from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput

Spacing = Literal["leading", "trailing", "logsnr"]
SPACINGS: tuple[Spacing, ...] = ("leading", "trailing", "logsnr")


def linear_spacing(schedule: Schedule) -> Spacing:
    """Return `trailing` for a schedule with zero terminal SNR, which must start from its last timestep, else `leading`."""
    return "trailing" if schedule.zero_terminal_snr else "leading"


def check_spacing(spacing: str, schedule: Schedule) -> None:
    """Raise BadInput for an unknown spacing, or for `leading` with zero terminal SNR."""
    if spacing not in SPACINGS:
        raise BadInput(f"spacing must be one of {', '.join(SPACINGS)}, not {spacing!r}")
    if spacing == "leading" and schedule.zero_terminal_snr:
        raise BadInput(
            "spacing must be trailing or logsnr with zero terminal SNR: leading does not start from pure noise"
        )


def timesteps(schedule: Schedule, count: int, spacing: str) -> Int[np.ndarray, "K"]:
    """Return exactly `count` timesteps in decreasing order.

    - `leading`: 1, 1 + T / count, ..., rounded down. These are the timesteps of the released sampler: 981, 961, ..., 1
      for 50 steps.
    - `trailing`: T - 1, T - 1 - T / count, ..., rounded up (arXiv 2305.08891, section 3.3).
    - `logsnr`: from T - 1, evenly spaced in lambda = log(alpha / sigma) (arXiv 2206.00927, section 3.4). With zero
      terminal SNR, where lambda is -infinity at T - 1, those after the first are evenly spaced from T - 2.

    Args:
        schedule: noise schedule.
        count: number of steps K.
        spacing: see above.

    Raises:
        BadInput: the count is out of range, or the schedule does not allow the spacing.
    """
    check_spacing(spacing, schedule)
    total = schedule.timesteps
    most = total if spacing == "trailing" else total - 1
    if not 1 <= count <= most:
        raise BadInput(f"the number of sampling steps must be from 1 to {most}, not {count}")
    if spacing == "logsnr":
        return _even_in_log_snr(schedule, count)
    offsets = np.arange(count, dtype=np.int32) * total // count
    return (total - 1 - offsets if spacing == "trailing" else (1 + offsets)[::-1]).astype(np.int32)


def _even_in_log_snr(schedule: Schedule, count: int) -> Int[np.ndarray, "K"]:
    last = schedule.timesteps - 1
    known = schedule.alpha_bar[: last if schedule.zero_terminal_snr else last + 1]
    log_snr = np.log(known / (1 - known)) / 2
    inner = count - 1 if schedule.zero_terminal_snr else count
    targets = np.linspace(log_snr[-1], log_snr[0], inner + 1)[:-1]  # the trajectory ends at entry 0
    nearest = np.abs(log_snr[None] - targets[:, None]).argmin(1)
    t = np.append(last, nearest) if schedule.zero_terminal_snr else nearest
    # Rounding may repeat timesteps where lambda changes slowly, or fast: make them distinct, and at least 1.
    index = np.arange(count)
    t = np.minimum.accumulate(t + index) - index
    return np.maximum(t, count - index).astype(np.int32)
