"""Parity of a 3D UNet initialised from an image UNet with that image UNet (diffusers), frame by frame."""

import jax
import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import difference, torch
from tests.parity.reduced import NETWORKS
from vcjax.weights.convert import image_unet
from vcjax.weights.convert.releases import CHANNELS, VECTORS

diffusers = pytest.importorskip("diffusers", reason="run `make parity`")

pytestmark = pytest.mark.parity

BOUND = 1e-4  # of the output's standard deviation
UNET = NETWORKS.unet.clone(channel_multipliers=(1, 2, 2), num_res_blocks=2, attention_levels=(0, 1))


@pytest.fixture(scope="module")
def original():
    """Return a small UNet of Stable Diffusion 2 with random weights."""
    has_attention = [level in UNET.attention_levels for level in range(len(UNET.channel_multipliers))]
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in has_attention]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(has_attention)]
    widths = [UNET.base_channels * multiplier for multiplier in UNET.channel_multipliers]
    return originals.filled(
        diffusers.UNet2DConditionModel(
            down_block_types=down,
            up_block_types=up,
            block_out_channels=widths,
            layers_per_block=UNET.num_res_blocks,
            attention_head_dim=[
                width // UNET.head_dim for width in widths
            ],  # the number of heads, despite its name
            cross_attention_dim=1024,
            use_linear_projection=True,
        )
    )


@pytest.fixture(scope="module")
def parameters(original):
    networks = NETWORKS.__class__(unet=UNET, text=NETWORKS.text)
    tree = networks.init(jax.random.key(0), "unet", CHANNELS, VECTORS)
    return image_unet.init_from_image_unet(UNET, tree, originals.tensors(original), "the original")


def test_every_frame_equals_the_image_unets_for_any_maps(original, parameters):
    rng = np.random.default_rng(0)
    frames, height, width = 3, 16, 24
    z = rng.standard_normal((2, frames, height, width, 4), np.float32)
    maps = rng.standard_normal((2, frames, height, width, 8), np.float32)
    text = rng.standard_normal((2, 77, 1024), np.float32)
    t = np.array([981, 41])
    ours = run(UNET, {"params": parameters}, z, t, maps, text, np.ones((2, 77), bool))
    for i in range(frames):
        latents = torch.from_numpy(np.ascontiguousarray(z[:, i].transpose(0, 3, 1, 2)))
        with torch.no_grad():
            expected = original(latents, torch.from_numpy(t), torch.from_numpy(text)).sample
        assert difference(np.asarray(ours[:, i]), expected.permute(0, 2, 3, 1)) < BOUND


def test_original_names_are_those_of_the_stable_diffusion_checkpoint():
    """Names for this size, derived from the numbering of blocks in the checkpoint."""
    names = {entry.flax: entry.torch for entry in image_unet.original_entries(UNET)}
    theirs = {entry.flax: entry.torch for entry in image_unet.diffusers_entries(UNET)}
    assert names.keys() == theirs.keys()
    for ours, torch_name in {
        ("down_0_1_residual/conv_0/kernel",): "input_blocks.2.0.in_layers.2.weight",
        ("down_0_sample/conv/kernel",): "input_blocks.3.0.op.weight",
        ("down_2_0_residual/skip/kernel",): None,  # no skip convolution, since channels are equal
        ("middle_1_residual/time/kernel",): "middle_block.2.emb_layers.1.weight",
        ("up_2_2_residual/conv_1/kernel",): "output_blocks.2.0.out_layers.3.weight",
        ("up_2_sample/conv/kernel",): "output_blocks.2.1.conv.weight",
        ("up_1_sample/conv/kernel",): "output_blocks.5.2.conv.weight",
        ("up_0_0_spatial/in/kernel",): "output_blocks.6.1.proj_in.weight",
    }.items():
        assert names.get(ours) == torch_name
