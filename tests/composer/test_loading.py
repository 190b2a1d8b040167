import json
import shutil
from importlib import resources
from pathlib import Path

import jax
import numpy as np
import pytest

import vcjax
from vcjax.data.sprites.tokenizer import sprites_tokenizer
from vcjax.errors import BadInput
from vcjax.weights.folder import write_component, write_config

TINY = Path(str(resources.files("vcjax") / "builtin" / "tiny"))


def test_tiny_has_at_most_four_million_parameters_in_its_unet():
    parameters = vcjax.load("tiny").parameters("unet")
    assert 2_000_000 < sum(leaf.size for leaf in jax.tree.leaves(parameters)) <= 4_000_000


def test_tiny_reads_every_word_of_the_sprite_world_as_one_token():
    assert (TINY / "tokenizer.json").read_text() == sprites_tokenizer()


@pytest.fixture
def folder(tmp_path):
    """A model folder with weights in it, made from tiny."""
    tiny = vcjax.load("tiny")
    config = json.loads((TINY / "config.json").read_text())
    files = {name: write_component(tmp_path, name, tiny.parameters(name)) for name in config["networks"]}
    shutil.copy(TINY / "tokenizer.json", tmp_path)
    write_config(tmp_path, config | {"files": files})
    return tmp_path


def test_a_model_folder_makes_the_same_video_as_what_it_was_written_from(folder):
    given = {"text": "a red circle", "depth": np.random.default_rng(0).random((3, 64, 64, 1), np.float32)}
    first, second = (vcjax.load(model)(**given, steps=2, frames=3).frames for model in ("tiny", folder))
    np.testing.assert_array_equal(first, second)


def test_only_the_encoders_that_are_asked_for_are_read(folder, monkeypatch):
    from vcjax.composer import loading

    asked = []
    read = loading.read_component
    monkeypatch.setattr(
        loading, "read_component", lambda *a, **k: asked.append((a[2], k["prefixes"])) or read(*a, **k)
    )
    composer = vcjax.load(folder)
    composer(depth=np.zeros((3, 64, 64, 1), np.float32), steps=1, frames=3)
    composer(depth=np.ones((3, 64, 64, 1), np.float32), steps=1, frames=3)
    assert sorted(asked) == [
        ("autoencoder", ("",)),
        ("stc", ("depth/",)),
        ("text", ("",)),
        ("tokens", ("",)),
        ("unet", ("",)),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {"unet": {"wdith": 3}}}, "has no setting 'wdith'"),
        ({"conditions": {"smell": {}}}, "unknown condition 'smell'"),
        ({"prediction": "epsilon"}, "epsilon"),
        ({"format": 1}, "has format 1, but this version of vcjax reads format 2"),
        ({"networks": []}, r"config\.json\.networks must be a table"),
        ({"networks": {"unet": 3}}, "component unet must be a table"),
        (
            {"networks": {"unet": {"base_channels": "48"}}},
            r"component unet\.base_channels must be of type int, not '48'",
        ),
        ({"conditions": {"image": None}}, "condition image must be a table"),
        ({"conditions": {"image": {}}}, "conditions must hold text"),
        ({"schedule": {"beta": 1}}, r"config\.json\.schedule has no setting 'beta'"),
        ({"prediction": "noise"}, "must be one of epsilon, v, x0"),
        ({"clip": "16 frames"}, r"config\.json\.clip must be a table"),
        ({"clip": {"frames": -1, "height": 64, "width": 64, "fps": 8}}, "at least one frame"),
        ({"clip": {"frames": 16, "height": 64, "width": 64}}, r"config\.json\.clip lacks 'fps'"),
        ({"defaults": {"steps": None}}, r"defaults\.steps must be of type int"),
        ({"untrained": "x"}, "untrained must be of type int"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(folder, change, message):
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=message):
        vcjax.load(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda files: files.clear(), "has no text network"),
        (lambda files: files["unet"].pop("bytes"), r"files\.unet lacks 'bytes'"),
        (lambda files: files.update(unet="unet.safetensors"), r"files\.unet must be a table"),
        (lambda files: files.update(unet=files["autoencoder"]), "weights do not fit the sizes of their UNet"),
        (lambda files: files.update(stc=files["tokens"]), "contains no parameters of depth"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(folder, damage, message):
    config = json.loads((folder / "config.json").read_text())
    damage(config["files"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=message):
        vcjax.load(folder)(depth=np.zeros((3, 64, 64, 1), np.float32), steps=1, frames=3)


@pytest.mark.parametrize(
    "key", ["name", "networks", "conditions", "schedule", "prediction", "clip", "defaults"]
)
def test_a_configuration_that_lacks_something_names_it(folder, key):
    config = json.loads((folder / "config.json").read_text())
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=f"lacks '{key}'"):
        vcjax.load(folder)


def test_a_compute_type_that_is_none_is_refused():
    with pytest.raises(BadInput, match="float32 or bfloat16, not 'bf16'"):
        vcjax.load("tiny", dtype="bf16")


def test_no_such_model():
    with pytest.raises(BadInput, match=r"no model 'huge': .* built-in model \(tiny\)"):
        vcjax.load("huge")
