"""Requests: they survive JSON, what is wrong is named, and a model completes them."""

import json
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import vcjax
from vcjax.composer.completion import complete_request
from vcjax.composer.request import ConditionInput, Request, request_from_arguments
from vcjax.errors import BadInput

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
ARRAYS = arrays.arrays(
    st.sampled_from([np.float32, np.uint8]), arrays.array_shapes(max_dims=4, max_side=4),
    elements={"allow_nan": False, "allow_infinity": False} | {"min_value": 0, "max_value": 100},
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    ARRAYS,
    st.fixed_dictionaries({"strokes": st.lists(st.fixed_dictionaries({"width": NUMBERS}))}),
)
INPUTS = st.one_of(
    st.builds(ConditionInput, value=VALUES, strength=NUMBERS),
    st.builds(
        ConditionInput,
        source=st.text(min_size=1),
        extract_options=st.dictionaries(NAMES, st.text(max_size=5), max_size=2),
        strength=NUMBERS,
    ),
)
SETS = st.lists(NAMES, max_size=3).map(tuple)
REQUESTS = st.builds(
    Request,
    model=st.text(min_size=1, max_size=10),
    conditions=st.dictionaries(NAMES, INPUTS, max_size=3),
    positive=st.none() | SETS,
    negative=st.none() | SETS,
    branches=st.none() | st.lists(SETS, max_size=3).map(tuple),
    negative_text=st.text(max_size=10),
    guidance=st.none() | st.lists(NUMBERS, max_size=3).map(tuple),
    sampler=NAMES,
    spacing=st.none() | NAMES,
    steps=st.none() | st.integers(1, 1000),
    eta=st.floats(0, 1),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3).map(tuple),
    frames=st.none() | st.integers(1, 64),
    size=st.none() | st.tuples(st.integers(1, 512), st.integers(1, 512)),
)


# beartype checks random elements of containers while the strategies build them
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@settings(deadline=None, max_examples=200)
@given(request=REQUESTS)
def test_a_request_survives_json(request):
    text = json.dumps(request.to_json())
    again = Request.from_json(json.loads(text))
    assert again.to_json() == request.to_json()
    assert json.dumps(again.to_json()) == text
    for name, each in request.conditions.items():
        if isinstance(each.value, np.ndarray):
            np.testing.assert_array_equal(again.conditions[name].value, each.value, strict=True)
        else:
            assert again.conditions[name] == each
    for key in ("branches", "guidance", "seeds", "size", "positive"):
        assert getattr(again, key) == getattr(request, key)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"colour": 1}, "request has no setting 'colour'"),
        ({"steps": "20"}, "request.steps must be of type int"),
        ({"seeds": 7}, "request.seeds must be a list"),
        ({"seeds": [1.5]}, r"request.seeds\[0\] must be of type int"),
        ({"guidance": ["a"]}, r"request.guidance\[0\] must be of type float"),
        ({"branches": [["a"], 3]}, r"request.branches\[1\] must be a list"),
        ({"conditions": {"text": "a red circle"}}, "request.conditions.text must be a table"),
        ({"conditions": {"text": {"vaule": "a"}}}, "request.conditions.text has no setting 'vaule'"),
        ({"conditions": {"text": {}}}, "either value or source"),
        (
            {"conditions": {"depth": {"value": {"npy": "?"}}}},
            "request.conditions.depth.value.npy must be a .npy",
        ),
        ([], "request must be a table"),
    ],
)
def test_a_wrong_request_is_one_sentence_that_names_the_key(table, message):
    with pytest.raises(BadInput, match=message) as error:
        Request.from_json(table)
    assert "\n" not in str(error.value)


def test_strokes_survive_json():
    strokes = vcjax.strokes({"size": [64, 64], "strokes": [{"points": [[12, 40], [50, 40]], "width": 8}]})
    request = Request.from_json(json.loads(json.dumps(request_from_arguments(motion=strokes).to_json())))
    composer = vcjax.load("tiny")
    shape = composer.clip_shape(3)
    first, again = (
        composer.read({"motion": value}, shape)["motion"]
        for value in (strokes, request.conditions["motion"].input)
    )
    np.testing.assert_array_equal(first, again)
    assert first.any()


def test_an_object_in_memory_is_not_written_as_json():
    clip = vcjax.Clip(np.zeros((1, 4, 4, 3), np.uint8), 8.0)
    request = request_from_arguments(depth=vcjax.extract(clip))
    with pytest.raises(BadInput, match="condition depth is a Clip in memory"):
        request.to_json()


def test_a_model_completes_a_request_and_a_complete_one_stays():
    composer = vcjax.load("tiny")
    request = request_from_arguments(text="a red circle", depth=np.zeros((16, 64, 64, 1), np.float32))
    complete = complete_request(request, composer)
    defaults = composer.defaults
    assert complete.branches == (("depth",), ("text", "depth"))
    assert (complete.guidance, complete.steps) == ((defaults.guidance,), defaults.steps)
    assert (complete.frames, complete.size, complete.spacing) == (16, (64, 64), "trailing")
    assert complete_request(complete, composer).to_json() == complete.to_json()
    assert Request.from_json(complete.to_json()).to_json() == complete.to_json()


def test_a_request_from_json_gives_the_same_video():
    composer, depth = vcjax.load("tiny"), np.random.default_rng(0).random((3, 64, 64, 1), np.float32)
    arguments = {"text": "a red circle", "depth": depth, "strength": {"depth": 0.5}, "seed": 5}
    direct = composer(**arguments, steps=2, frames=3)
    request = request_from_arguments(**arguments, steps=2, frames=3)
    (again,) = composer.generate(Request.from_json(json.loads(json.dumps(request.to_json()))))
    np.testing.assert_array_equal(again.frames, direct.frames)
