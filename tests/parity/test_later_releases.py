"""Parity with the UNets of TF-T2V and VideoLCM, whose code is not on PyPI: set VGEN to a checkout of ali-vilab/VGen."""

import importlib
import os
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import ALL, INPUTS, channels_first, channels_last, difference, torch
from tests.parity.reduced import NETWORKS
from vcjax.weights.convert.released import bijection, shapes_of
from vcjax.weights.convert.releases import CHANNELS, release_named

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif("VGEN" not in os.environ, reason="set VGEN to a checkout of ali-vilab/VGen"),
]
BOUND = 1e-4  # of the standard deviation
CLASSES = {"tf-t2v": ("unet_tf2tv", "UNetSD_TFT2V"), "videolcm": ("unet_videolcm", "UNetSD_VideoLCM")}
FRAMES, SIDE = 3, (8, 12)  # of the latent


def attention(query, key, value, attn_bias=None, op=None):
    """xformers' memory_efficient_attention of [B, N, D]."""
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)


@pytest.fixture(scope="module")
def modules():
    """Import modules of VGen by name, with stubs of what is not needed."""
    root, stubs = os.environ["VGEN"], {}
    for name, attributes in {
        "xformers": {},
        "xformers.ops": {"memory_efficient_attention": attention},
        "open_clip": {},
        "rotary_embedding_torch": {"RotaryEmbedding": None},
        "fairscale": {},
        "fairscale.nn": {},
        "fairscale.nn.checkpoint": {"checkpoint_wrapper": lambda module: module},
        "tools": {"__path__": [f"{root}/tools"]},
        "tools.modules": {"__path__": [f"{root}/tools/modules"]},
        "tools.modules.unet": {"__path__": [f"{root}/tools/modules/unet"]},
        "utils": {"__path__": [f"{root}/utils"]},
    }.items():
        stubs[name] = types.ModuleType(name)
        stubs[name].__dict__.update(attributes)
    stubs["xformers"].ops = stubs["xformers.ops"]
    before = dict(sys.modules)
    sys.modules.update(stubs)
    yield lambda name: importlib.import_module(f"tools.modules.unet.{name}")
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


@pytest.mark.parametrize("name", CLASSES)
def test_the_network_with_all_conditions_equals_the_original(modules, name):
    file, cls = CLASSES[name]
    sizes = NETWORKS.unet
    height, width = (8 * side for side in SIDE)
    original = getattr(modules(file), cls)(
        config=types.SimpleNamespace(video_compositions=list(ALL), resolution=[width, height]),
        in_dim=4, dim=sizes.base_channels, y_dim=1024, context_dim=1024, out_dim=4,
        dim_mult=list(sizes.channel_multipliers), num_heads=sizes.num_input_heads, head_dim=sizes.head_dim,
        num_res_blocks=sizes.num_res_blocks, attn_scales=[2.0**-level for level in sizes.attention_levels],
        dropout=0.1, num_tokens=4, training=False,
    )  # fmt: skip
    original = originals.filled(original)
    networks = release_named(name).networks(NETWORKS)
    rules = bijection("unet", [], networks)
    trees = rules.to_flax(originals.tensors(original), shapes_of(networks, rules.entries), "the original")

    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, FRAMES, *SIDE, 4), np.float32)
    t = np.array([17, 999])
    text = rng.standard_normal((2, 77, 1024), np.float32)
    style = rng.standard_normal((2, 1024), np.float32)
    maps = {
        key: rng.random((2, FRAMES, height, width, channels), np.float32)
        for key, channels in CHANNELS.items()
    }
    with torch.no_grad():
        expected = original(
            channels_first(z), torch.from_numpy(t), y=torch.from_numpy(text), image=torch.from_numpy(style)[:, None],
            **{INPUTS[key]: channels_first(x) for key, x in maps.items()},
        )  # fmt: skip

    embeddings = {"text": text, "style": style}
    present = {key: np.ones(2, bool) for key in embeddings}
    tokens, mask = run(networks.tokens, {"params": trees["tokens"]}, embeddings, present)
    total = jnp.zeros((2, FRAMES, *SIDE, 8))
    for key, x in maps.items():
        total = total + run(networks.stc, {"params": trees["stc"][key]}, x, SIDE)
    out = run(networks.unet, {"params": trees["unet"]}, z, t, total, tokens, mask)
    assert difference(out, channels_last(expected)) < BOUND
