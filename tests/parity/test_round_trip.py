"""Conversion from PyTorch and back: bit-equal tensors with the originals' names, loaded with strict=True."""

import numpy as np
import pytest

from tests.parity import originals
from tests.parity.originals import VIDEOCOMPOSER, torch
from tests.parity.reduced import NETWORKS, converted
from tests.parity.test_encoders import (
    diffusers_autoencoder,
    open_clip_states,
    open_clip_text,
    token_ids,
    transformers_states,
)
from tests.parity.test_extraction_networks import (
    open_clip_tower,
    original_depth,
    transformers_depth,
    transformers_tower,
)
from vcjax.weights.convert.released import FILES, NESTED, bijection, convert, convert_back, shapes_of
from vcjax.weights.convert.releases import CHANNELS, RELEASED, VECTORS
from vcjax.weights.convert.rules import torch_shape
from vcjax.weights.torch_files import STORAGES, read_tensors, write_tensors
from vcjax.weights.trees import flatten

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_are_read_bit_for_bit(tmp_path, zipped):
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


@pytest.mark.parametrize("mapped", [True, False])
def test_torch_reads_written_files_bit_for_bit(tmp_path, mapped):
    """All types and unusual shapes, with weights_only=True."""
    numbers = np.random.default_rng(0).integers(0, 2, (3, 5))
    tensors = {name: numbers.astype(dtype) for name, dtype in STORAGES.items()}
    tensors |= {"transposed": numbers.T, "number": np.float32(2.5), "empty": numbers[:0]}
    write_tensors(tmp_path / "x.pth", tensors)
    read = torch.load(tmp_path / "x.pth", weights_only=True, mmap=mapped)
    assert list(read) == list(tensors)
    for name, x in tensors.items():
        assert read[name].shape == x.shape
        assert read[name].is_contiguous()
        np.testing.assert_array_equal(read[name].double().numpy(), x.astype(np.float64))
    for name in STORAGES:
        assert str(read[name].dtype).removeprefix("torch.") == tensors[name].dtype.name


def test_unet_round_trip_through_files(tmp_path):
    """torch.save, convert, convert_back, load_state_dict with strict=True."""
    original = originals.unet()
    torch.save(original.state_dict(), tmp_path / "unet.pth")
    convert(tmp_path / "model", unet=tmp_path / "unet.pth", networks=NETWORKS)
    (written,) = convert_back(tmp_path / "model", tmp_path / "back")
    assert written.name == "non_ema_228000.pth"
    back = torch.load(written, weights_only=True)
    for name, tensor in original.state_dict().items():
        assert torch.equal(back[name], tensor), name
    restored = originals.unet(empty_text=None)
    with torch.no_grad():
        for parameter in restored.parameters():
            parameter.zero_()
    restored.load_state_dict(back, strict=True)


def whole_clip(states):
    """Return the tensors of both towers, as in the files of OpenCLIP and transformers."""
    tower = open_clip_tower if states is open_clip_states else transformers_tower
    tensors = states(torch.from_numpy(token_ids()).long())[0]
    if states is transformers_states:
        tensors = {f"text_model.{name}": x for name, x in tensors.items()}
        tensors["text_projection.weight"] = np.random.default_rng(0).random((1024, 1024), np.float32)
    return {**tensors, **tower()[0], "logit_scale": np.float32([4.6]).reshape(())}


ORIGINALS = {
    "autoencoder": lambda: originals.tensors(originals.autoencoder()),
    "autoencoder of diffusers": lambda: diffusers_autoencoder()[0],
    "clip": lambda: whole_clip(open_clip_states),
    "clip of transformers": lambda: whole_clip(transformers_states),
    "depth": lambda: originals.tensors(original_depth()[0]),
    "depth of transformers": lambda: originals.tensors(transformers_depth()[0]),
    "cleaner": lambda: originals.tensors(originals.cleaner()),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_frozen_networks_round_trip(name):
    """All tensors are restored bit for bit, except the last norm of DPT in transformers, which is unused."""
    kind, tensors = name.split()[0], ORIGINALS[name]()
    back = bijection(kind, tensors, NETWORKS).to_torch(converted(kind, tensors))
    for tensor, x in back.items():
        assert np.array_equal(x, tensors[tensor]), tensor
    unused = {"dpt.layernorm.weight", "dpt.layernorm.bias"} if name == "depth of transformers" else set()
    assert back.keys() == tensors.keys() - unused


def strictly(module, tensors):
    """Load tensors into a module with strict=True, after setting its parameters to zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    module.load_state_dict(tensors, strict=True)
    return module


def test_all_frozen_networks_load_into_the_originals(tmp_path):
    """After convert and convert_back; PiDiNet is also compared after the original's `convert_pidinet`."""
    sizes = NETWORKS.sketch.base_channels, NETWORKS.sketch.dilation_channels
    pidinet = originals.pidinet(*sizes, converted=False)
    sets = {name: ORIGINALS[name]() for name in ("autoencoder", "clip", "depth", "cleaner")}
    sets["sketch"] = {f"module.{name}": x for name, x in originals.tensors(pidinet).items()}
    for name, tensors in sets.items():
        state = {key: torch.from_numpy(np.array(x)) for key, x in tensors.items()}
        torch.save({"state_dict": state}, tmp_path / f"{name}.pth")
    convert(tmp_path / "model", networks=NETWORKS, **{name: tmp_path / f"{name}.pth" for name in sets})
    written = convert_back(tmp_path / "model", tmp_path / "back")
    assert {path.name for path in written} == {FILES[name] for name in sets}
    files = {name: torch.load(tmp_path / "back" / FILES[name], weights_only=True) for name in sets}
    assert {name for name, content in files.items() if "state_dict" in content} == set(NESTED)
    autoencoder, clip, depth, cleaner, sketch = (x.get("state_dict", x) for x in files.values())

    prefix = "first_stage_model."
    strictly(originals.autoencoder(), {name.removeprefix(prefix): x for name, x in autoencoder.items()})
    strictly(original_depth()[0], depth)
    strictly(originals.cleaner(), cleaner)
    towers = [{}, {}]
    for name, x in clip.items():
        towers[name.startswith("visual.")][name.removeprefix("visual.")] = x
    logit_scale = towers[0].pop("logit_scale")  # in OpenCLIP a parameter of the model, not of a tower
    assert logit_scale == sets["clip"]["logit_scale"]
    strictly(open_clip_text(), towers[0])
    strictly(open_clip_tower()[1], towers[1])

    module = originals.load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    plain = {name.removeprefix("module."): x for name, x in module.convert_pidinet(sketch, "carv4").items()}
    restored = strictly(originals.pidinet(*sizes), plain)
    strictly(
        originals.pidinet(*sizes, converted=False),
        {name.removeprefix("module."): x for name, x in sketch.items()},
    )
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32))
    with torch.no_grad():
        assert originals.difference(restored(images), pidinet(images)) < 1e-5  # rounding errors


def test_released_unet_has_the_originals_names_and_shapes():
    """The original is built on the meta device, without memory for its weights."""
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


FROZEN = {
    "vision": ("clip", ["visual.proj"], "visual.", lambda: originals.image_tower(RELEASED.vision)),
    "depth": ("depth", [], "", lambda: originals.depth(RELEASED.depth)),
    "cleaner": ("cleaner", [], "", originals.cleaner),
}


@pytest.mark.parametrize("component", FROZEN)
def test_released_frozen_networks_have_the_originals_names_and_shapes(component, monkeypatch):
    kind, names, prefix, build = FROZEN[component]
    monkeypatch.setattr(originals, "filled", lambda module: module)
    with torch.device("meta"):
        theirs = {prefix + name: tuple(x.shape) for name, x in build().state_dict().items()}
    named = {name: leaf.shape for name, leaf in flatten(shapes_of(RELEASED, [component])[component]).items()}
    entries = bijection(kind, names).entries[component]
    assert {entry.torch: torch_shape(entry, named) for entry in entries} == theirs


def test_released_pidinet_round_trip_has_every_tensor_of_its_file(shared):
    tensors = read_tensors(shared / "weights" / "table5_pidinet.pth")
    rules = bijection("sketch", tensors)
    trees = rules.to_flax(tensors, shapes_of(RELEASED, ["sketch"]), "table5_pidinet.pth")
    back = rules.to_torch(trees)
    assert back.keys() == tensors.keys()
    unchanged = [name for name in back if np.array_equal(back[name], tensors[name])]
    # All but the 12 kernels of pixel difference convolutions are bit-equal.
    assert len(unchanged) == len(tensors) - 12
