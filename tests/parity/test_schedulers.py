"""Parity of the samplers with the schedulers of diffusers, at the same timesteps, for a network that is a formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parity.originals import torch
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.samplers import SAMPLERS
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import timesteps

pytestmark = pytest.mark.parity
diffusers = pytest.importorskip("diffusers")

SCHEDULE = Schedule()
BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
Z = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
BOUND = 1e-5


def epsilon(z, t):
    """A prediction of the noise that depends on the latent and on the timestep."""
    return 0.6 * z + 0.3 * np.sin(3 * z + t / 300)


def ours(name, count, spacing, noises):
    """Run a sampler step by step, with the given noise."""
    sampler, z = SAMPLERS[name], jnp.asarray(Z)
    table = sampling_steps(sampler, SCHEDULE, count, prediction="epsilon", spacing=spacing, dtype=np.float64)
    state = sampler.init(z)
    for i, t in enumerate(table.t):
        row = {key: jnp.asarray(values[i]) for key, values in table.coefficients.items()}
        out = jnp.asarray(epsilon(np.asarray(sampler.latents(state)), t))
        state = sampler.step(state, row, out, jnp.asarray(noises[i]) if sampler.stochastic else None)
    return np.asarray(sampler.latents(state))


def theirs(scheduler, noises, monkeypatch):
    draws = iter(noises)
    for name in ("scheduling_lcm", "scheduling_dpmsolver_multistep"):
        module = getattr(diffusers.schedulers, name)
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: torch.from_numpy(next(draws)))
    z = torch.from_numpy(Z)
    for t in scheduler.timesteps:
        z = scheduler.step(torch.from_numpy(epsilon(z.numpy(), int(t))), t, z, return_dict=False)[0]
    return z.numpy()


def at_our_timesteps(scheduler, t):
    """Give a scheduler our timesteps, and entry 0 of the schedule as the end."""
    scheduler.set_timesteps(len(t))
    ends = SCHEDULE.alpha_bar[np.append(t, 0)]
    scheduler.timesteps = torch.from_numpy(t.astype(np.int64))
    scheduler.sigmas = torch.from_numpy(np.sqrt((1 - ends) / ends))
    return scheduler


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def noises():
    rng = np.random.default_rng(1)
    return [rng.standard_normal(Z.shape) for _ in range(60)]


@pytest.mark.parametrize("count", [4, 10, 50])
def test_the_spacing_of_the_released_model_is_leading(count, noises, monkeypatch):
    scheduler = diffusers.DDIMScheduler(
        **BETAS, steps_offset=1, set_alpha_to_one=False, clip_sample=False, timestep_spacing="leading"
    )
    scheduler.set_timesteps(count)
    assert scheduler.timesteps.tolist() == timesteps(SCHEDULE, count, "leading").tolist()
    expected = theirs(scheduler, noises, monkeypatch)
    np.testing.assert_allclose(ours("ddim", count, "leading", noises), expected, atol=BOUND, rtol=BOUND)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_lcm(count, noises, monkeypatch):
    scheduler = diffusers.LCMScheduler(**BETAS, set_alpha_to_one=True, clip_sample=False)
    scheduler.set_timesteps(count)
    assert scheduler.timesteps.tolist() == timesteps(SCHEDULE, count, "lcm").tolist()
    expected = theirs(scheduler, noises, monkeypatch)
    np.testing.assert_allclose(ours("lcm", count, "lcm", noises), expected, atol=BOUND, rtol=BOUND)


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_2m_sde", "unipc"])
@pytest.mark.parametrize("spacing", ["logsnr", "karras", "trailing"])
@pytest.mark.parametrize("count", [5, 20])
def test_multistep_methods(name, spacing, count, noises, monkeypatch):
    options = {**BETAS, "solver_order": 2, "lower_order_final": False}
    if name == "unipc":
        scheduler = diffusers.UniPCMultistepScheduler(**options)
    else:
        kind = "sde-dpmsolver++" if name.endswith("sde") else "dpmsolver++"
        options["final_sigmas_type"] = "sigma_min"  # with "zero" its last step would be of first order
        scheduler = diffusers.DPMSolverMultistepScheduler(**options, algorithm_type=kind)
    scheduler = at_our_timesteps(scheduler, timesteps(SCHEDULE, count, spacing))
    expected = theirs(scheduler, noises, monkeypatch)
    np.testing.assert_allclose(ours(name, count, spacing, noises), expected, atol=BOUND, rtol=BOUND)
