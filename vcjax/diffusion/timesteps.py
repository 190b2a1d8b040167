"""Timesteps of a sampling trajectory."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput

Spacing = Literal["leading", "trailing", "linspace", "logsnr", "karras", "lcm"]
SPACINGS: tuple[Spacing, ...] = get_args(Spacing)
KARRAS_RHO = 7.0  # arXiv 2206.00364, table 1
DISTILLATION_STEPS = (
    50  # steps of the teacher in latent consistency distillation (arXiv 2310.04378, section 5)
)


def linear_spacing(schedule: Schedule) -> Spacing:
    """Return `trailing` for a schedule with zero terminal SNR, which must start from its last timestep, else `leading`."""
    return "trailing" if schedule.zero_terminal_snr else "leading"


def check_spacing(spacing: str, schedule: Schedule) -> None:
    """Raise BadInput for an unknown spacing, or for `leading` with zero terminal SNR."""
    if spacing not in SPACINGS:
        raise BadInput(f"spacing must be one of {', '.join(SPACINGS)}, not {spacing!r}")
    if spacing == "leading" and schedule.zero_terminal_snr:
        raise BadInput(
            f"spacing must be one of {', '.join(SPACINGS[1:])} with zero terminal SNR: leading does not start from pure noise"
        )


def timesteps(schedule: Schedule, count: int, spacing: str) -> Int[np.ndarray, "K"]:
    """Return exactly `count` timesteps in decreasing order.

    - `leading`: 1, 1 + T / count, ..., rounded down. These are the timesteps of the released sampler: 981, 961, ..., 1
      for 50 steps.
    - `trailing`: T - 1, T - 1 - T / count, ..., rounded up (arXiv 2305.08891, section 3.3).
    - `linspace`: from T - 1 to 0 (where the last step ends), evenly, rounded.
    - `logsnr`: from T - 1, evenly spaced in lambda = log(alpha / sigma) (arXiv 2206.00927, section 3.4).
    - `karras`: the same in (sigma / alpha)^(1 / 7) (arXiv 2206.00364, equation 5).
    - `lcm`: of the timesteps of a distillation from 50 steps, T / 50 - 1, ..., T - 1, every (50 / count)-th from the last on.

    With zero terminal SNR, where sigma / alpha is infinite at T - 1, `logsnr` and `karras` have T - 1 and then timesteps
    from T - 2 on.

    Args:
        schedule: noise schedule.
        count: number of steps K.
        spacing: see above.

    Raises:
        BadInput: the count is out of range, or the schedule does not allow the spacing.
    """
    check_spacing(spacing, schedule)
    total = schedule.timesteps
    most = {"trailing": total, "lcm": DISTILLATION_STEPS}.get(spacing, total - 1)
    if not 1 <= count <= most:
        raise BadInput(f"steps of sampling must be from 1 to {most}, not {count}")
    steps = np.arange(count)
    if spacing in ("logsnr", "karras"):
        return _even_in_noise(schedule, count, spacing)
    t = {
        "leading": (1 + steps * total // count)[::-1],
        "trailing": total - 1 - steps * total // count,
        "linspace": np.rint((total - 1) * (1 - steps / count)),
        "lcm": (DISTILLATION_STEPS - steps * DISTILLATION_STEPS // count) * total // DISTILLATION_STEPS - 1,
    }[spacing]
    return t.astype(np.int32)


def _even_in_noise(schedule: Schedule, count: int, spacing: str) -> Int[np.ndarray, "K"]:
    last = schedule.timesteps - 1
    known = schedule.alpha_bar[: last if schedule.zero_terminal_snr else last + 1]
    log_snr = np.log(known / (1 - known)) / 2
    inner = count - 1 if schedule.zero_terminal_snr else count

    def even(first: float, end: float) -> np.ndarray:
        return np.linspace(first, end, inner + 1)[:-1]  # the trajectory ends at entry 0

    if spacing == "logsnr":
        targets = even(log_snr[-1], log_snr[0])
    else:  # sigma / alpha = exp(-lambda)
        first, end = np.exp(-log_snr[[-1, 0]] / KARRAS_RHO)
        targets = -KARRAS_RHO * np.log(even(first, end))
    rising = -log_snr
    after = np.clip(np.searchsorted(rising, -targets), 1, len(rising) - 1)
    nearest = after - (-targets - rising[after - 1] <= rising[after] + targets)
    t = np.append(last, nearest) if schedule.zero_terminal_snr else nearest
    # Rounding may repeat timesteps where the noise changes slowly: make them distinct, and at least 1.
    index = np.arange(count)
    t = np.minimum.accumulate(t + index) - index
    return np.maximum(t, count - index).astype(np.int32)
