"""A condition of one's own on the command line: the example of docs/custom_condition.md, and what can be wrong with one."""

import dataclasses

import jax
import numpy as np
import pytest

import vcjax
from examples.canny import Canny, edges
from tests.cli.calls import FAST, refused
from vcjax.conditions.base import ClipShape
from vcjax.conditions.catalogue import import_condition
from vcjax.training.config_files import load_file
from vcjax.weights.folder import read_component, read_config

CANNY = "examples.canny:Canny"


@pytest.fixture
def canny_model(vc, tmp_path):
    folder = tmp_path / "canny"
    code, out, _ = vc("extend", "tiny", "--condition", CANNY, "--out", folder)
    assert (code, out) == (0, f"{folder}: tiny with condition canny, whose encoder is not trained\n")
    return folder


def test_an_extended_model_samples_as_before_until_its_encoder_is_trained(canny_model, vc, video):
    tiny, canny = vcjax.load("tiny"), vcjax.load(canny_model)
    arguments = {"text": "a red circle", "frames": 3, "steps": 2}
    frames = tiny(**arguments).frames
    np.testing.assert_array_equal(canny(**arguments, canny=vcjax.extract(video)).frames, frames)
    encoders = read_component(canny_model, read_config(canny_model), "stc")
    assert encoders.keys() - tiny.conditions.keys() == {"canny"}
    assert {leaf.dtype for leaf in jax.tree.leaves(encoders)} == {np.dtype("float16")}


def test_its_options_come_from_the_model(canny_model, vc, video, tmp_path):
    assert "--extract-option canny.low=VALUE" in vc("info", canny_model)[1]
    found = ["--only", "canny", "--frames", 3, "--model", canny_model, "--out"]
    assert vc("extract", video, *found, tmp_path / "a")[0] == 0
    assert vc("extract", video, *found, tmp_path / "b", "--extract-option", "canny.high=0.3")[0] == 0
    edges_, strong = (np.load(tmp_path / name / "canny.npy") for name in "ab")
    assert strong.sum() == 0 < edges_.sum()  # no contrast of the clip begins an edge

    run = ["generate", "--model", canny_model, *FAST, "--out"]
    given = ["--condition", f"canny={tmp_path / 'a' / 'canny.npy'}"]
    source = ["--condition-from", f"canny={video}", "--extract-option", "canny.high=0.3"]
    for name, options in (("finished.png", given), ("source.png", source)):
        assert vc(*run, tmp_path / name, *options)[0] == 0
    again = tmp_path / "again.png"
    assert vc("generate", "--replay", tmp_path / "source.png", "--out", again)[0] == 0
    assert again.read_bytes() == (tmp_path / "source.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--condition", "canny"], ["--condition must be NAME=VALUE", "'canny'"]),
        (["--condition", "smell=x.png"], ["has no condition 'smell'", "canny"]),
        (["--condition", "depth=a.png", "--depth", "b.png"], ["--depth is given more than once"]),
        (
            ["--condition", "canny=a.png", "--condition-from", "canny=b.mp4"],
            ["canny is given finished and as a source video"],
        ),
        (["--extract-option", "canny.low=0.1"], ["canny.low needs --condition-from canny=FILE"]),
        (["--extract-option", "low=0.1"], ["NAME.OPTION=VALUE", "'low'"]),
    ],
)
def test_options_that_do_not_fit_are_named(canny_model, vc, options, words):
    refused(vc("generate", "--model", canny_model, *options), *words)


def test_values_of_its_extraction_are_checked(canny_model, vc, video):
    source = ["generate", "--model", canny_model, "--condition-from", f"canny={video}"]
    refused(vc(*source, "--extract-option", "canny.low=2"), "canny needs 0 < low <= high", "2")
    refused(vc(*source, "--extract-option", "canny.low=abc"), "canny.low must be a finite number, not 'abc'")
    refused(vc(*source, "--extract-option", "canny.width=2"), "no extraction option 'width'", "low, high")


def test_a_class_that_is_no_condition_is_named(canny_model, vc, tmp_path):
    for path, *words in (
        ("nowhere:Canny", "MODULE:NAME", "nowhere:Canny"),
        ("examples.canny:edges", "examples.canny:edges must be a subclass"),
        ("vcjax.conditions.text:Text", "must be a MapCondition"),
        ("vcjax.conditions.depth:Depth", "has a condition 'depth' already"),
    ):
        refused(vc("extend", "tiny", "--condition", path, "--out", tmp_path / "new"), *words)
        assert not (tmp_path / "new").exists()
    refused(vc("extend", "tiny", "--condition", CANNY, "--out", canny_model), canny_model, "exists")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "temporl"}, "kind must be one of tokens, spatial, temporal, not 'temporl'"),
        ({"channels": 2}, "channels of an ImageFileCondition must be 1 or 3, not 2"),
        ({"limits": (1.0, 0.0)}, "limits must be a smaller and a larger number"),
        ({"extract_options": {"gian": "gain"}}, "extract_options names 'gian'"),
        ({"channels": 1, "__annotations__": {"channels": int}}, "annotate it with ClassVar"),
    ],
)
def test_a_class_that_contradicts_itself_is_refused(change, message, monkeypatch):
    import examples.canny

    changed = dataclasses.dataclass(frozen=True, kw_only=True)(type("Canny", (Canny,), change))
    monkeypatch.setattr(examples.canny, "Canny", changed)
    with pytest.raises(vcjax.BadInput, match=message):
        import_condition(CANNY)


def test_maps_that_break_their_limits_are_refused(canny_model, vc, video, monkeypatch):
    monkeypatch.setattr("examples.canny.edges", lambda image, low, high: np.full_like(image, 2.0))
    refused(
        vc("generate", "--model", canny_model, "--condition-from", f"canny={video}"),
        "Canny.extract: canny must lie in [0, 1], not [2, 2]",
    )


def test_the_recipe_trains_the_new_encoder_alone(canny_model):
    config = load_file(f"condition:{canny_model}")
    assert config.stages[0].trainable == ("stc/canny/",)
    assert config.model.conditions.canny["class"] == CANNY
    with pytest.raises(vcjax.BadInput, match="model folder"):
        load_file("condition")
    with pytest.raises(vcjax.BadInput, match="vcjax extend"):
        load_file("condition:tiny")


def test_edges_are_thin_and_where_the_image_changes():
    image = np.zeros((32, 32), np.float32)
    image[:, 16:] = 1.0
    found = edges(image, 0.1, 0.2)
    assert found.sum() == 32
    assert set(np.argwhere(found)[:, 1].tolist()) <= {15, 16}
    assert edges(np.full((8, 8), 0.5, np.float32), 0.1, 0.2).sum() == 0


def test_its_measure_is_highest_for_the_same_edges():
    shape = ClipShape(frames=1, height=32, width=32, fps=8.0)
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[:, 8:24, 8:24] = 255
    found = Canny().extract(vcjax.Clip(frames, 8.0), shape, {}, 0)
    (measure,) = Canny.measures
    assert measure.compute(found, found) == 1.0
    assert measure.compute(np.roll(found, 5, axis=1), found) < 0.6
