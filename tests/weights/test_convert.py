import functools
import json
import re
import resource

import numpy as np
import pytest

from tests.conftest import small_unet
from tests.weights.torch_writer import plain, write_zip
from vcjax.errors import BadInput
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import TextTower
from vcjax.weights.convert import autoencoder, text
from vcjax.weights.convert.released import CHANNELS, RELEASED, VECTORS, bijection, convert
from vcjax.weights.convert.rules import AXES, Entry, Ignored, to_ours, to_torch, torch_shape
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import Networks, random_parameters
from vcjax.weights.torch_files import read_tensors
from vcjax.weights.trees import flatten

SMALL = Networks(
    unet=small_unet(multipliers=(1, 2), attention_levels=(1,)),
    autoencoder=Autoencoder(width=8, multipliers=(1, 2), blocks=1, groups=4),
    text=TextTower(vocabulary=30, layers=2, heads=2, length=6),
)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Files under the originals' names, with random weights, and the trees that they were made of."""
    folder = tmp_path_factory.mktemp("released")
    trees = random_parameters(SMALL.shapes(CHANNELS, VECTORS), 0)
    paths = {}
    for kind in ("unet", "autoencoder", "text"):
        tensors = bijection(kind, original_names(kind), SMALL).to_torch(trees)
        content = {name: plain(np.asarray(x)) for name, x in tensors.items()}
        paths[kind] = folder / f"{kind}.pth"
        write_zip(paths[kind], {"state_dict": content} if kind == "autoencoder" else content)
    return paths, trees


def original_names(kind):
    """A name by which each of the released files is known."""
    return {"autoencoder": ["first_stage_model.quant_conv.weight"]}.get(kind, [])


def equal(read, tree):
    read, tree = flatten(read), flatten(tree)
    assert read.keys() == tree.keys()
    for name, x in tree.items():
        np.testing.assert_array_equal(read[name], x, err_msg=name)


@pytest.mark.parametrize("layout", AXES)
@pytest.mark.parametrize("parts", [1, 3])
def test_a_layout_and_back_is_bit_for_bit(layout, parts):
    shape = {"conv": (3, 3, 4, 5), "temporal": (3, 1, 4, 5), "same": (5,)}.get(layout, (4, 5))
    rng = np.random.default_rng(0)
    flat = {f"{i}": rng.standard_normal(shape, np.float32) for i in range(parts)}
    entries = [Entry("x", tuple(flat), layout)]
    tensors = to_torch(entries, flat)
    assert tensors["x"].shape == torch_shape(entries[0], dict.fromkeys(flat, shape))
    assert tensors["x"].shape[0] == 5 * parts  # PyTorch puts outputs first
    back = to_ours(entries, tensors, dict.fromkeys(flat, shape))
    assert back.keys() == flat.keys()
    for name, x in flat.items():
        np.testing.assert_array_equal(back[name], x)
        assert np.shares_memory(back[name], tensors["x"])  # a view: converting takes no memory


SIZES = {
    "released": RELEASED,
    "small": SMALL,
    "deep": Networks(
        unet=small_unet(multipliers=(1, 1, 3), blocks=2, attention_levels=(0, 2)),
        autoencoder=Autoencoder(width=8, multipliers=(1, 1, 2, 3), blocks=3, groups=4),
        text=TextTower(layers=1),
    ),
}
FILES = {
    "unet": [],
    "checkpoint": ["first_stage_model.x"],
    "autoencoder": ["encoder.mid.attn_1.q.weight"],
    "diffusers": [],
    "old diffusers": ["encoder.mid_block.attentions.0.query.weight"],
    "OpenCLIP": [],
    "transformers": ["text_model.embeddings.token_embedding.weight"],
    "transformers 5": ["embeddings.token_embedding.weight"],
}
KINDS = {"unet": "unet", "OpenCLIP": "text", "transformers": "text", "transformers 5": "text"}


@functools.cache
def shapes_of(size):
    return SIZES[size].shapes(CHANNELS, VECTORS)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("file", FILES)
def test_entries_name_every_tensor_of_ours_exactly_once(size, file):
    networks = SIZES[size]
    shapes = shapes_of(size)
    between = bijection(KINDS.get(file, "autoencoder"), FILES[file], networks)
    for component, entries in between.entries.items():
        ours = [name for entry in entries for name in entry.ours]
        assert sorted(ours) == sorted(flatten(shapes[component]))
    theirs = [entry.torch for entries in between.entries.values() for entry in entries]
    assert len(set(theirs)) == len(theirs)


def test_names_of_the_released_file():
    """Taken from the original's own modules."""
    entries = bijection("unet", []).entries
    names = {e.torch: e.ours for component in entries.values() for e in component}
    assert names["input_blocks.1.0.temopral_conv.conv2.3.weight"] == (
        "down_0_0_residual/temporal/conv_1/kernel",
    )
    assert names["output_blocks.2.1.conv.weight"] == ("up_3_sample/conv/kernel",)
    assert names["output_blocks.5.3.conv.weight"] == ("up_2_sample/conv/kernel",)
    assert names["masked_embedding.0.weight"] == ("mask/conv_0/kernel",)
    assert "mask_embedding_after.layers.0.0.norm.weight" in names
    assert sum(len(e) for e in entries.values()) == 1574


def test_missing_unknown_and_misshapen_tensors_are_named():
    entries = [Entry("a.weight", ("a/kernel",), "linear"), Entry("a.bias", ("a/bias",))]
    shapes = {"a/kernel": (2, 3), "a/bias": (3,)}
    right = {"a.weight": np.zeros((3, 2)), "a.bias": np.zeros(3)}

    def refused(tensors, match, ignored=()):
        with pytest.raises(BadInput, match=match):
            to_ours(entries, tensors, shapes, ignored, "x.pth")

    to_ours(entries, right, shapes)
    refused({"a.weight": right["a.weight"]}, r"x.pth does not hold this network: a.bias is missing")
    refused({}, r"a.weight \(and 1 more\) is missing")
    refused(right | {"b": np.zeros(1)}, "b is unknown")
    refused(right | {"a.weight": np.zeros((2, 3))}, r"x.pth: a.weight is \[2, 3\] and must be \[3, 2\]")
    known = [Ignored("b|c", "they have no place here")]
    assert to_ours(entries, right | {"b": np.zeros(1)}, shapes, known).keys() == shapes.keys()
    refused(right | {"bc": np.zeros(1)}, "bc is unknown", known)


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
            text.ignored_for(RELEASED.text),
            [
                "visual.conv1.weight",
                "text_projection",
                "logit_scale",
                "transformer.resblocks.23.ln_1.weight",
                "attn_mask",
                "text_model.encoder.layers.23.mlp.fc1.bias",
                "vision_model.embeddings.class_embedding",
                "text_model.embeddings.position_ids",
                "text_projection.weight",
            ],
        ),
    ],
)
def test_what_released_files_carry_beside_the_networks_is_written_down(ignored, names):
    assert all(any(re.fullmatch(i.pattern, name) for i in ignored) for name in names)
    for name in ("input_blocks.0.0.weight", "encoder.conv_in.weight", "transformer.resblocks.2.ln_1.weight"):
        assert not any(re.fullmatch(i.pattern, name) for i in ignored)


def test_released_files_become_a_model_folder_bit_for_bit(tmp_path, released):
    paths, trees = released
    folder = tmp_path / "models" / "videocomposer"
    convert(folder, **paths, tokenizer="{}", networks=SMALL)
    config = read_config(folder)
    assert {p.name for p in folder.iterdir()} == {"config.json", "tokenizer.json"} | {
        entry["file"] for entry in config["files"].values()
    }
    assert list(folder.parent.iterdir()) == [folder]
    for component, tree in trees.items():
        equal(read_component(folder, config, component), tree)
    kinds = [bijection(kind, original_names(kind), SMALL) for kind in paths]
    for between, path in zip(kinds, paths.values(), strict=True):
        back, original = between.to_torch(trees), read_tensors(path)
        assert back.keys() == original.keys()
        for name, x in original.items():
            np.testing.assert_array_equal(back[name], x)


def test_a_folder_is_completed_and_replaced_piece_by_piece(tmp_path, released):
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
    equal(read_component(folder, config, "unet"), trees["unet"])


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
        convert(folder, unet=paths["unet"], text=paths["unet"], networks=SMALL)
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
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, limits[1])
    )  # the system refuses as it does on a full disk
    try:
        with pytest.raises(BadInput, match=r"safetensors cannot be written \(File too large\)"):
            convert(folder, **paths, networks=SMALL)
        with pytest.raises(BadInput, match="cannot be written"):
            convert(tmp_path / "new", **paths, networks=SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_the_configuration_is_the_released_models(tmp_path):
    config = json.loads(json.dumps(convert(tmp_path / "model", tokenizer="{}")))
    assert config["clip"] == {"frames": 16, "height": 256, "width": 256, "fps": 4.0}
    assert set(config["conditions"]) == {"text", "style", *CHANNELS}
    assert config["conditions"]["motion"] == {"form": "centre", "bit_rate": 200_000, "gop": 12}
    assert config["networks"]["unet"]["width"] == 320
    assert config["files"] == {}
