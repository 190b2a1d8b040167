"""Parity of UNet, STC-encoders and token encoder with the original, in float32 with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import channels_first, channels_last, difference, torch
from tests.parity.reduced import NETWORKS, empty_text, unet
from vcjax.weights.convert.releases import CHANNELS

pytestmark = pytest.mark.parity

BOUND = 1e-4  # of the output's standard deviation
LATENT = (32, 32)  # the original pools every map to 128x128, four times this
FRAMES = 4


@pytest.fixture(scope="module")
def model():
    return unet()


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def maps(name, frames=FRAMES, batch=1):
    """Return a map whose size is not a multiple of 128, to which it is pooled."""
    return random(batch, frames, 140, 132, CHANNELS[name], seed=len(name))


@jax.jit
def predict(parameters, z, t, maps, embeddings, present):
    tokens, mask = NETWORKS.tokens.apply({"params": parameters["tokens"]}, embeddings, present)
    return NETWORKS.unet.apply({"params": parameters["unet"]}, z, t, maps, tokens, mask)


def ours(trees, z, t, text, style=None, conditions=None):
    """Return the prediction of vcjax; a style of None is masked."""
    batch, frames, *size = z.shape[:4]
    total = jnp.zeros((batch, frames, *size, 8))
    for name, condition in (conditions or {}).items():
        total += run(NETWORKS.stc, {"params": trees["stc"][name]}, condition, tuple(size))
    present = {"text": np.ones(batch, bool), "style": np.full(batch, style is not None)}
    embeddings = {"text": text, "style": np.zeros((batch, 1024), np.float32) if style is None else style}
    return predict({name: trees[name] for name in ("unet", "tokens")}, z, t, total, embeddings, present)


def theirs(original, z, t, text, style=None, conditions=None):
    """Return the prediction of the original."""
    inputs = {originals.INPUTS[name]: channels_first(x) for name, x in (conditions or {}).items()}
    if style is not None:
        inputs["image"] = torch.from_numpy(style)[:, None]
    with torch.no_grad():
        out = original(channels_first(z), torch.from_numpy(t), y=torch.from_numpy(text), **inputs)
    return channels_last(out)


CASES = {
    "text": {},
    "style": {"style": True},
    **{name: {"names": (name,)} for name in CHANNELS},
    "all": {"style": True, "names": tuple(CHANNELS)},
}


@pytest.mark.parametrize("case", CASES)
def test_unet_equals_the_original(model, case):
    original, trees = model
    inputs = {
        "z": random(1, FRAMES, *LATENT, 4, seed=1),
        "t": np.array([481]),
        "text": random(1, 77, 1024, seed=2),
        "style": random(1, 1024, seed=3) if CASES[case].get("style") else None,
        "conditions": {name: maps(name) for name in CASES[case].get("names", ())},
    }
    expected = theirs(original, **inputs)
    assert difference(ours(trees, **inputs), expected) < BOUND
    if case != "text":  # the condition has an effect
        text_only = theirs(original, inputs["z"], inputs["t"], inputs["text"])
        assert difference(text_only, expected) > 100 * BOUND


@pytest.mark.parametrize(("batch", "frames"), [(2, 1), (1, 8), (1, 24)])
@pytest.mark.parametrize("has_style", [False, True])
def test_other_sizes_and_numbers_of_frames(model, batch, frames, has_style):
    """A single frame passes all temporal layers, as in the original at inference."""
    original, trees = model
    inputs = {
        "z": random(batch, frames, 24, 40, 4, seed=1),
        "t": np.array([981, 1])[:batch],
        "text": random(batch, 77, 1024, seed=2),
        "style": random(batch, 1024, seed=3) if has_style else None,
    }
    assert difference(ours(trees, **inputs), theirs(original, **inputs)) < BOUND


def test_missing_text_equals_the_embedding_of_the_empty_string(model):
    original, trees = model
    z, t = random(1, FRAMES, *LATENT, 4, seed=1), np.array([1])
    with torch.no_grad():
        expected = channels_last(original(channels_first(z), torch.from_numpy(t)))
    assert difference(ours(trees, z, t, empty_text()), expected) < BOUND


@pytest.mark.parametrize("name", CHANNELS)
def test_each_stc_encoder(model, name):
    original, trees = model
    condition = maps(name, batch=2)
    convolutions, after = {
        "image": ("local_image_embedding", "local_image_embedding_after"),
        "mask": ("masked_embedding", "mask_embedding_after"),
    }.get(name, (f"{name}_embedding", f"{name}_embedding_after"))
    with torch.no_grad():
        frames = torch.from_numpy(np.moveaxis(condition.reshape(-1, *condition.shape[2:]), -1, 1).copy())
        y = getattr(original, convolutions)(frames)  # [B F, 8, h, w]
        y = y.reshape(2, FRAMES, 8, *LATENT).permute(0, 3, 4, 1, 2).reshape(-1, FRAMES, 8)
        y = getattr(original, after)(y).reshape(2, *LATENT, FRAMES, 8).permute(0, 3, 1, 2, 4)
    encoded = run(NETWORKS.stc, {"params": trees["stc"][name]}, condition, LATENT)
    assert difference(encoded, y.numpy()) < BOUND


def test_the_token_encoder(model):
    original, trees = model
    text, style = random(2, 77, 1024, seed=2), random(2, 1024, seed=3)
    with torch.no_grad():
        expected = np.concatenate(
            [text, original.pre_image_condition(torch.from_numpy(style)).numpy()[:, None]], 1
        )
    present = {"text": np.ones(2, bool), "style": np.ones(2, bool)}
    tokens, mask = run(NETWORKS.tokens, {"params": trees["tokens"]}, {"text": text, "style": style}, present)
    assert mask.all()
    assert difference(tokens[:, 77:], expected[:, 77:]) < BOUND
    np.testing.assert_array_equal(tokens[:, :77], text)
