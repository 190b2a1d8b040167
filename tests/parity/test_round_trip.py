"""PyTorch to ours and back: bit-equal tensors under the originals' names, which the originals load strictly."""

import numpy as np
import pytest
from safetensors import safe_open

from tests.parity import originals
from tests.parity.originals import VIDEOCOMPOSER, torch
from tests.parity.reduced import NETWORKS, converted
from tests.parity.test_encoders import (
    diffusers_autoencoder,
    open_clip_states,
    token_ids,
    transformers_states,
)
from vcjax.weights.convert.released import CHANNELS, RELEASED, VECTORS, bijection, convert
from vcjax.weights.convert.rules import torch_shape
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.safetensors_files import write_tensors
from vcjax.weights.torch_files import read_tensors
from vcjax.weights.trees import flatten

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("zipped", [True, False])
def test_torchs_own_files_are_read_bit_for_bit(tmp_path, zipped):
    x = torch.randn(7, 5)
    state = {
        "a": x,
        "transposed": x.t(),
        "part": x[1:, ::2],
        "short": x.bfloat16(),
        "half": x.half(),
        "count": torch.tensor(3),
        "parameter": torch.nn.Parameter(x),
        "repeated": torch.ones(1).expand(5),
    }
    torch.save({"state_dict": state, "step": 5}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    read = read_tensors(tmp_path / "x.pth")
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        assert read[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(read[name].astype(np.float64), tensor.detach().double().numpy())


def test_the_unet_makes_the_round_trip_through_files(tmp_path):
    """torch.save -> convert -> model folder -> safetensors under PyTorch's names -> load_state_dict, strictly."""
    original = originals.unet()
    torch.save(original.state_dict(), tmp_path / "unet.pth")
    convert(tmp_path / "model", unet=tmp_path / "unet.pth", networks=NETWORKS)
    config = read_config(tmp_path / "model")
    trees = {c: read_component(tmp_path / "model", config, c) for c in ("unet", "stc", "tokens")}
    write_tensors(tmp_path / "back.safetensors", bijection("unet", [], NETWORKS).to_torch(trees))

    with safe_open(tmp_path / "back.safetensors", "pt") as file:
        back = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    for name, tensor in original.state_dict().items():
        assert torch.equal(back[name], tensor), name
    fresh = originals.unet(empty_text=None)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    fresh.load_state_dict(back, strict=True)


@pytest.mark.parametrize("kind", ["autoencoder", "text"])
@pytest.mark.parametrize("layout", ["original", "library"])
def test_the_frozen_networks_make_the_round_trip(kind, layout):
    """The second layouts are those of diffusers and transformers. What has no place here is not there again."""
    if kind == "autoencoder":
        original = originals.tensors(originals.autoencoder())
        tensors = original if layout == "original" else diffusers_autoencoder()[0]
    else:
        states = open_clip_states if layout == "original" else transformers_states
        tensors = states(torch.from_numpy(token_ids()).long())[0]
    back = bijection(kind, tensors, NETWORKS).to_torch(converted(kind, tensors))
    for name, x in back.items():
        assert np.array_equal(x, tensors[name]), name
    if kind == "autoencoder":
        assert back.keys() == tensors.keys()
        if layout == "original":
            state = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in back.items()}
            originals.autoencoder().load_state_dict(state, strict=True)


def test_at_the_released_size_every_name_and_shape_is_the_originals():
    """The original is built without memory for its weights."""
    with torch.device("meta"):
        original = originals.load(VIDEOCOMPOSER, "unet_sd").UNetSD_temporal(
            cfg=originals.types.SimpleNamespace(resume=True),
            in_dim=4,
            dim=320,
            context_dim=1024,
            out_dim=4,
            dim_mult=[1, 2, 4, 4],
            num_heads=8,
            head_dim=64,
            num_res_blocks=2,
            attn_scales=[1.0, 0.5, 0.25],
            video_compositions=list(originals.ALL),
        )
    theirs = {name: tuple(x.shape) for name, x in original.state_dict().items()}
    shapes = RELEASED.shapes(CHANNELS, VECTORS)
    ours = {}
    for component, entries in bijection("unet", []).entries.items():
        named = {name: leaf.shape for name, leaf in flatten(shapes[component]).items()}
        ours |= {entry.torch: torch_shape(entry, named) for entry in entries}
    assert ours == theirs
    assert sum(int(np.prod(shape)) for shape in ours.values()) == 1_413_435_636
