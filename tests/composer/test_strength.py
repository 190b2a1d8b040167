"""Strength of conditions: the laws of it, over frames, steps and space."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import vcjax
from vcjax.composer.completion import complete_request
from vcjax.composer.encoding import encode_conditions
from vcjax.composer.request import Request
from vcjax.composer.sampling import phases_of
from vcjax.composer.strength import Strength
from vcjax.errors import BadInput

FAST = {"steps": 4, "frames": 3}
NUMBERS = st.floats(-2, 2, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
MAPS = ("image", "single_sketch", "motion", "depth", "sketch")


STYLE = np.random.default_rng(1).standard_normal(128).astype(np.float32)


def encoded(composer, **arguments):
    request = complete_request(composer.request(**arguments, **FAST), composer)
    return next(iter(encode_conditions(composer, request, composer.reader(request)).values()))


def same(a, b):
    return all(
        np.array_equal(x, y, equal_nan=True)
        for x, y in ((a.maps, b.maps), (a.tokens, b.tokens), (a.mask, b.mask))
    )


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(MAPS), number=NUMBERS)
def test_a_constant_curve_and_an_area_of_one_value_equal_the_number(composer, maps, number, name):
    given_maps = {"depth": maps["depth"], name: maps[name]}
    plain = encoded(composer, **given_maps, strength={name: float(number)})
    ones = np.ones((64, 64), np.float32)
    for other in (
        Strength(frames=((0, float(number)),)),
        Strength(frames=((0, float(number)), (2, float(number)))),
        Strength(value=float(number), area=ones),
        Strength(value=float(number), area=np.ones((3, 64, 64), np.uint8)),
        Strength(value=float(number), steps=(0, 100)),
        {"value": float(number), "frames": [[1, 1]], "area": ones},
    ):
        assert same(plain, encoded(composer, **given_maps, strength={name: other}))


@settings(deadline=None, max_examples=10)
@given(name=st.sampled_from((*MAPS, "style", "text")))
def test_strength_zero_is_absent(composer, maps, name):
    values = {**maps, "style": STYLE, "text": "a red circle"}
    rest = {"depth": maps["depth"]} if name != "depth" else {"sketch": maps["sketch"]}
    zeros = [0, Strength(value=0.0), *([Strength(frames=((0, 0), (2, 0)))] if name in MAPS else [])]
    for zero in zeros:
        assert same(
            encoded(composer, **rest, **{name: values[name]}, strength={name: zero}),
            encoded(composer, **rest),
        )


def test_videos_of_strength_zero_one_and_a_whole_window_are_those_without(composer, maps):
    without = composer(text="a red circle", depth=maps["depth"], **FAST).frames
    absent = composer(
        text="a red circle", depth=maps["depth"], style=STYLE, motion=maps["motion"],
        strength={"style": 0, "motion": 0}, **FAST,
    ).frames  # fmt: skip
    np.testing.assert_array_equal(absent, without)
    for one in (1, Strength(steps=(0, 100)), Strength(frames=((0, 1),)), Strength(area=np.ones((64, 64)))):
        video = composer(text="a red circle", depth=maps["depth"], strength={"depth": one}, **FAST).frames
        np.testing.assert_array_equal(video, without)


def test_the_order_of_conditions_does_not_matter(composer, maps):
    forwards = encoded(composer, **maps)
    backwards = encoded(composer, **dict(reversed(maps.items())))
    np.testing.assert_allclose(forwards.maps, backwards.maps, atol=1e-5)


def test_it_is_zero_exactly_where_a_factor_is(composer, maps):
    area = np.zeros((64, 64), np.float32)
    area[:, :32] = 1
    strength = Strength(frames=((0, 0), (2, 1)), area=area)
    found = encoded(composer, sketch=maps["sketch"], strength={"sketch": strength}).maps[0, -1]
    full = encoded(composer, sketch=maps["sketch"]).maps[0, -1]
    assert not np.any(found[0])
    assert not np.any(found[:, :, 4:])
    np.testing.assert_allclose(found[2, :, :4], full[2, :, :4], rtol=1e-6)
    np.testing.assert_allclose(found[1, :, :4], full[1, :, :4] / 2, rtol=1e-6)


def test_an_area_is_read_from_a_picture_and_from_a_video(composer, maps, tmp_path):
    area = np.zeros((64, 64), np.uint8)
    area[:, :32] = 255
    Image.fromarray(area).save(tmp_path / "left.png")
    frames = np.repeat(np.repeat(area[None, ..., None], 3, -1), 3, 0)
    vcjax.Clip(frames, 8.0).save(tmp_path / "left_%04d.png")
    array = encoded(composer, sketch=maps["sketch"], strength={"sketch": {"area": area / 255.0}})
    for path in (tmp_path / "left.png", tmp_path / "left_%04d.png"):
        found = encoded(composer, sketch=maps["sketch"], strength={"sketch": {"area": str(path)}})
        assert same(array, found)


def test_a_window_over_steps_is_one_of_timesteps(composer, maps):
    request = composer.request(
        depth=maps["depth"], text="a", strength={"depth": Strength(steps=(25, 75))}, steps=20, frames=3
    )
    phases = phases_of(composer, complete_request(request, composer))
    assert [phase.active for phase in phases] == [
        frozenset({"text"}),
        frozenset({"text", "depth"}),
        frozenset({"text"}),
    ]
    percent = [100 * (1 - phase.rows.t / 999) for phase in phases]
    assert percent[0].max() < 25 <= percent[1].min()
    assert percent[1].max() < 75 <= percent[2].min()


def test_a_condition_that_is_present_at_some_steps_differs_from_always_and_from_never(composer, maps):
    always, never, early, style = (
        composer(depth=maps["depth"], style=STYLE, strength=strength, **FAST).frames.astype(int)
        for strength in (
            {"style": 0},
            {"depth": 0, "style": 0},
            {"depth": Strength(steps=(0, 50)), "style": 0},
            {"style": Strength(steps=(0, 50))},
        )
    )
    assert np.abs(early - always).mean() > 0.1
    assert np.abs(early - never).mean() > 0.1
    assert np.abs(style - always).mean() > 0.1


def test_each_map_is_encoded_once_whatever_the_steps(composer, maps, monkeypatch):
    from vcjax.composer import encoding

    calls, encode_map = [], encoding.encode_map
    monkeypatch.setattr(encoding, "encode_map", lambda *x: calls.append(x) or encode_map(*x))
    strength = {"depth": Strength(steps=(0, 50)), "sketch": Strength(steps=(30, 80))}
    composer(depth=maps["depth"], sketch=maps["sketch"], strength=strength, **FAST)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        ({"frames": []}, "strength of depth: .*pairs of a frame and a factor"),
        ({"frames": [[0, 1], [0, 2]]}, "strength of depth: .*must increase"),
        ({"frames": [[0, float("nan")]]}, "strength of depth: .*pairs of a frame and a factor"),
        ({"steps": [60, 20]}, "strength of depth: .*beginning and a later end in per cent"),
        ({"steps": [0, 120]}, "strength of depth: .*beginning and a later end"),
        ({"colour": 1}, "strength of depth: it has no setting 'colour'"),
        (float("inf"), "strength of depth: it must be a finite number"),
        ({"area": np.ones((32, 64))}, r"area of a strength must have shape \[64, 64\] or \[3, 64, 64\]"),
        ({"area": np.full((64, 64), np.nan)}, "must be finite numbers"),
        ({"area": "missing.png"}, "missing.png cannot be read"),
    ],
)
def test_a_bad_strength_is_one_sentence(composer, maps, strength, message):
    with pytest.raises(BadInput, match=message) as error:
        composer(depth=maps["depth"], strength={"depth": strength}, **FAST)
    assert "\n" not in str(error.value)


def test_text_and_style_have_no_frames_and_no_area(composer):
    with pytest.raises(BadInput, match="strength of style: it acts on the whole clip"):
        composer(style=STYLE, strength={"style": {"frames": [[0, 1], [2, 0]]}}, **FAST)


def test_a_strength_survives_json(composer, maps):
    strength = Strength(value=0.5, frames=((0, 1), (2, 0.25)), steps=(0, 80), area=np.eye(64))
    request = composer.request(depth=maps["depth"], strength={"depth": strength})
    again = Request.from_json(request.to_json())
    found = again.conditions["depth"].strength
    assert isinstance(found, Strength)
    assert dataclasses.replace(found, area=None) == dataclasses.replace(strength, area=None)
    np.testing.assert_array_equal(found.area, np.eye(64))
    assert jnp.isfinite(encoded(composer, depth=maps["depth"], strength={"depth": found}).maps).all()
