"""The later releases, TF-T2V and VideoLCM: random weights in their layout load, run, and come back bit-equal."""

import dataclasses

import numpy as np
import pytest

import vcjax
from tests.conftest import run
from tests.weights.test_convert import SMALL
from vcjax.composer.completion import complete_request
from vcjax.composer.loading import folder_of
from vcjax.composer.model_config import model_from_config
from vcjax.errors import BadInput
from vcjax.weights.convert.released import bijection, convert, convert_back, shapes_of
from vcjax.weights.convert.releases import NEGATIVE_PROMPT, RELEASED, RELEASES, configuration, release_named
from vcjax.weights.networks import random_parameters
from vcjax.weights.torch_files import read_tensors, write_tensors

LATER = [pytest.param("tf-t2v", marks=pytest.mark.slow), "videolcm"]  # of the same networks
NETWORKS = dataclasses.replace(
    SMALL,
    vision=SMALL.vision.clone(embed_dim=1024, image_size=224),
    text=SMALL.text.clone(width=16, context_length=77, vocab_size=49408),
    tokens=SMALL.tokens.clone(token_dim=16, vector_tokens=4),
)


def parts(release):
    """Networks of a release in small, and random parameters of the file with its UNet."""
    networks = release_named(release).networks(NETWORKS)
    return networks, random_parameters(
        shapes_of(networks, ("unet", "stc", "tokens", "text", "autoencoder")), 0
    )


@pytest.fixture(scope="module", params=LATER)
def converted(request, tmp_path_factory):
    """A release, its files, and the model folder made of them."""
    release, folder = RELEASES[request.param], tmp_path_factory.mktemp(request.param)
    networks, trees = parts(release.name)
    paths = {
        "unet": folder / release.unet,
        "autoencoder": folder / "autoencoder.ckpt",
        "clip": folder / "clip.bin",
    }
    names = {"autoencoder": ["first_stage_model.quant_conv.weight"], "clip": ["token_embedding.weight"]}
    for kind, path in paths.items():
        tensors = bijection(kind, names.get(kind, []), networks).to_torch(trees)
        write_tensors(path, tensors, nested=kind == "autoencoder")
    tokenizer = (folder_of("tiny") / "tokenizer.json").read_text("utf-8")
    convert(folder / "model", release=release.name, tokenizer=tokenizer, networks=NETWORKS, **paths)
    return release, paths, folder / "model"


def test_the_folder_describes_the_release(converted):
    release, _, folder = converted
    composer = vcjax.load(str(folder))
    assert composer.name == release.name
    assert (composer.prediction, composer.schedule.zero_terminal_snr) == ("v", True)
    assert (composer.shape.height, composer.shape.width, composer.shape.fps) == (256, 448, 3)
    for name in ("image", "depth", "mask", "sketch"):
        assert composer.conditions[name].size(composer.shape) == (256, 448)
    request = complete_request(composer.request(text="a boat"), composer)
    if release.name == "videolcm":  # four steps of one branch
        assert (request.sampler, request.steps, request.branches) == ("lcm", 4, (("text",),))
    else:
        assert (request.sampler, request.steps, request.guidance) == ("ddim", 50, (9.0,))


def test_text_has_its_suffix_and_none_is_the_negative_prompt(converted):
    release, _, folder = converted
    composer = vcjax.load(str(folder))
    text = composer.conditions["text"]
    suffix = release.config["conditions"]["text"]["suffix"]
    np.testing.assert_array_equal(
        text.read("a boat", composer.shape, composer.functions), composer.tokenize(f"a boat{suffix}")
    )
    null = composer.functions["text"](composer.tokenize(NEGATIVE_PROMPT))
    np.testing.assert_array_equal(composer.null("text"), null)
    assert np.abs(null - composer.functions["text"](composer.tokenize(""))).max() > 1e-3


def test_a_style_is_four_tokens_and_steers_the_video(converted):
    _, _, folder = converted
    composer = vcjax.load(str(folder))
    style = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
    arguments = {"text": "a boat", "frames": 2, "size": (64, 64), "steps": 2}
    plain = composer(**arguments).frames
    styled = composer(**arguments, style=style).frames
    assert styled.shape == (2, 64, 64, 3)
    assert np.abs(styled.astype(int) - plain).mean() > 0.1
    networks, trees = composer.networks, composer.parameters("tokens")
    embeddings = {"text": np.zeros((1, 77, 16), np.float32), "style": style[None]}
    present = {name: np.ones(1, bool) for name in embeddings}
    tokens, mask = run(networks.tokens, {"params": trees}, embeddings, present)
    assert tokens.shape == (1, 77 + 4, 16)
    assert mask.all()
    hidden = style @ np.asarray(trees["style_0"]["kernel"]) + np.asarray(trees["style_0"]["bias"])
    expected = hidden / (1 + np.exp(-hidden)) @ np.asarray(trees["style_1"]["kernel"])
    expected += np.asarray(trees["style_1"]["bias"])
    np.testing.assert_allclose(tokens[0, 77:], expected.reshape(4, 16), atol=1e-4, rtol=1e-4)


def test_files_come_back_bit_equal_under_their_names(converted, tmp_path):
    release, paths, folder = converted
    convert_back(folder, tmp_path)
    expected, found = read_tensors(paths["unet"]), read_tensors(tmp_path / release.unet)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def test_a_file_of_another_release_is_refused(converted, tmp_path):
    _, paths, folder = converted
    with pytest.raises(BadInput, match="pre_image_condition"):
        convert(tmp_path / "model", networks=NETWORKS, unet=paths["unet"])
    assert not (tmp_path / "model").exists()
    with pytest.raises(BadInput, match="another folder"):
        convert(folder, networks=NETWORKS, autoencoder=paths["autoencoder"])
    with pytest.raises(BadInput, match="release must be one of videocomposer, tf-t2v, videolcm, not 'svd'"):
        convert(folder, release="svd", networks=NETWORKS, unet=paths["unet"])


@pytest.mark.parametrize("name", RELEASES)
def test_the_released_sizes_are_valid_models(name):

    release = RELEASES[name]
    networks = release.networks(RELEASED)
    spec = model_from_config(configuration(release, networks), "config.json")
    tokens = spec.networks.shapes({}, {"style": 1024}, ["tokens"])["tokens"]
    assert tokens["style_1"]["kernel"].shape == (1024, release.vector_tokens * 1024)
