"""Parity of the autoencoder and the text tower with the originals, in float32 with random weights."""

import jax
import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import difference, torch
from tests.parity.reduced import NETWORKS, converted

pytestmark = pytest.mark.parity

BOUND = 1e-4


def original_autoencoder():
    """Return the original autoencoder, with its tensors as in a Stable Diffusion checkpoint."""
    original = originals.autoencoder()
    state = {f"first_stage_model.{name}": x for name, x in originals.tensors(original).items()}
    others = {
        "model.diffusion_model.out.2.weight": np.ones(3),
        "cond_stage_model.x": np.ones(1),
        "betas": np.ones(1),
    }

    def encode(images):
        posterior = original.encode(images)
        return posterior.mean, posterior.std

    return state | others, encode, original.decode


def diffusers_autoencoder():
    diffusers = pytest.importorskip("diffusers", reason="run `make parity`")
    original = originals.filled(
        diffusers.AutoencoderKL(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=4,
        )
    )

    def encode(images):
        posterior = original.encode(images).latent_dist
        return posterior.mean, posterior.std

    return originals.tensors(original), encode, lambda latents: original.decode(latents).sample


@pytest.mark.parametrize("layout", [original_autoencoder, diffusers_autoencoder])
def test_autoencoder_encodes_and_decodes_as_the_original(layout):
    tensors, encode, decode = layout()
    variables = {"params": converted("autoencoder", tensors)["autoencoder"]}
    scale = NETWORKS.autoencoder.scaling_factor
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 48, 3)).astype(np.float32)
    latents = np.random.default_rng(1).standard_normal((2, 12, 20, 4), np.float32)
    with torch.no_grad():
        mean, std = encode(torch.from_numpy(images).permute(0, 3, 1, 2))
        decoded = decode(torch.from_numpy(latents).permute(0, 3, 1, 2) / scale)
    posterior = run(NETWORKS.autoencoder, variables, images, method="encode")
    assert difference(posterior.mean, scale * mean.permute(0, 2, 3, 1)) < BOUND
    assert difference(posterior.std, scale * std.permute(0, 2, 3, 1)) < BOUND
    ours = run(NETWORKS.autoencoder, variables, latents, method="decode")
    assert difference(ours, decoded.permute(0, 2, 3, 1)) < BOUND


def token_ids():
    """Return ids of texts of several lengths, padded with zeros."""
    ids = np.zeros((3, 77), np.int32)
    for row, length in zip(ids, (2, 20, 77), strict=True):
        row[:length] = np.random.default_rng(length).integers(1, 490, length)
    return ids


def open_clip_text():
    """Return OpenCLIP's text tower with three layers."""
    transformer = originals.load(originals.OPEN_CLIP, "transformer")
    return originals.filled(
        transformer.TextTransformer(vocab_size=500, width=1024, heads=4, layers=3, output_dim=1024)
    )


def open_clip_states(ids):
    """Return OpenCLIP's tensors, and the normalised hidden states before the last layer."""
    tower = open_clip_text()
    with torch.no_grad():
        x = tower.token_embedding(ids) + tower.positional_embedding
        for block in tower.transformer.resblocks[:-1]:
            x = block(x, attn_mask=tower.attn_mask)
        states = tower.ln_final(x)
    logit_scale = {"logit_scale": np.ones(())}
    return originals.tensors(tower) | logit_scale, states


def transformers_states(ids):
    """Return the same from transformers, configured with OpenCLIP's exact GELU."""
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=500,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu",
        bos_token_id=498,
        eos_token_id=499,
    )
    tower = originals.filled(transformers.CLIPTextModel(config))
    with torch.no_grad():
        hidden = tower(ids, output_hidden_states=True).hidden_states[-2]
        norm = dict(tower.named_modules())
        (final,) = [m for name, m in norm.items() if name.endswith("final_layer_norm")]
        states = final(hidden)
    return originals.tensors(tower), states


@pytest.mark.parametrize("layout", [open_clip_states, transformers_states])
@pytest.mark.parametrize("prefixed", [False, True])
def test_text_tower_equals_the_original(layout, prefixed):
    ids = token_ids()
    tensors, states = layout(torch.from_numpy(ids).long())
    if prefixed and layout is transformers_states:  # as in files of its older versions
        tensors = {f"text_model.{name}": x for name, x in tensors.items()}
    variables = {"params": converted("clip", tensors)["text"]}
    assert difference(jax.device_get(run(NETWORKS.text, variables, ids)), states.numpy()) < BOUND
