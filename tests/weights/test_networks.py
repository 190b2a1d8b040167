"""Sizes of networks and conditions in config.json: what makes no network, or one of garbage, is named."""

import json
import math
import shutil
from importlib import resources

import pytest

import vcjax
from vcjax.conditions.catalogue import conditions_from_config
from vcjax.errors import BadInput
from vcjax.weights.folder import read_config, write_component, write_config
from vcjax.weights.networks import Networks, networks_from_config, networks_to_config


@pytest.mark.parametrize(
    ("component", "field", "value"),
    [
        ("unet", "num_res_blocks", 0),
        ("unet", "channel_multipliers", []),
        ("unet", "channel_multipliers", [1, 0]),
        ("unet", "norm_groups", 0),
        ("unet", "head_dim", 0),
        ("unet", "base_channels", -32),
        ("unet", "base_channels", 10**12),
        ("unet", "dropout", math.nan),
        ("unet", "attention_levels", [-1]),
        ("autoencoder", "num_res_blocks", 0),
        ("autoencoder", "channel_multipliers", []),
        ("autoencoder", "scaling_factor", 0.0),
        ("autoencoder", "scaling_factor", math.nan),
        ("autoencoder", "scaling_factor", math.inf),
        ("autoencoder", "patch_size", 0),
        ("stc", "heads", 0),
        ("tokens", "vector_tokens", 0),
        ("text", "layers", 0),
        ("vision", "patch_size", 0),
        ("depth", "patch_size", 0),
        ("depth", "neck_channels", []),
        ("cleaner", "std", 0.0),
    ],
)
def test_a_size_of_zero_or_nan_is_named(component, field, value):
    with pytest.raises(BadInput, match=rf"networks\.{component}\.{field} must") as raised:
        networks_from_config({component: {field: value}})
    assert len(str(raised.value)) < 150


def test_every_default_is_a_size():
    everything = {**networks_to_config(Networks()), "cleaner": {"mean": -0.5}, "depth": {}, "vision": {}}
    assert networks_from_config(json.loads(json.dumps(everything))).cleaner.mean == -0.5


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("depth", "scale", 0.0),
        ("depth", "scale", math.nan),
        ("motion", "bit_rate", -1),
        ("style", "embed_dim", 0),
    ],
)
def test_a_setting_of_a_condition_that_is_no_size_is_named(name, field, value):
    with pytest.raises(BadInput, match=rf"conditions\.{name}\.{field} must be"):
        conditions_from_config({name: {field: value}})


def test_tensors_that_the_network_does_not_have_are_found_where_files_are_verified(tmp_path):
    folder = shutil.copytree(str(resources.files("vcjax") / "builtin" / "tiny"), tmp_path / "model")
    config = read_config(folder)
    tokens = vcjax.load(folder).parameters("tokens")
    config["files"]["tokens"] = write_component(folder, "tokens", {**tokens, "more": tokens})
    write_config(folder, config)
    assert "more" in vcjax.load(folder).parameters("tokens")
    with pytest.raises(BadInput, match=r"tokens in .* is not the network that config\.json describes: more/"):
        vcjax.load(folder, verify=True).parameters("tokens")
