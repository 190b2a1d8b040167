"""Parity of a guided DDIM trajectory of the small model with the original sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import channels_first, channels_last, difference, torch
from tests.parity.reduced import NETWORKS, empty_text, unet
from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.guidance import guided
from vcjax.diffusion.sampler import sample, sampling_steps
from vcjax.diffusion.schedule import Schedule
from vcjax.diffusion.timesteps import timesteps

pytestmark = pytest.mark.parity

BOUND = 1e-3  # of the standard deviation, after 50 steps
GUIDANCE = 9.0


def test_schedule_equals_the_originals():
    expected = originals.diffusion().alphas_cumprod.numpy()
    np.testing.assert_allclose(Schedule().alpha_bar, expected, rtol=1e-12)


def test_fifty_guided_steps_equal_the_originals():
    original, trees = unet()
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1, 3, 8, 12, 4), np.float32)
    text, style = rng.standard_normal((1, 77, 1024), np.float32), rng.standard_normal((1, 1024), np.float32)
    expected = originals.diffusion().ddim_sample_loop(
        noise=channels_first(z),
        model=original,
        model_kwargs=[
            {"y": torch.from_numpy(text), "image": torch.from_numpy(style)[:, None]},
            {"y": torch.from_numpy(empty_text()), "image": torch.zeros(1, 1, 1024)},
        ],
        guide_scale=GUIDANCE,
        ddim_timesteps=50,
        eta=0.0,
    )

    embeddings = {
        "text": np.concatenate([empty_text(), text]),
        "style": np.concatenate([np.zeros_like(style), style]),
    }
    present = {name: np.ones(2, bool) for name in embeddings}
    tokens, mask = run(NETWORKS.tokens, {"params": trees["tokens"]}, embeddings, present)

    @jax.jit
    def trajectory(parameters, z):
        def denoise(z, t):
            maps = jnp.zeros((*z.shape[:-1], 8))
            return NETWORKS.unet.apply({"params": parameters}, z, t, maps, tokens, mask)

        steps = sampling_steps(DDIM(), Schedule(), 50, prediction="epsilon")
        predict = guided(denoise, jnp.full(1, GUIDANCE))
        state, _ = sample(DDIM(), predict, z, steps, jax.random.split(jax.random.key(0), 1))
        return state

    assert timesteps(Schedule(), 50, "leading")[[0, -1]].tolist() == [981, 1]
    out = trajectory(trees["unet"], z)
    assert difference(out, channels_last(expected)) < BOUND
    assert difference(z, channels_last(expected)) > 0.5  # the initial noise is far from the result
