"""PyTorch to ours and back: bit-equal tensors under the originals' names, which the originals load strictly."""

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
from vcjax.weights.convert.released import (
    CHANNELS,
    FILES,
    NESTED,
    RELEASED,
    VECTORS,
    bijection,
    convert,
    convert_back,
    shapes_of,
)
from vcjax.weights.convert.rules import torch_shape
from vcjax.weights.torch_files import STORAGES, read_tensors, write_tensors
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


@pytest.mark.parametrize("mapped", [True, False])
def test_torch_reads_our_files_bit_for_bit(tmp_path, mapped):
    """Every type, and shapes that end a loop early; none of it needs to be trusted."""
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


def test_the_unet_makes_the_round_trip_through_files(tmp_path):
    """torch.save -> convert -> model folder -> the released file again -> load_state_dict, strictly."""
    original = originals.unet()
    torch.save(original.state_dict(), tmp_path / "unet.pth")
    convert(tmp_path / "model", unet=tmp_path / "unet.pth", networks=NETWORKS)
    (written,) = convert_back(tmp_path / "model", tmp_path / "back")
    assert written.name == "non_ema_228000.pth"
    back = torch.load(written, weights_only=True)
    for name, tensor in original.state_dict().items():
        assert torch.equal(back[name], tensor), name
    fresh = originals.unet(empty_text=None)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    fresh.load_state_dict(back, strict=True)


def whole_clip(states):
    """Both towers in one file, as OpenCLIP's model and transformers' are."""
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
def test_the_frozen_networks_make_the_round_trip(name):
    """All comes back bit for bit. Only transformers' last norm of DPT, which depth is not made with, has no place here."""
    kind, tensors = name.split()[0], ORIGINALS[name]()
    back = bijection(kind, tensors, NETWORKS).to_torch(converted(kind, tensors))
    for tensor, x in back.items():
        assert np.array_equal(x, tensors[tensor]), tensor
    beside = {"dpt.layernorm.weight", "dpt.layernorm.bias"} if name == "depth of transformers" else set()
    assert back.keys() == tensors.keys() - beside


def strictly(module, tensors):
    """Load tensors into a module that is all zeros before."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    module.load_state_dict(tensors, strict=True)
    return module


def test_the_whole_set_loads_into_the_originals(tmp_path):
    """Made into a model folder and back again; the line network's kernels are made plain by the original's own program."""
    unfolded = originals.pidinet(NETWORKS.sketch.width, NETWORKS.sketch.dilated, folded=False)
    sets = {name: ORIGINALS[name]() for name in ("autoencoder", "clip", "depth", "cleaner")}
    sets["sketch"] = {f"module.{name}": x for name, x in originals.tensors(unfolded).items()}
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
    logit_scale = towers[0].pop("logit_scale")  # OpenCLIP's model holds it beside the towers
    assert logit_scale == sets["clip"]["logit_scale"]
    strictly(open_clip_text(), towers[0])
    strictly(open_clip_tower()[1], towers[1])

    module = originals.load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    folded = {name.removeprefix("module."): x for name, x in module.convert_pidinet(sketch, "carv4").items()}
    sizes = NETWORKS.sketch.width, NETWORKS.sketch.dilated
    back = strictly(originals.pidinet(*sizes), folded)
    strictly(
        originals.pidinet(*sizes, folded=False),
        {name.removeprefix("module."): x for name, x in sketch.items()},
    )
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32))
    with torch.no_grad():
        assert originals.difference(back(images), unfolded(images)) < 1e-5  # a few roundings


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


FROZEN = {
    "vision": ("clip", ["visual.proj"], "visual.", lambda: originals.image_tower(RELEASED.vision)),
    "depth": ("depth", [], "", lambda: originals.depth(RELEASED.depth)),
    "cleaner": ("cleaner", [], "", originals.cleaner),
}


@pytest.mark.parametrize("component", FROZEN)
def test_at_the_released_size_the_frozen_networks_have_the_originals_names_and_shapes(component, monkeypatch):
    kind, names, prefix, make = FROZEN[component]
    monkeypatch.setattr(originals, "filled", lambda module: module)
    with torch.device("meta"):
        theirs = {prefix + name: tuple(x.shape) for name, x in make().state_dict().items()}
    named = {name: leaf.shape for name, leaf in flatten(shapes_of(RELEASED, [component])[component]).items()}
    entries = bijection(kind, names).entries[component]
    assert {entry.torch: torch_shape(entry, named) for entry in entries} == theirs


def test_the_released_line_network_has_every_tensor_of_its_file(shared):
    tensors = read_tensors(shared / "weights" / "table5_pidinet.pth")
    between = bijection("sketch", tensors)
    trees = between.to_ours(tensors, shapes_of(RELEASED, ["sketch"]), "table5_pidinet.pth")
    back = between.to_torch(trees)
    assert back.keys() == tensors.keys()
    plain = [name for name in back if np.array_equal(back[name], tensors[name])]
    # all but the 12 kernels of pixel differences come back as they were
    assert len(plain) == len(tensors) - 12
