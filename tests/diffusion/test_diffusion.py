from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.guidance import guided
from vcjax.diffusion.objective import prediction_target, q_sample
from vcjax.diffusion.sampler import sample, sampling_steps
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import SPACINGS, check_spacing, linear_spacing, timesteps
from vcjax.errors import BadInput

ddim_steps = partial(sampling_steps, DDIM())
RELEASED = Schedule()
ZERO = Schedule(zero_terminal_snr=True)


def test_released_schedule_is_the_product_of_scaled_linear_betas():
    product, expected = 1.0, []
    for i in range(1000):
        product *= 1 - (0.00085**0.5 + i / 999 * (0.0120**0.5 - 0.00085**0.5)) ** 2
        expected.append(product)
    np.testing.assert_allclose(RELEASED.alpha_bar, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "schedule", [RELEASED, ZERO, Schedule(kind="cosine"), Schedule(kind="cosine", zero_terminal_snr=True)]
)
def test_alpha_bar_decreases_strictly(schedule):
    assert (np.diff(schedule.alpha_bar) < 0).all()
    assert 0.99 < schedule.alpha_bar[0] < 1
    assert (schedule.alpha_bar[-1] == 0) == schedule.zero_terminal_snr


def test_timesteps_are_those_of_the_released_sampler():
    assert timesteps(RELEASED, 50, "leading").tolist() == list(range(981, 0, -20))
    assert timesteps(RELEASED, 20, "leading").tolist() == list(range(951, 0, -50))
    assert timesteps(RELEASED, 999, "leading")[[0, -1]].tolist() == [999, 1]
    assert timesteps(RELEASED, 50, "trailing").tolist() == list(range(999, 0, -20))


@pytest.mark.parametrize(
    ("schedule", "spacing"),
    [(RELEASED, name) for name in SPACINGS] + [(ZERO, name) for name in SPACINGS[1:]],
)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 30, 50, 333, 600, 999])
def test_there_are_as_many_timesteps_as_asked_for(schedule, spacing, count):
    if spacing == "lcm" and count > 50:
        pytest.skip("at most 50")
    t = timesteps(schedule, count, spacing)
    assert len(t) == count
    assert 0 <= t.min() <= t.max() <= 999
    assert (np.diff(t) < 0).all()
    if spacing == "leading":
        assert t[-1] == 1
    else:
        assert t[0] == 999
    if spacing not in ("logsnr", "karras", "lcm"):
        assert count < 3 or np.ptp(np.diff(t)) <= 1


def test_log_snr_spacing_is_even_in_log_snr():
    log_snr = np.log(RELEASED.alpha_bar / (1 - RELEASED.alpha_bar)) / 2
    gaps = np.diff(log_snr[np.append(timesteps(RELEASED, 10, "logsnr"), 0)])
    np.testing.assert_allclose(gaps, (log_snr[0] - log_snr[-1]) / 10, rtol=0.2)


@pytest.mark.parametrize("count", [1, 7, 20, 50, 1000])
def test_zero_terminal_snr_starts_at_the_last_timestep(count):
    assert linear_spacing(ZERO) == "trailing"
    assert timesteps(ZERO, count, "trailing")[0] == 999


def test_coefficients_are_those_of_ddim_between_entries_of_the_schedule():
    """At the last step (t = 1) the released sampler goes to entry 0 of the table, not to x0."""
    steps = ddim_steps(RELEASED, 50, prediction="epsilon")
    a = RELEASED.alpha_bar
    for row, (t, s) in {0: (981, 961), 24: (501, 481), 49: (1, 0)}.items():
        z_coefficient = np.sqrt(a[s] / a[t])
        out_coefficient = np.sqrt(1 - a[s]) - np.sqrt(a[s] * (1 - a[t]) / a[t])
        np.testing.assert_allclose(
            [steps.coefficients["z"][row], steps.coefficients["out"][row]],
            [z_coefficient, out_coefficient],
            rtol=1e-6,
        )
    assert not steps.coefficients["noise"].any()


@pytest.mark.parametrize(("spacing", "most"), [("leading", 999), ("trailing", 1000), ("logsnr", 999)])
def test_a_number_of_steps_out_of_range_is_reported(spacing, most):
    for count in (0, most + 1):
        with pytest.raises(BadInput, match=f"from 1 to {most}, not {count}"):
            timesteps(RELEASED, count, spacing)


def test_a_spacing_that_the_schedule_does_not_allow_is_reported():
    with pytest.raises(
        BadInput, match="must be one of trailing, linspace, logsnr, karras, lcm with zero terminal SNR"
    ):
        timesteps(ZERO, 20, "leading")
    with pytest.raises(BadInput, match="one of leading, trailing, linspace, logsnr, karras, lcm, not 'even'"):
        check_spacing("even", RELEASED)


def test_epsilon_prediction_is_rejected_with_zero_terminal_snr():
    with pytest.raises(BadInput, match="epsilon"):
        ddim_steps(ZERO, 50, prediction="epsilon")


def oracle(x0, schedule, prediction):
    """Return a perfect denoiser, which computes its prediction from z and the true x0."""

    def denoise(z, t):
        a = jnp.asarray(schedule.alpha_bar, jnp.float32)[t][:, None]
        noise = (z - jnp.sqrt(a) * x0) / jnp.sqrt(1 - a)
        return {"epsilon": noise, "v": jnp.sqrt(a) * noise - jnp.sqrt(1 - a) * x0, "x0": x0 + 0 * z}[
            prediction
        ]

    return denoise


@pytest.mark.parametrize(
    ("schedule", "prediction"), [(RELEASED, "epsilon"), (RELEASED, "v"), (ZERO, "v"), (ZERO, "x0")]
)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sampling_with_an_oracle_returns_its_x0(schedule, prediction, eta):
    x0 = jax.random.normal(jax.random.key(0), (2, 5))
    z = jax.random.normal(jax.random.key(1), (2, 5))
    steps = ddim_steps(schedule, 50, prediction=prediction, eta=eta)
    keys = jax.random.split(jax.random.key(2), 2)
    out, estimate = sample(DDIM(), oracle(x0, schedule, prediction), z, steps, keys)
    np.testing.assert_allclose(estimate, x0, atol=2e-4)  # of the last step
    # The remaining noise is that of the schedule entry after the last step.
    entry = max(int(steps.t[-1]) - 20, 0)
    residual_noise = np.sqrt(1 - schedule.alpha_bar[entry])
    assert jnp.abs(out - np.sqrt(schedule.alpha_bar[entry]) * x0).max() < 5 * residual_noise


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("chunk", [1, 3, 5, 7, 31])
def test_a_trajectory_does_not_depend_on_its_chunks(chunk, eta):
    steps = ddim_steps(RELEASED, 30, prediction="epsilon", eta=eta)
    z = jax.random.normal(jax.random.key(1), (1, 4))
    take = jax.jit(
        lambda z, rows: sample(
            DDIM(),
            lambda z, t: jnp.tanh(z + t[:, None] / 1000),
            z,
            rows,
            jax.random.split(jax.random.key(2), 1),
        )[0]
    )
    expected, chunked = take(z, steps), z
    for rows in steps.chunks(chunk):
        assert len(rows) == chunk
        chunked = take(chunked, rows)
    np.testing.assert_allclose(
        chunked, expected, rtol=2e-6, atol=1e-6
    )  # a table of another size is another program


def test_eta_one_has_the_posterior_variance_of_ddpm():
    """With eta 1 and stride 1 the sampler is ancestral: sigma^2 is beta_t (1 - a_{t-1}) / (1 - a_t)."""
    steps = ddim_steps(RELEASED, 999, prediction="epsilon", eta=1.0)
    a = RELEASED.alpha_bar
    beta = 1 - a[1:] / a[:-1]
    expected = np.sqrt(beta * (1 - a[:-1]) / (1 - a[1:]))[::-1]
    np.testing.assert_allclose(steps.coefficients["noise"], expected, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(t=st.integers(0, 999), seed=st.integers(0, 2**16))
def test_targets_of_the_three_prediction_types_are_consistent(t, seed):
    x0, noise = jax.random.normal(jax.random.key(seed), (2, 1, 6))
    times = jnp.array([t])
    z = q_sample(x0, noise, times, ZERO)
    v = prediction_target("v", x0, noise, times, ZERO)
    alpha, sigma = np.sqrt(ZERO.alpha_bar[t]), np.sqrt(1 - ZERO.alpha_bar[t])
    np.testing.assert_allclose(
        alpha * z - sigma * v, prediction_target("x0", x0, noise, times, ZERO), atol=1e-5
    )
    np.testing.assert_allclose(
        sigma * z + alpha * v, prediction_target("epsilon", x0, noise, times, RELEASED), atol=1e-5
    )


def test_q_sample_preserves_unit_variance():
    x0, noise = jax.random.normal(jax.random.key(0), (2, 4, 20_000))
    z = q_sample(x0, noise, jnp.array([0, 300, 700, 999]), RELEASED)
    np.testing.assert_allclose(z.var(-1), 1, atol=0.05)


def test_guidance_combines_both_branches_in_one_call():
    calls = []

    def denoise(z, t):
        calls.append(z.shape)
        return z * jnp.array([2.0, 5.0]).repeat(3)[:, None]

    z = jnp.ones((3, 4))
    for weight, expected in ((0.0, 2.0), (1.0, 5.0), (9.0, 2 + 9 * 3)):
        out = guided(denoise, jnp.array([weight]))(z, jnp.zeros(3, int))
        np.testing.assert_allclose(out, expected * z)
    assert calls == [(6, 4)] * 3


def test_a_chain_of_guidance_adds_the_weighted_difference_of_each_branch_to_the_one_before():
    def denoise(z, t):
        return z * jnp.array([2.0, 5.0, 4.0]).repeat(2)[:, None]

    z = jnp.ones((2, 3))
    out = guided(denoise, jnp.array([2.0, 8.0]))(z, jnp.zeros(2, int))
    np.testing.assert_allclose(out, (2 + 2 * (5 - 2) + 8 * (4 - 5)) * z)
    two = guided(lambda z, t: denoise(jnp.concatenate([z, z[:2]]), t)[:4], jnp.array([2.0]))
    np.testing.assert_allclose(
        guided(denoise, jnp.array([2.0, 0.0]))(z, jnp.zeros(2, int)), two(z, jnp.zeros(2, int))
    )
