"""DDIM (arXiv 2010.02502) as one scan over a table of steps that is made beforehand in float64.

At every step the next latent is affine in the latent, the network's answer and fresh noise,

    z_next = keep * z + add * out + sigma * noise,

whatever the network predicts, so a step is a row of four numbers and the sampler knows no schedule.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, Key

from vcjax.diffusion.guidance import Denoise
from vcjax.diffusion.objective import Prediction, check_prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput


@struct.dataclass
class Steps:
    """Rows of the table, in the order in which they are taken; every attribute has the shape `[K]`.

    Attributes:
        t: timestep of the row, int32.
        keep: factor of the latent, float32.
        add: factor of the network's answer, float32.
        sigma: factor of fresh noise, float32.
        active: False for rows that only fill the table up; they do nothing and cost nothing.
    """

    t: Any
    keep: Any
    add: Any
    sigma: Any
    active: Any

    def __len__(self) -> int:
        return self.t.shape[0]

    def inactive(self) -> "Steps":
        """As many rows that do nothing."""
        return dataclasses.replace(self, active=np.zeros_like(self.active))

    def chunks(self, size: int) -> list["Steps"]:
        """Cut the table into pieces of exactly `size` rows, the last one filled up with inactive rows."""
        missing = -len(self) % size
        filled = jax.tree.map(lambda x: np.pad(x, (0, missing)), self)
        pieces = jax.tree.map(lambda x: np.split(x, len(x) // size), filled)
        return [
            Steps(**{f.name: getattr(pieces, f.name)[i] for f in dataclasses.fields(pieces)})
            for i in range(len(filled) // size)
        ]


def timesteps(schedule: Schedule, count: int) -> Int[np.ndarray, "K"]:
    """The timesteps that `count` steps visit, from the noisiest down.

    With stride = steps // count they are 1, 1 + stride, ... below `steps`, as the released sampler takes them: 50
    steps visit 981, 961, ..., 1, and 30 steps are 31. A schedule without terminal signal must be entered at its very
    end, so there they are steps - 1, steps - 1 - stride, ... (arXiv 2305.08891, section 3.3).

    Raises:
        BadInput: a count below 1 or above the schedule's number of steps.
    """
    if not 1 <= count <= schedule.steps:
        raise BadInput(f"the number of sampling steps must be from 1 to {schedule.steps}, not {count}")
    stride = schedule.steps // count
    if schedule.zero_terminal_snr:
        return np.arange(schedule.steps - 1, -1, -stride, dtype=np.int32)
    return np.arange(1, schedule.steps, stride, dtype=np.int32)[::-1].copy()


def ddim_steps(schedule: Schedule, count: int, *, prediction: Prediction, eta: float = 0.0) -> Steps:
    """The table of a whole trajectory.

    The timestep before t is t - stride, not below 0, and its alpha-bar is the schedule's entry (entry 0 at the end,
    not 1), as in the released sampler.

    Args:
        schedule: the forward process that the network was trained on.
        count: number of steps; see `timesteps`.
        prediction: what the network predicts.
        eta: 0 is deterministic, 1 has the noise of DDPM (equation 16).

    Raises:
        BadInput: a count or an eta out of range, or a prediction that the schedule does not allow.
    """
    check_prediction(prediction, schedule)
    if not 0.0 <= eta <= 1.0:
        raise BadInput(f"eta must be from 0 (deterministic) to 1 (DDPM), not {eta}")
    t = timesteps(schedule, count)
    before = np.maximum(t - schedule.steps // count, 0)
    here, there = schedule.alpha_bar[t], schedule.alpha_bar[before]
    sigma = eta * np.sqrt((1 - there) / (1 - here) * (1 - here / there))
    direction = np.sqrt(np.maximum(1 - there - sigma**2, 0.0))
    (clean_z, clean_out), (noise_z, noise_out) = _clean_and_noise(prediction, here)
    return Steps(
        t=t,
        keep=(np.sqrt(there) * clean_z + direction * noise_z).astype(np.float32),
        add=(np.sqrt(there) * clean_out + direction * noise_out).astype(np.float32),
        sigma=sigma.astype(np.float32),
        active=np.ones(len(t), bool),
    )


def _clean_and_noise(prediction: Prediction, alpha_bar: np.ndarray):
    """Factors of (latent, answer) in the clean latent, and in the noise, that an answer stands for."""
    signal, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    zero, one = np.zeros_like(signal), np.ones_like(signal)
    if prediction == "epsilon":
        return (1 / signal, -sigma / signal), (zero, one)
    if prediction == "v":
        return (signal, -sigma), (sigma, signal)
    return (zero, one), (1 / sigma, -signal / sigma)


def sample(
    denoise: Denoise, z: Float[Array, "B ..."], steps: Steps, keys: Key[Array, "B"]
) -> Float[Array, "B ..."]:
    """Take the steps of a table (or of a chunk of it) from `z`, as one `lax.scan`.

    The noise of a step depends on the key and the step's t alone, so a trajectory is the same in whatever chunks it
    is taken, and beside whatever others.

    Args:
        denoise: maps latents `[B, ...]` and timesteps `[B]` to the network's (guided) answer.
        z: latents at the first row's timestep, float32.
        steps: rows to take.
        keys: of the whole trajectories, `[B]`.
    """

    def step(z: Array, row: Steps) -> Array:
        out = denoise(z, jnp.full(z.shape[:1], row.t, jnp.int32))
        noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, row.t), z.shape[1:], z.dtype))(
            keys
        )
        return row.keep * z + row.add * out + row.sigma * noise

    def take(z: Array, row: Steps) -> tuple[Array, None]:
        return lax.cond(row.active, step, lambda z, _: z, z, row), None

    return lax.scan(take, z, jax.tree.map(jnp.asarray, steps))[0]
