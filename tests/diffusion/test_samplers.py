"""Every sampler on a Gaussian, whose score and trajectories are known: order of convergence, and moments of noisy ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion.test_dpm_solver import MEAN, VARIANCE, denoiser, trajectory_end
from vcjax.diffusion.dpm_solver import DPMSolver2M
from vcjax.diffusion.lcm import LCM, boundary
from vcjax.diffusion.sampler import Reuse, Sampler, sample, sampling_steps
from vcjax.diffusion.samplers import SAMPLERS
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import timesteps
from vcjax.diffusion.unipc import UniPC

T = 10**6  # timesteps of a schedule with the released noise levels in which rounding does not limit the order
FINE = Schedule(timesteps=T, beta_start=0.00085 * 1000 / T, beta_end=0.012 * 1000 / T)
FINE_ZERO = Schedule(timesteps=T, beta_start=FINE.beta_start, beta_end=FINE.beta_end, zero_terminal_snr=True)
RELEASED, ZERO = Schedule(), Schedule(zero_terminal_snr=True)
# Error ratio when the number of steps doubles: 2^order. UniPC's corrector raises the order of its predictor by one.
ORDERS = {"ddim": 1, "dpmpp_2m": 2, "heun": 2, "unipc": 3}
Z = np.random.default_rng(0).standard_normal((2, 5))


def solve(sampler, schedule, prediction, count, z, spacing=None, seed=0, **options):
    steps = sampling_steps(
        sampler, schedule, count, prediction=prediction, dtype=np.float64, spacing=spacing, **options
    )
    keys = jax.random.split(jax.random.key(seed), len(z))
    run = jax.jit(partial(sample, sampler, denoiser(schedule, prediction)))
    state, x0 = run(sampler.init(jnp.asarray(z)), steps, keys)
    return np.asarray(sampler.latents(state)), np.asarray(x0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_one(name):
    assert isinstance(SAMPLERS[name], Sampler)
    assert hash(SAMPLERS[name]) == hash(SAMPLERS[name])


@pytest.mark.parametrize("prediction", ["epsilon", pytest.param("v", marks=pytest.mark.slow), "x0"])
@pytest.mark.parametrize("name", ORDERS)
def test_the_error_falls_by_the_order_of_the_method(name, prediction):
    """At 80 and 160 steps the ratio is within 20% of 2^order."""
    sampler, errors = SAMPLERS[name], []
    with jax.enable_x64(True):
        for count in (80, 160):
            out, _ = solve(sampler, FINE, prediction, count, Z, spacing="logsnr")
            first = timesteps(FINE, count, "logsnr")[0]
            errors.append(np.abs(out - trajectory_end(Z, FINE, first)).max())
    assert errors[0] / errors[1] == pytest.approx(2 ** ORDERS[name], rel=0.2)


def test_unipc_of_other_orders():
    """Order 1 converges as 2; order 3 is the most accurate, though its first steps, of lower order, bound it."""
    errors = {}
    with jax.enable_x64(True):
        for order, count in ((1, 80), (1, 160), (2, 80), (3, 80)):
            out, _ = solve(UniPC(order), FINE, "x0", count, Z, spacing="logsnr")
            end = trajectory_end(Z, FINE, timesteps(FINE, count, "logsnr")[0])
            errors[order, count] = np.abs(out - end).max()
    assert errors[1, 80] / errors[1, 160] == pytest.approx(4, rel=0.2)
    assert errors[3, 80] < errors[2, 80] < errors[1, 80]


@pytest.mark.parametrize("prediction", ["v", "x0"])
@pytest.mark.parametrize("name", ORDERS)
def test_zero_terminal_snr_begins_at_pure_noise(name, prediction):
    """Its first step costs a second-order error once: 20 steps are within 2% of the exact solution."""
    with jax.enable_x64(True):
        out, _ = solve(SAMPLERS[name], ZERO, prediction, 20, Z)
    assert np.isfinite(out).all()
    expected = trajectory_end(Z, ZERO, ZERO.timesteps - 1)
    tolerance = 0.2 if name == "ddim" else 0.06
    assert np.abs(out - expected).max() < tolerance


def moments(name, count, schedule=RELEASED, **options):
    """Mean and variance at the end of many trajectories from the prior."""
    sampler = SAMPLERS[name]
    with jax.enable_x64(True):
        z = np.random.default_rng(1).standard_normal((20000, 1))
        out, _ = solve(sampler, schedule, "v", count, z, **options)
    return out.mean(), out.var()


def test_the_stochastic_solver_has_the_moments_of_the_data():
    for schedule in (RELEASED, ZERO):
        mean, variance = moments("dpmpp_2m_sde", 50, schedule)
        a = schedule.alpha_bar[0]
        assert mean == pytest.approx(np.sqrt(a) * MEAN, abs=0.03)
        assert variance == pytest.approx(a * VARIANCE + 1 - a, rel=0.05)


def test_the_noise_of_the_stochastic_solver_is_that_of_its_key():
    with jax.enable_x64(True):
        runs = [solve(DPMSolver2M(stochastic=True), RELEASED, "v", 5, Z, seed=seed)[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-3


@pytest.mark.parametrize("count", [1, 2, 4, 8, 50])
def test_consistency_sampling_takes_timesteps_of_its_distillation(count):
    t = timesteps(RELEASED, count, "lcm")
    assert set(t) <= set(range(19, 1000, 20))
    assert timesteps(RELEASED, 4, "lcm").tolist() == [999, 759, 499, 259]
    steps = sampling_steps(LCM(), RELEASED, count, prediction="epsilon")
    assert steps.coefficients["noise"][-1] == 0
    assert (steps.coefficients["noise"][:-1] > 0).all()


def test_a_perfect_consistency_function_returns_the_data_in_one_step():
    """The boundary's c_skip is below 1e-7 from the first timestep of distillation on."""
    z, x0 = jnp.asarray(Z, jnp.float32), jnp.full((2, 5), 0.3)
    steps = sampling_steps(LCM(), RELEASED, 1, prediction="x0")
    state, estimate = sample(LCM(), lambda z, t: x0, z, steps, jax.random.split(jax.random.key(0), 2))
    np.testing.assert_allclose(state, x0, atol=1e-5)
    np.testing.assert_allclose(estimate, x0)


def test_the_boundary_condition_of_consistency_functions():
    c_skip, c_out = boundary(np.array([0, 999]))
    np.testing.assert_allclose(c_skip, [1, 0], atol=1e-8)
    np.testing.assert_allclose(c_out, [0, 1], atol=1e-8)


@pytest.mark.parametrize("name", ["ddim", "unipc", "heun"])
@pytest.mark.parametrize("every", [2, 5])
def test_a_reusing_denoiser_is_called_afresh_once_a_period(name, every):
    """What is kept is the timestep of the fresh call: each estimate shows which one it has seen."""
    sampler, count = SAMPLERS[name], 7
    reuse = Reuse(
        every,
        fresh=lambda z, t: (z * 0 + t[:, None], t),
        reused=lambda z, t, kept: z * 0 + kept[:, None],
    )
    steps = sampling_steps(sampler, RELEASED, count, prediction="x0")
    keys = jax.random.split(jax.random.key(0), 2)
    run = jax.jit(lambda state, rows: sample(sampler, reuse, state, rows, keys))
    for taken in (1, 2, 6, len(steps)):
        _, seen = run(sampler.init(jnp.asarray(Z, jnp.float32)), steps[:taken])
        np.testing.assert_allclose(seen, steps.t[(taken - 1) // every * every])
