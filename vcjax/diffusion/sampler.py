"""Sampling loop: one compiled loop over a table of coefficients, which a `Sampler` computes in float64.

Schedule, prediction type and timesteps enter the table only. So the compiled loop is the same for all of them, and for
any number of steps.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, Key

from vcjax.diffusion.guidance import Denoise
from vcjax.diffusion.objective import Prediction, check_prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import Spacing, timesteps
from vcjax.errors import BadInput

Row = Mapping[str, Array]


@runtime_checkable
class Sampler(Protocol):
    """A sampling method: hashable, without arrays, so that it can be a static argument."""

    @property
    def stochastic(self) -> bool:
        """Whether steps take noise."""
        ...

    @property
    def takes_eta(self) -> bool:
        """Whether `eta` sets the amount of the noise; of other samplers it must be 0."""
        ...

    def spacing(self, schedule: Schedule) -> Spacing:
        """Return the default spacing of timesteps."""
        ...

    def coefficients(
        self,
        schedule: Schedule,
        t: Int[np.ndarray, "K"],
        s: Int[np.ndarray, "K"],
        prediction: Prediction,
        eta: float,
    ) -> dict[str, np.ndarray]:
        """Return the coefficients of the steps from t to s by name, each of shape `[N]` in float64.

        A row is an evaluation of the network. A method with others than one at each t, N = K, gives their timesteps as
        `t`, int32 `[N]`, too.
        """
        ...

    def init(self, z: Float[Array, "B ..."]) -> Any:
        """Return the state of the loop at the first step."""
        ...

    def step(self, state: Any, row: Row, out: Float[Array, "B ..."], noise: Any) -> Any:
        """Return the state after a step.

        Args:
            state: state before the step.
            row: coefficients of the step, scalars.
            out: prediction of the network at `latents(state)`.
            noise: standard normal noise in the shape of the latents; None where the sampler is not stochastic.
        """
        ...

    def latents(self, state: Any) -> Float[Array, "B ..."]:
        """Return the latents of a state."""
        ...


@struct.dataclass
class Steps:
    """Rows of the coefficient table, in sampling order: one for each evaluation of the network.

    Attributes:
        t: timestep of each row, int32 `[K]`.
        coefficients: coefficients of the sampler by name, each `[K]`, and of (latent, prediction) in x0: `x0_z`, `x0_out`.
        count: number of rows to take, the first ones; the others are padding.
    """

    t: Any
    coefficients: dict[str, Any]
    count: Any

    def __len__(self) -> int:
        return self.t.shape[0]

    def none(self) -> "Steps":
        """Return as many rows, none of which is taken."""
        return dataclasses.replace(self, count=np.int32(0))

    def __getitem__(self, rows: slice) -> "Steps":
        """Return a part of the table."""
        t, coefficients = self.t[rows], {name: values[rows] for name, values in self.coefficients.items()}
        return Steps(t=t, coefficients=coefficients, count=np.int32(len(t)))

    def chunks(self, size: int) -> list["Steps"]:
        """Split the table into chunks of exactly `size` rows; the last one is padded."""

        def chunk(first: int) -> "Steps":
            def part(x: Any) -> np.ndarray:
                return np.pad(x[first : first + size], (0, max(first + size - len(self), 0)))

            rows = {name: part(values) for name, values in self.coefficients.items()}
            return Steps(t=part(self.t), coefficients=rows, count=np.int32(min(size, len(self) - first)))

        return [chunk(first) for first in range(0, len(self), size)]


def sampling_steps(
    sampler: Sampler,
    schedule: Schedule,
    count: int,
    *,
    prediction: Prediction,
    eta: float = 0.0,
    spacing: str | None = None,
    dtype: Any = np.float32,
) -> Steps:
    """Return the coefficients of a whole trajectory.

    Each step goes to the next timestep, the last one to entry 0 of the schedule (not to alpha_bar = 1), as in the
    released sampler.

    Args:
        sampler: sampling method.
        schedule: schedule that the network was trained with.
        count: number of steps.
        prediction: what the network predicts.
        eta: amount of noise, from 0 to 1; 0 for samplers without `takes_eta`.
        spacing: spacing of the timesteps, see `vcjax.diffusion.timesteps.timesteps`; the sampler's default if None.
        dtype: type of the coefficients.

    Raises:
        BadInput: count or eta out of range, or a prediction type or spacing that the schedule does not allow.
    """
    check_prediction(prediction, schedule)
    if not 0.0 <= eta <= 1.0:
        raise BadInput(f"eta must be from 0 (deterministic) to 1 (DDPM), not {eta}")
    if eta and not sampler.takes_eta:
        raise BadInput(f"eta must be 0 for this sampler, whose noise is fixed, not {eta}")
    t = timesteps(schedule, count, spacing or sampler.spacing(schedule))
    s = np.append(t[1:], np.int32(0))
    coefficients = sampler.coefficients(schedule, t, s, prediction, eta)
    t = coefficients.pop("t", t)
    (x0_z, x0_out), _ = x0_and_epsilon(prediction, schedule.alpha_bar[t])
    coefficients |= {"x0_z": x0_z, "x0_out": x0_out}
    return Steps(
        t=t,
        coefficients={name: values.astype(dtype) for name, values in coefficients.items()},
        count=np.int32(len(t)),
    )


def x0_and_epsilon(
    prediction: Prediction, alpha_bar: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the factors of (latent, prediction) in x0, and those in epsilon."""
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    zero, one = np.zeros_like(alpha), np.ones_like(alpha)
    if prediction == "epsilon":
        return (1 / alpha, -sigma / alpha), (zero, one)
    if prediction == "v":
        return (alpha, -sigma), (sigma, alpha)
    return (zero, one), (1 / sigma, -alpha / sigma)


@dataclasses.dataclass(frozen=True)
class Reuse:
    """A denoiser that keeps what is expensive from one of `every` evaluations for the others.

    Attributes:
        every: the period.
        fresh: maps latents and timesteps to predictions and what is kept, a tree of arrays.
        reused: maps latents, timesteps and what was kept to predictions.
    """

    every: int
    fresh: Callable[[Array, Array], tuple[Array, Any]]
    reused: Callable[[Array, Array, Any], Array]


@struct.dataclass
class Known:
    """A part of x0 that is known, so that the rest is sampled to fit it (blended diffusion, arXiv 2206.02779, section 4.1).

    Attributes:
        x0: latents without noise, which count where the mask is 1, `[#B, ...]`.
        mask: 1 where they are known, 0 elsewhere, broadcast to them.
    """

    x0: Float[Array, "..."] | np.ndarray
    mask: Float[Array, "..."] | np.ndarray


def sample(
    sampler: Sampler,
    denoise: Denoise | Reuse,
    state: Any,
    steps: Steps,
    keys: Key[Array, "B"],
    known: Known | None = None,
) -> tuple[Any, Float[Array, "B ..."]]:
    """Sample along a table of steps, or a chunk of it.

    The noise of a step depends on the key and on t alone. A trajectory is therefore the same however it is split into
    chunks, and whatever other trajectories are in the batch. With `Reuse` chunks must have a multiple of its period.

    Args:
        sampler: sampling method.
        denoise: maps latents `[B, ...]` and timesteps `[B]` to (guided) predictions.
        state: state at the first row, such as `sampler.init(z)`.
        steps: rows, of which the first `count` are taken.
        keys: one key per trajectory, `[B]`.
        known: what is known of the result; None for nothing.

    Returns:
        State after the last row, and the estimate of x0 there.
    """
    table, coefficients = jax.tree.map(jnp.asarray, (steps.t, steps.coefficients))

    def inputs(index: Any, state: Any) -> tuple[Array, Array]:
        z = sampler.latents(state)
        return z, jnp.full(z.shape[:1], table[index], jnp.int32)

    def step(index: Any, state: Any, out: Array) -> tuple[Any, Array]:
        row, z = {name: values[index] for name, values in coefficients.items()}, sampler.latents(state)
        x0, noise = row["x0_z"] * z + row["x0_out"] * out, None
        if known is not None:
            change = known.mask * (known.x0 - x0)
            x0, out = x0 + change, out + change / row["x0_out"]
        if sampler.stochastic:

            def draw(key: Array) -> Array:
                return jax.random.normal(jax.random.fold_in(key, table[index]), z.shape[1:], z.dtype)

            noise = jax.vmap(draw)(keys)
        return sampler.step(state, row, out, noise), x0

    # Without a condition around the network: a number that is traced serves chunks of any length.
    carry = (state, jnp.zeros_like(sampler.latents(state)))
    if not isinstance(denoise, Reuse):
        return lax.fori_loop(
            0, steps.count, lambda i, carry: step(i, carry[0], denoise(*inputs(i, carry[0]))), carry
        )

    def period(number: Any, carry: Any) -> Any:
        first = number * denoise.every
        out, kept = denoise.fresh(*inputs(first, carry[0]))

        def later(i: Any, carry: Any) -> Any:
            return step(first + i, carry[0], denoise.reused(*inputs(first + i, carry[0]), kept))

        # A plan knows the number of steps, and its compiler then that of each loop.
        whole = isinstance(steps.count, int) and steps.count % denoise.every == 0
        length = denoise.every if whole else jnp.minimum(denoise.every, steps.count - first)
        return lax.fori_loop(1, length, later, step(first, carry[0], out))

    return lax.fori_loop(0, -(-steps.count // denoise.every), period, carry)
