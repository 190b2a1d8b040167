import functools
import json
import re
import resource

import numpy as np
import pytest

from tests.conftest import small_unet
from vcjax.errors import BadInput
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import ImageTower, TextTower
from vcjax.models.dpt import DPT
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.weights.convert import autoencoder, dpt, image_unet, pidinet, text
from vcjax.weights.convert.released import (
    COMPONENTS,
    FILES,
    NESTED,
    bijection,
    convert,
    convert_back,
    shapes_of,
)
from vcjax.weights.convert.releases import CHANNELS, RELEASED
from vcjax.weights.convert.rules import AXES, Entry, Ignored, to_flax, to_torch, torch_shape, weight_and_bias
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import Networks, random_parameters
from vcjax.weights.torch_files import read_tensors, write_tensors
from vcjax.weights.trees import flatten

SMALL = Networks(
    unet=small_unet(channel_multipliers=(1, 2), attention_levels=(1,)),
    autoencoder=Autoencoder(base_channels=8, channel_multipliers=(1, 2), num_res_blocks=1, norm_groups=4),
    text=TextTower(vocab_size=30, layers=2, heads=2, context_length=6),
    vision=ImageTower(image_size=28, width=8, layers=1, heads=2, embed_dim=16),
    depth=DPT(image_size=32, width=8, layers=4, heads=2, neck_channels=(4, 5, 6, 7), fusion_channels=4),
    sketch=PiDiNet(base_channels=4, dilation_channels=3),
    cleaner=SketchCleaner(channels=(3,) * 22),
)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Files with the names of the release and random weights, and the parameter trees that they contain."""
    folder = tmp_path_factory.mktemp("released")
    trees = random_parameters(shapes_of(SMALL, COMPONENTS), 0)
    paths = {}
    for kind in FILES:
        tensors = bijection(kind, original_names(kind), SMALL).to_torch(trees)
        paths[kind] = folder / f"{kind}.pth"
        write_tensors(paths[kind], tensors, nested=kind in NESTED)
        if kind == "sketch":  # only some plain kernels are foldings of pixel-difference kernels
            trees |= bijection(kind, [], SMALL).to_flax(tensors, trees, kind)
    return paths, trees


def original_names(kind):
    """Return tensor names that identify the layout of a released file."""
    if kind == "clip":
        return [
            "token_embedding.weight",
            "visual.proj",
            *(entry.torch for entry in text.open_clip_rest(SMALL.text)),
        ]
    return {"autoencoder": ["first_stage_model.quant_conv.weight"]}.get(kind, [])


def assert_equal(read, tree):
    read, tree = flatten(read), flatten(tree)
    assert read.keys() == tree.keys()
    for name, x in tree.items():
        np.testing.assert_array_equal(read[name], x, err_msg=name)


OUTPUTS_FIRST = ("linear", "conv1", "conv1x1", "conv", "temporal")  # layouts in which tensors may be fused


@pytest.mark.parametrize(
    ("layout", "parts"), [*((layout, 1) for layout in AXES), *((layout, 3) for layout in OUTPUTS_FIRST)]
)
def test_layouts_are_inverted_bit_for_bit(layout, parts):
    shapes = {
        **dict.fromkeys(["conv", "transposed"], (3, 3, 4, 5)),
        "temporal": (3, 1, 4, 5),
        **dict.fromkeys(["same", "vector"], (5,)),
    }
    shape = shapes.get(layout, (4, 5))
    rng = np.random.default_rng(0)
    flat = {f"{i}": rng.standard_normal(shape, np.float32) for i in range(parts)}
    entries = [Entry("x", tuple(flat), layout)]
    tensors = to_torch(entries, flat)
    assert tensors["x"].shape == torch_shape(entries[0], dict.fromkeys(flat, shape))
    if layout in OUTPUTS_FIRST:
        assert tensors["x"].shape[0] == 5 * parts
    back = to_flax(entries, tensors, dict.fromkeys(flat, shape))
    assert back.keys() == flat.keys()
    for name, x in flat.items():
        np.testing.assert_array_equal(back[name], x)
        assert np.shares_memory(back[name], tensors["x"])  # a view: conversion needs no memory


SIZES = {
    "released": RELEASED,
    "small": SMALL,
    "deep": Networks(
        unet=small_unet(channel_multipliers=(1, 1, 3), num_res_blocks=2, attention_levels=(0, 2)),
        autoencoder=Autoencoder(
            base_channels=8, channel_multipliers=(1, 1, 2, 3), num_res_blocks=3, norm_groups=4
        ),
        text=TextTower(layers=1),
        vision=ImageTower(layers=2),
        depth=DPT(layers=8),
        sketch=PiDiNet(base_channels=30, dilation_channels=12),
        cleaner=SketchCleaner(),
    ),
}
LAYOUTS = {
    "unet": [],
    "checkpoint": ["first_stage_model.x"],
    "autoencoder": ["encoder.mid.attn_1.q.weight"],
    "diffusers": [],
    "old diffusers": ["encoder.mid_block.attentions.0.query.weight"],
    "OpenCLIP": ["token_embedding.weight", "visual.proj"],
    "transformers": [
        "text_model.embeddings.token_embedding.weight",
        "vision_model.embeddings.class_embedding",
    ],
    "transformers 5": ["embeddings.token_embedding.weight"],
    "MiDaS": [],
    "DPT of transformers": ["dpt.embeddings.cls_token"],
    "PiDiNet": [],
    "cleaner": [],
}
KINDS = {
    "unet": "unet",
    **dict.fromkeys(["OpenCLIP", "transformers", "transformers 5"], "clip"),
    **dict.fromkeys(["MiDaS", "DPT of transformers"], "depth"),
    "PiDiNet": "sketch",
    "cleaner": "cleaner",
}


@functools.cache
def sizes_shapes(size):
    return shapes_of(SIZES[size], COMPONENTS)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("file", LAYOUTS)
def test_entries_name_every_parameter_exactly_once(size, file):
    networks = SIZES[size]
    shapes = sizes_shapes(size)
    rules = bijection(KINDS.get(file, "autoencoder"), LAYOUTS[file], networks)
    for component, entries in rules.entries.items():
        flax = [name for entry in entries for name in entry.flax]
        assert sorted(flax) == sorted(flatten(shapes[component]))
    torch = [entry.torch for entries in rules.entries.values() for entry in entries]
    assert len(set(torch)) == len(torch)


def test_names_of_the_released_file():
    """Expected names are from the original's modules."""
    entries = bijection("unet", []).entries
    names = {e.torch: e.flax for component in entries.values() for e in component}
    assert names["input_blocks.1.0.temopral_conv.conv2.3.weight"] == (
        "down_0_0_residual/temporal/conv_1/kernel",
    )
    assert names["output_blocks.2.1.conv.weight"] == ("up_3_sample/conv/kernel",)
    assert names["output_blocks.5.3.conv.weight"] == ("up_2_sample/conv/kernel",)
    assert names["masked_embedding.0.weight"] == ("mask/conv_0/kernel",)
    assert "mask_embedding_after.layers.0.0.norm.weight" in names
    assert sum(len(e) for e in entries.values()) == 1574


def test_missing_unknown_and_wrongly_shaped_tensors_are_named():
    entries = [Entry("a.weight", ("a/kernel",), "linear"), Entry("a.bias", ("a/bias",))]
    shapes = {"a/kernel": (2, 3), "a/bias": (3,)}
    valid = {"a.weight": np.zeros((3, 2)), "a.bias": np.zeros(3)}

    def refused(tensors, match, ignored=()):
        with pytest.raises(BadInput, match=match):
            to_flax(entries, tensors, shapes, ignored, "x.pth")

    to_flax(entries, valid, shapes)
    refused({"a.weight": valid["a.weight"]}, r"x.pth does not hold this network: a.bias is missing")
    refused({}, r"a.weight \(and 1 more\) is missing")
    refused(valid | {"b": np.zeros(1)}, "b is unknown")
    refused(valid | {"a.weight": np.zeros((2, 3))}, r"x.pth: a.weight is \[2, 3\] and must be \[3, 2\]")
    known = [Ignored("b|c", "not needed")]
    assert to_flax(entries, valid | {"b": np.zeros(1)}, shapes, known).keys() == shapes.keys()
    refused(valid | {"bc": np.zeros(1)}, "bc is unknown", known)


@pytest.mark.parametrize(
    ("ignored", "names"),
    [
        (bijection("unet", []).ignored, ["canny_embedding.0.weight", "fps_embedding.2.bias"]),
        (
            autoencoder.IGNORED,
            [
                "model.diffusion_model.out.0.weight",
                "model_ema.decay",
                "betas",
                "alphas_cumprod",
                "alphas_cumprod_prev",
                "sqrt_alphas_cumprod",
                "sqrt_one_minus_alphas_cumprod",
                "log_one_minus_alphas_cumprod",
                "sqrt_recip_alphas_cumprod",
                "sqrt_recipm1_alphas_cumprod",
                "posterior_variance",
                "posterior_log_variance_clipped",
                "posterior_mean_coef1",
                "posterior_mean_coef2",
                "cond_stage_model.model.logit_scale",
                "scale_factor",
            ],
        ),
        (
            text.IGNORED,
            [
                "attn_mask",
                "embeddings.position_ids",
                "text_model.embeddings.position_ids",
                "vision_model.embeddings.position_ids",
            ],
        ),
        ([text.NO_IMAGE_TOWER], ["visual.conv1.weight", "vision_model.x", "visual_projection.weight"]),
        (dpt.IGNORED, ["dpt.layernorm.weight"]),
        (
            image_unet.IGNORED,
            ["first_stage_model.x", "cond_stage_model.x", "model_ema.decay", "betas", "posterior_variance"],
        ),
    ],
)
def test_further_tensors_of_released_files_are_ignored(ignored, names):
    assert all(any(re.fullmatch(i.pattern, name) for i in ignored) for name in names)
    for name in ("input_blocks.0.0.weight", "encoder.conv_in.weight", "transformer.resblocks.2.ln_1.weight"):
        assert not any(re.fullmatch(i.pattern, name) for i in ignored)


def test_released_files_are_converted_bit_for_bit(tmp_path, released):
    paths, trees = released
    folder = tmp_path / "models" / "videocomposer"
    convert(folder, **paths, tokenizer="{}", networks=SMALL)
    config = read_config(folder)
    assert {p.name for p in folder.iterdir()} == {"config.json", "tokenizer.json"} | {
        entry["file"] for entry in config["files"].values()
    }
    assert list(folder.parent.iterdir()) == [folder]
    for component, tree in trees.items():
        assert_equal(read_component(folder, config, component), tree)
    written = convert_back(folder, tmp_path / "back")
    assert [path.name for path in written] == list(FILES.values())
    for kind, path in zip(FILES, written, strict=True):
        back, original = read_tensors(path), read_tensors(paths[kind])
        assert back.keys() == original.keys()
        # pixel-difference kernels are folded and unfolded: some roundings of values around 1
        tolerance = 1e-6 if kind == "sketch" else 0.0
        for name, x in original.items():
            np.testing.assert_allclose(back[name], x, rtol=0, atol=tolerance)


def test_convert_back_skips_missing_components(tmp_path, released):
    paths, _ = released
    tensors = {name: x for name, x in read_tensors(paths["clip"]).items() if name.startswith("visual.")}
    write_tensors(tmp_path / "tower.pth", tensors)
    convert(tmp_path / "model", clip=tmp_path / "tower.pth", networks=SMALL)
    assert set(read_config(tmp_path / "model")["files"]) == {"vision"}
    (written,) = convert_back(tmp_path / "model", tmp_path / "back")
    assert read_tensors(written).keys() == tensors.keys()
    convert(tmp_path / "empty", networks=SMALL)
    with pytest.raises(BadInput, match="empty contains none of the released networks"):
        convert_back(tmp_path / "empty", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_folded_kernels_respond_to_differences_only():
    """Their weights sum to zero, so the output for a constant image is zero; and folding inverts unfolding."""
    kernels = np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32)
    names = ["module.init_block.weight", "module.block1_1.conv1.weight", "module.block1_2.conv1.weight"]
    folded = pidinet.fold(dict.fromkeys([*names, "module.block1_3.conv1.weight"], kernels))
    np.testing.assert_array_equal(folded.pop("module.block1_3.conv1.weight"), kernels)
    assert [folded[name].shape[-1] for name in names] == [3, 3, 5]
    for name, kernel in folded.items():
        assert np.abs(kernel).max() > 0.1
        np.testing.assert_allclose(kernel.sum((2, 3)), 0, atol=1e-5)
        again = pidinet.fold(pidinet.unfold(folded))[name]
        np.testing.assert_allclose(again, kernel, atol=1e-6)  # some roundings of values around 1


def test_the_unet_is_initialised_from_an_image_unet(tmp_path):
    """All tensors of a full checkpoint with the original names are copied; the rest have initial values."""
    names = ["time_embed.0.weight"]
    entries = image_unet.entries_for(SMALL.unet, names)
    shapes = {name: leaf.shape for name, leaf in flatten(shapes_of(SMALL, ["unet"])["unet"]).items()}
    shapes[image_unet.CONV_IN] = (3, 3, 4, SMALL.unet.base_channels)
    rng = np.random.default_rng(0)
    tensors = {e.torch: rng.standard_normal(torch_shape(e, shapes)).astype(np.float32) for e in entries}
    content = {f"{image_unet.PREFIX}{name}": x for name, x in tensors.items()}
    others = {"first_stage_model.x": np.ones(1, np.float32)}
    write_tensors(tmp_path / "sd.ckpt", content | others, nested=True)
    convert(tmp_path / "model", image_unet=tmp_path / "sd.ckpt", networks=SMALL)
    config = read_config(tmp_path / "model")
    assert set(config["files"]) == {"unet", "stc", "tokens"}
    unet = flatten(read_component(tmp_path / "model", config, "unet"))
    entry = np.asarray(unet.pop(image_unet.CONV_IN))
    np.testing.assert_array_equal(entry[:, :, :4], tensors["input_blocks.0.0.weight"].transpose(2, 3, 1, 0))
    assert not entry[:, :, 4:].any()
    copied = {name for e in entries for name in e.flax}
    assert all("temporal" in name for name in unet.keys() - copied)
    for name in unet.keys() - copied:
        if re.search(r"temporal/(conv_3|out)/", name):
            assert not np.asarray(unet[name]).any(), name
    with pytest.raises(BadInput, match="exclude each other"):
        convert(
            tmp_path / "model", image_unet=tmp_path / "sd.ckpt", unet=tmp_path / "sd.ckpt", networks=SMALL
        )


def test_components_are_added_to_a_folder(tmp_path, released):
    paths, trees = released
    folder = tmp_path / "model"
    convert(folder, unet=paths["unet"], networks=SMALL)
    assert set(read_config(folder)["files"]) == {"unet", "stc", "tokens"}
    before = (folder / "unet.safetensors").stat().st_mtime_ns
    convert(folder, autoencoder=paths["autoencoder"], dtype="bfloat16", networks=SMALL)
    config = read_config(folder)
    assert set(config["files"]) == {"unet", "stc", "tokens", "autoencoder"}
    assert (folder / "unet.safetensors").stat().st_mtime_ns == before
    short = flatten(read_component(folder, config, "autoencoder"))
    for name, x in flatten(trees["autoencoder"]).items():
        assert short[name].dtype == "bfloat16"
        np.testing.assert_allclose(np.float32(short[name]), x, rtol=2**-8)
    assert_equal(read_component(folder, config, "unet"), trees["unet"])


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_wrong_file_changes_nothing(tmp_path, released):
    paths, _ = released
    folder = tmp_path / "model"
    with pytest.raises(BadInput, match=r"autoencoder.pth does not hold this network: time_embed.0.weight"):
        convert(folder, unet=paths["autoencoder"], networks=SMALL)
    assert not folder.exists()
    convert(folder, **paths, networks=SMALL)
    before = snapshot(tmp_path)
    with pytest.raises(BadInput, match=r"unet.pth does not hold this network: token_embedding.weight"):
        convert(folder, unet=paths["unet"], clip=paths["unet"], networks=SMALL)
    with pytest.raises(BadInput, match="holds a model of other sizes"):
        convert(folder, **paths)
    with pytest.raises(BadInput, match="float32 or bfloat16, not int8"):
        convert(folder, dtype="int8", networks=SMALL)
    assert snapshot(tmp_path) == before


def test_a_full_disk_changes_nothing(tmp_path, released):
    paths, _ = released
    folder = tmp_path / "model"
    convert(folder, **paths, networks=SMALL)
    before = snapshot(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # writes fail as on a full disk
    try:
        with pytest.raises(BadInput, match=r"safetensors cannot be written \(File too large\)"):
            convert(folder, **paths, networks=SMALL)
        with pytest.raises(BadInput, match="cannot be written"):
            convert(tmp_path / "new", **paths, networks=SMALL)
        with pytest.raises(BadInput, match=r"non_ema_228000.pth cannot be written \(File too large\)"):
            convert_back(folder, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_the_configuration_is_that_of_the_released_model(tmp_path):
    config = json.loads(json.dumps(convert(tmp_path / "model", tokenizer="{}")))
    assert config["clip"] == {"frames": 16, "height": 256, "width": 256, "fps": 4.0}
    assert set(config["conditions"]) == {"text", "style", *CHANNELS}
    assert config["conditions"]["motion"] == {"form": "centre", "bit_rate": 200_000, "gop": 12}
    assert config["networks"]["unet"]["base_channels"] == 320
    assert config["files"] == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(value):
    tensors = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.float32([0, value])}
    shapes = {"a/kernel": (3, 2), "a/bias": (2,)}
    with pytest.raises(BadInput, match=r"x\.pth: a\.bias holds NaN or infinity"):
        to_flax(weight_and_bias("a", "a", "linear"), tensors, shapes, source="x.pth")
