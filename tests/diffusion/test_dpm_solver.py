"""DPM-Solver++(2M) against its algorithm in float64, on a Gaussian, whose score and trajectories are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.dpm_solver import DPMSolver2M
from vcjax.diffusion.sampler import sample, sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import timesteps
from vcjax.errors import BadInput

MEAN, VARIANCE = 0.7, 0.3  # of the data distribution
RELEASED, ZERO = Schedule(), Schedule(zero_terminal_snr=True)
CASES = [(RELEASED, "epsilon"), (RELEASED, "v"), (ZERO, "v"), (ZERO, "x0")]


def x0_of(z, alpha_bar):
    """Return E[x0 | z] for x0 ~ N(MEAN, VARIANCE)."""
    gain = np.sqrt(alpha_bar) * VARIANCE / (alpha_bar * VARIANCE + 1 - alpha_bar)
    return MEAN + gain * (z - np.sqrt(alpha_bar) * MEAN)


def denoiser(schedule, prediction):
    """Return the optimal prediction at z and t."""

    def denoise(z, t):
        a = jnp.asarray(schedule.alpha_bar)[t][:, None]
        gain = jnp.sqrt(a) * VARIANCE / (a * VARIANCE + 1 - a)
        x0 = MEAN + gain * (z - jnp.sqrt(a) * MEAN)
        noise = (z - jnp.sqrt(a) * x0) / jnp.sqrt(1 - a)
        return {"epsilon": noise, "v": jnp.sqrt(a) * noise - jnp.sqrt(1 - a) * x0, "x0": x0}[prediction]

    return denoise


def trajectory_end(z, schedule, first):
    """Return the exact solution of the probability flow from timestep `first` to entry 0 of the schedule."""
    a, b = schedule.alpha_bar[first], schedule.alpha_bar[0]
    std = np.sqrt((b * VARIANCE + 1 - b) / (a * VARIANCE + 1 - a))
    return np.sqrt(b) * MEAN + std * (z - np.sqrt(a) * MEAN)


def reference(z, schedule, count):
    """Algorithm 2 of arXiv 2211.01095, step by step."""
    t = [*timesteps(schedule, count, "logsnr"), 0]
    alpha, sigma = np.sqrt(schedule.alpha_bar), np.sqrt(1 - schedule.alpha_bar)
    with np.errstate(divide="ignore"):
        lam = np.log(alpha / sigma)
    previous = None
    for i in range(1, len(t)):
        before, now = t[i - 1], t[i]
        x0 = x0_of(z, schedule.alpha_bar[before])
        h = lam[now] - lam[before]
        d = x0
        if previous is not None:
            r = (lam[before] - lam[t[i - 2]]) / h
            d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * previous
        z = sigma[now] / sigma[before] * z - alpha[now] * np.expm1(-h) * d
        previous = x0
    return z


def solve(sampler, schedule, prediction, count, z):
    steps = sampling_steps(sampler, schedule, count, prediction=prediction, dtype=np.float64)
    keys = jax.random.split(jax.random.key(0), len(z))
    run = jax.jit(partial(sample, sampler, denoiser(schedule, prediction)))
    state, _ = run(sampler.init(jnp.asarray(z)), steps, keys)
    return np.asarray(sampler.latents(state))


@pytest.mark.parametrize(("schedule", "prediction"), CASES)
@pytest.mark.parametrize("count", [1, 2, 20, 30])
def test_it_equals_the_algorithm_of_the_paper(schedule, prediction, count):
    z = np.random.default_rng(0).standard_normal((2, 5))
    with jax.enable_x64(True):
        out = solve(DPMSolver2M(), schedule, prediction, count, z)
    np.testing.assert_allclose(out, reference(z, schedule, count), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("schedule", "prediction"), CASES)
def test_20_steps_are_nearer_to_the_exact_solution_than_50_of_ddim(schedule, prediction):
    z = np.random.default_rng(0).standard_normal((2, 5))
    errors = {}
    with jax.enable_x64(True):
        for sampler, count in ((DPMSolver2M(), 20), (DPMSolver2M(), 80), (DDIM(), 50)):
            out = solve(sampler, schedule, prediction, count, z)
            first = timesteps(schedule, count, sampler.spacing(schedule))[0]
            errors[sampler, count] = np.abs(out - trajectory_end(z, schedule, first)).max()
    assert errors[DPMSolver2M(), 20] < errors[DDIM(), 50] / 2
    assert (
        errors[DPMSolver2M(), 80] < errors[DPMSolver2M(), 20] / 6
    )  # of second order, up to rounded timesteps


@pytest.mark.parametrize("chunk", [1, 3, 5, 8])
def test_a_trajectory_does_not_depend_on_its_chunks(chunk):
    sampler, z = DPMSolver2M(), jax.random.normal(jax.random.key(1), (2, 4))
    steps = sampling_steps(sampler, ZERO, 11, prediction="v")
    keys = jax.random.split(jax.random.key(2), 2)
    run = jax.jit(partial(sample, sampler, denoiser(ZERO, "v"), keys=keys))
    expected = state = sampler.init(z)
    expected, _ = run(expected, steps=steps)
    for rows in steps.chunks(chunk):
        state, _ = run(state, steps=rows)
    np.testing.assert_array_equal(state.z, expected.z)


def test_noise_for_a_deterministic_sampler_and_unknown_names_are_reported():
    with pytest.raises(BadInput, match="eta must be 0 for this sampler"):
        sampling_steps(DPMSolver2M(), RELEASED, 20, prediction="epsilon", eta=0.5)
    with pytest.raises(BadInput, match="one of ddim, dpmpp_2m, dpmpp_2m_sde, unipc, heun, lcm, not 'euler'"):
        sampler_named("euler")
    assert isinstance(sampler_named("ddim"), DDIM)
