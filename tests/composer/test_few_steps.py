"""Fewer and cheaper evaluations of the UNet, and looking at what is sampled while it is."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import run
from vcjax.composer import sampling
from vcjax.composer.completion import complete_request
from vcjax.composer.latent_colours import LatentColours, fit_latent_colours
from vcjax.composer.request import Request
from vcjax.composer.sampling import phases_of
from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.guidance import combine
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.models.unet import UNet

FAST = {"steps": 7, "frames": 3, "text": "a red circle"}
SMALL = UNet(base_channels=16, channel_multipliers=(1, 2), attention_levels=(0,), head_dim=8, num_input_heads=2, norm_groups=4)  # fmt: skip


@pytest.fixture(scope="module")
def unet():
    rng = np.random.default_rng(0)
    inputs = (
        rng.standard_normal((2, 3, 8, 8, 4), np.float32), np.array([100, 500]),
        rng.standard_normal((2, 3, 8, 8, 4), np.float32), rng.standard_normal((2, 5, 16), np.float32),
        np.ones((2, 5), bool),
    )  # fmt: skip
    parameters = jax.jit(SMALL.init)(jax.random.key(0), *inputs)
    noisy = jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32), parameters)
    return noisy, inputs


@pytest.mark.parametrize("fresh", [1, 3])
def test_deep_features_of_the_same_input_give_the_same_prediction(unet, fresh):
    parameters, inputs = unet
    plain = run(SMALL, parameters, *inputs)
    out, deep = run(SMALL, parameters, *inputs, fresh_blocks=fresh)
    np.testing.assert_allclose(out, plain, atol=1e-5)
    again = jax.jit(partial(SMALL.apply, fresh_blocks=fresh))(parameters, *inputs, deep=deep)
    np.testing.assert_allclose(again, plain, atol=1e-5)
    other = jax.jit(partial(SMALL.apply, fresh_blocks=fresh))(parameters, *inputs, deep=deep + 1)
    assert np.abs(other - plain).max() > 1e-3


def test_a_call_with_deep_features_has_a_fraction_of_the_operations(composer):
    network = composer.networks.unet
    parameters = composer.parameters("unet")
    z, tokens = jnp.zeros((1, 16, 8, 8, 8)), jnp.zeros((1, 20, composer.networks.tokens.token_dim))
    given = (z, jnp.zeros(1, int), jnp.zeros((1, 16, 8, 8, composer.networks.stc.out_channels)), tokens)

    def operations(**options):
        call = jax.jit(
            lambda p, *x: network.apply({"params": p}, *x, jnp.ones(tokens.shape[:2], bool), **options)
        )
        lowered = call.lower(parameters, *given)
        return jax.eval_shape(call, parameters, *given), lowered.cost_analysis()["flops"]

    (_, deep), whole = operations(fresh_blocks=1)
    _, rest = operations(fresh_blocks=1, deep=jnp.zeros(deep.shape, deep.dtype))
    assert rest < whole / 3


@pytest.mark.slow
def test_the_whole_interval_of_guidance_is_no_interval_and_an_empty_one_no_guidance(composer):
    released = dataclasses.replace(
        composer, schedule=Schedule()
    )  # the first noise level of the model's own is infinite
    guided = released(**FAST, guidance=4).frames
    whole = released(**FAST, guidance=4, guidance_interval=(0, 1e9)).frames
    np.testing.assert_array_equal(whole, guided)
    guided = composer(**FAST, guidance=4).frames
    none = composer(**FAST, guidance=4, guidance_interval=(1e8, 1e9)).frames
    plain = composer(**FAST, guidance=1).frames
    np.testing.assert_array_equal(none, plain)
    some = composer(**FAST, guidance=4, guidance_interval=(0.3, 3.0)).frames
    assert np.abs(some.astype(int) - guided).mean() > 0.1
    assert np.abs(some.astype(int) - plain).mean() > 0.1


def test_guidance_is_in_the_interval_of_noise_levels(composer):
    schedule = composer.schedule
    table = sampling_steps(DDIM(), schedule, 50, prediction=composer.prediction)
    request = composer.request(text="a", sampler="ddim", steps=50, guidance_interval=(0.3, 3.0))
    parts = phases_of(composer, complete_request(request, composer))
    assert [part.guided for part in parts] == [False, True, False]
    np.testing.assert_array_equal(np.concatenate([part.rows.t for part in parts]), table.t)
    noise = np.sqrt((1 - schedule.alpha_bar) / schedule.alpha_bar)
    assert noise[parts[0].rows.t].min() > 3
    assert noise[parts[1].rows.t].max() <= 3
    assert noise[parts[1].rows.t].min() >= 0.3 > noise[parts[2].rows.t].max()


def test_weight_one_takes_one_branch(composer, monkeypatch):
    seen = []
    take = sampling.sample_chunk
    monkeypatch.setattr(sampling, "sample_chunk", lambda *x: seen.append(x[7].shape[0]) or take(*x))
    composer(**FAST, guidance=1)
    composer(**FAST, branches=[[], ["text"], ["text"]], guidance=[1, 3])
    assert set(seen) == {1}
    completed = complete_request(composer.request(text="a", guidance=1, negative_text="b"), composer)
    assert (completed.branches, completed.guidance, completed.negative_text) == ((("text",),), (), "")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"guidance_every": 3}, {"reuse_every": 2, "guidance_every": 2}])
def test_reuse_changes_little_and_is_one_program_for_any_number_of_steps(composer, settings):
    many = {**FAST, "steps": 40, "guidance": 2}
    plain = composer(**many).frames
    sampling.sample_chunk.clear_cache()
    reused = composer(**many, **settings).frames
    composer(**{**many, "steps": 5}, **settings)
    assert sampling.sample_chunk._cache_size() == 1
    other = composer(**{**many, "seed": 1}).frames
    difference = np.abs(reused.astype(int) - plain).mean()
    assert 0 < difference < np.abs(other.astype(int) - plain).mean() / 4


def test_rescaled_guidance_has_the_std_of_the_last_branch():
    rng = np.random.default_rng(0)
    branches = [jnp.asarray(rng.normal(i, 1 + i, (2, 3, 4, 4, 2)), jnp.float32) for i in range(2)]
    weights = jnp.array([9.0])
    plain, whole, half = (combine(branches, weights, r) for r in (None, jnp.float32(1), jnp.float32(0.5)))
    axes = (1, 2, 3, 4)
    np.testing.assert_allclose(whole.std(axes), branches[1].std(axes), rtol=1e-5)
    np.testing.assert_allclose(half, (plain + whole) / 2, rtol=1e-5)
    np.testing.assert_allclose(combine(branches, weights, jnp.float32(0)), plain)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_a_step_preview_resembles_the_decoded_estimate_and_sampling_can_be_stopped(composer):
    """Measured: 22 to 25 dB."""
    arguments = {"text": "a red circle moving left", "seed": 3}
    whole, previews = composer(**arguments), []
    observed = composer(**arguments, on_step=lambda preview: previews.append(preview))
    np.testing.assert_array_equal(observed.frames, whole.frames)
    assert [preview.completed for preview in previews] == [5, 10, 15]
    assert {preview.total for preview in previews} == {20}
    for preview in previews[1:2]:
        stopped = composer(**arguments, on_step=lambda now, at=preview.completed: now.completed == at).frames
        small = stopped.reshape(16, 8, 8, 8, 8, 3).mean((2, 4))
        assert psnr(preview.frames[0], small) > 20
        assert np.abs(stopped.astype(int) - whole.frames).mean() > 0.2


def test_a_model_without_colours_of_latents_has_no_previews(composer):
    with pytest.raises(BadInput, match="on_step needs latent_colours"):
        dataclasses.replace(composer, latent_colours=None)(**FAST, on_step=lambda preview: False)


def test_the_map_to_colours_is_found_where_there_is_one():
    rng = np.random.default_rng(0)
    truth = LatentColours(matrix=((0.2, 0.1, -0.1), (-0.1, 0.2, 0.1)), bias=(0.1, 0.0, -0.2))
    latents = rng.uniform(-1, 1, (6, 4, 5, 2)).astype(np.float32)
    frames = truth.frames(latents).repeat(8, 1).repeat(8, 2)
    found = fit_latent_colours(latents, frames)
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=2e-3)
    np.testing.assert_allclose(found.bias, truth.bias, atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance_interval": (3, 1)}, "two noise levels sigma / alpha, the lower first"),
        ({"guidance_interval": (1,)}, "two noise levels"),
        ({"guidance_rescale": 1.5}, "guidance_rescale must be from 0 to 1, not 1.5"),
        ({"guidance_every": 0}, "guidance_every must be at least 1, not 0"),
        ({"reuse_every": -2}, "reuse_every must be at least 1, not -2"),
        ({"reuse_every": 2, "guidance_every": 3}, "must be equal where both are above 1, not 3 and 2"),
        ({"sampler": "lcm", "steps": 51}, "steps of sampling must be from 1 to 50, not 51"),
        ({"sampler": "unipc", "eta": 0.5}, "eta must be 0 for this sampler"),
    ],
)
def test_what_is_wrong_is_named(composer, settings, message):
    with pytest.raises(BadInput, match=message):
        complete_request(composer.request(text="a", **settings), composer)


def test_a_request_keeps_its_settings_in_json(composer):
    settings = {
        "guidance_interval": (0.3, 3.0),
        "guidance_rescale": 0.5,
        "guidance_every": 2,
        "reuse_every": 2,
    }
    request = complete_request(composer.request(text="a", sampler="unipc", **settings), composer)
    again = Request.from_json(request.to_json())
    for name, value in {**settings, "sampler": "unipc", "spacing": "logsnr"}.items():
        assert getattr(again, name) == value
