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
    del config["untrained"]
    files = {name: write_component(tmp_path, name, tiny.parameters(name)) for name in config["networks"]}
    shutil.copy(TINY / "tokenizer.json", tmp_path)
    write_config(tmp_path, config | {"files": files})
    return tmp_path


def test_a_model_folder_makes_the_same_video_as_what_it_was_written_from(folder):
    given = {"text": "a red circle", "depth": np.random.default_rng(0).random((3, 64, 64, 1), np.float32)}
    first, second = (vcjax.load(model)(**given, steps=2, frames=3).frames for model in ("tiny", folder))
    np.testing.assert_array_equal(first, second)


def test_only_the_encoders_that_are_asked_for_are_read(folder, monkeypatch):
    from vcjax import loading

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
        ({"format": 0}, "reads format 1"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(folder, change, message):
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=message):
        vcjax.load(folder)


def test_no_such_model():
    with pytest.raises(BadInput, match="no model 'huge': built in is tiny"):
        vcjax.load("huge")
