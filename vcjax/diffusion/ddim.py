"""DDIM sampler (arXiv 2010.02502): one `lax.scan` over a table of coefficients that is computed in float64.

Each step is affine in the latent, the network's prediction and fresh noise,

    z_s = a_t z_t + b_t out + sigma_t noise,

for epsilon, v and x0 prediction alike. A step is therefore a row of four numbers, and the loop needs no schedule.
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
    """Rows of the coefficient table, in sampling order. Every attribute has shape `[K]`.

    Attributes:
        t: timestep, int32.
        z_coefficient: a_t, factor of the latent, float32.
        out_coefficient: b_t, factor of the network's prediction, float32.
        sigma: sigma_t, factor of fresh noise, float32.
        active: False for padding rows, which leave the latent unchanged and are not computed.
    """

    t: Any
    z_coefficient: Any
    out_coefficient: Any
    sigma: Any
    active: Any

    def __len__(self) -> int:
        return self.t.shape[0]

    def inactive(self) -> "Steps":
        """Return as many padding rows."""
        return dataclasses.replace(self, active=np.zeros_like(self.active))

    def chunks(self, size: int) -> list["Steps"]:
        """Split the table into chunks of exactly `size` rows; the last one is padded with inactive rows."""
        missing = -len(self) % size
        filled = jax.tree.map(lambda x: np.pad(x, (0, missing)), self)
        pieces = jax.tree.map(lambda x: np.split(x, len(x) // size), filled)
        return [
            Steps(**{f.name: getattr(pieces, f.name)[i] for f in dataclasses.fields(pieces)})
            for i in range(len(filled) // size)
        ]


def timesteps(schedule: Schedule, count: int) -> Int[np.ndarray, "K"]:
    """Return the timesteps of `count` sampling steps, in decreasing order.

    With stride = T // count they are 1, 1 + stride, ... below T, as in the released sampler: 50 steps give 981, 961,
    ..., 1, and 30 steps give 31 of them. With zero terminal SNR sampling must start at the last timestep: T - 1,
    T - 1 - stride, ... (arXiv 2305.08891, section 3.3).

    Raises:
        BadInput: a count below 1 or above T.
    """
    if not 1 <= count <= schedule.timesteps:
        raise BadInput(f"the number of sampling steps must be from 1 to {schedule.timesteps}, not {count}")
    stride = schedule.timesteps // count
    if schedule.zero_terminal_snr:
        return np.arange(schedule.timesteps - 1, -1, -stride, dtype=np.int32)
    return np.arange(1, schedule.timesteps, stride, dtype=np.int32)[::-1].copy()


def ddim_steps(schedule: Schedule, count: int, *, prediction: Prediction, eta: float = 0.0) -> Steps:
    """Return the coefficients of a whole trajectory.

    The timestep s that follows t is t - stride, not below 0, and alpha_bar_s is the schedule's entry (entry 0 at the
    end, not 1), as in the released sampler.

    Args:
        schedule: schedule that the network was trained with.
        count: number of steps; see `timesteps`.
        prediction: what the network predicts.
        eta: 0 is deterministic, 1 has the noise of DDPM (equation 16).

    Raises:
        BadInput: a count or eta out of range, or a prediction type that the schedule does not allow.
    """
    check_prediction(prediction, schedule)
    if not 0.0 <= eta <= 1.0:
        raise BadInput(f"eta must be from 0 (deterministic) to 1 (DDPM), not {eta}")
    t = timesteps(schedule, count)
    s = np.maximum(t - schedule.timesteps // count, 0)
    alpha_bar_t, alpha_bar_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    sigma = eta * np.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s))
    direction = np.sqrt(np.maximum(1 - alpha_bar_s - sigma**2, 0.0))
    (x0_z, x0_out), (eps_z, eps_out) = _x0_and_epsilon(prediction, alpha_bar_t)
    return Steps(
        t=t,
        z_coefficient=(np.sqrt(alpha_bar_s) * x0_z + direction * eps_z).astype(np.float32),
        out_coefficient=(np.sqrt(alpha_bar_s) * x0_out + direction * eps_out).astype(np.float32),
        sigma=sigma.astype(np.float32),
        active=np.ones(len(t), bool),
    )


def _x0_and_epsilon(prediction: Prediction, alpha_bar: np.ndarray):
    """Return the factors of (latent, prediction) in x0 and in epsilon."""
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    zero, one = np.zeros_like(alpha), np.ones_like(alpha)
    if prediction == "epsilon":
        return (1 / alpha, -sigma / alpha), (zero, one)
    if prediction == "v":
        return (alpha, -sigma), (sigma, alpha)
    return (zero, one), (1 / sigma, -alpha / sigma)


def sample(
    denoise: Denoise, z: Float[Array, "B ..."], steps: Steps, keys: Key[Array, "B"]
) -> Float[Array, "B ..."]:
    """Sample from `z` along a table of steps, or a chunk of it.

    The noise of a step depends on the key and on t alone. A trajectory is therefore the same however it is split into
    chunks, and whatever other trajectories are in the batch.

    Args:
        denoise: maps latents `[B, ...]` and timesteps `[B]` to (guided) predictions.
        z: latents at the first row's timestep, float32.
        steps: rows to take.
        keys: one key per trajectory, `[B]`.

    Returns:
        Latents after the last row.
    """

    def step(z: Array, row: Steps) -> Array:
        out = denoise(z, jnp.full(z.shape[:1], row.t, jnp.int32))
        noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, row.t), z.shape[1:], z.dtype))(
            keys
        )
        return row.z_coefficient * z + row.out_coefficient * out + row.sigma * noise

    def take(z: Array, row: Steps) -> tuple[Array, None]:
        return lax.cond(row.active, step, lambda z, _: z, z, row), None

    return lax.scan(take, z, jax.tree.map(jnp.asarray, steps))[0]
