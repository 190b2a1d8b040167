"""The settings: every condition alone, every pair of maps, each compared with something that is made too."""

import itertools

import pytest

from vcjax.errors import BadInput
from vcjax.evaluation.cases import GIVERS, VARIANTS
from vcjax.evaluation.measures import MEASURES
from vcjax.evaluation.settings import GROUPS, MAPS, NOTHING, SETTINGS, TURNED, chosen

CONDITIONS = ("text", "style", *MAPS)


def test_everything_that_a_setting_names_is_there():
    scored = {measure.condition for measure in MEASURES}
    for setting in SETTINGS.values():
        assert setting.none in SETTINGS
        assert {other for _, other in setting.alone} <= SETTINGS.keys()
        assert set(setting.scored) <= scored
        assert setting.wanted in VARIANTS
        assert all(giver in GIVERS and variant in VARIANTS for giver, variant in setting.given)


def test_tasks_are_compared_with_the_same_without_what_is_scored():
    for setting in SETTINGS.values():
        if setting.group == "tasks" and setting.scored:
            none = SETTINGS[setting.none]
            assert set(none.given) < set(setting.given) or none.name == NOTHING, setting.name


def test_every_pair_of_maps_is_there_and_those_that_can_come_from_different_clips():
    pairs = [setting for setting in SETTINGS.values() if setting.group == "pairs"]
    assert {frozenset(n for n, _ in s.given) for s in pairs} == set(
        map(frozenset, itertools.combinations(MAPS, 2))
    )
    apart = {s.name for s in pairs if s.wanted == TURNED}
    assert {"image + motion", "image + depth", "single_sketch + motion"} <= apart
    assert "image + mask" not in apart  # a mask shows the frames themselves


def test_what_is_chosen_brings_what_it_is_compared_with():
    names = [setting.name for setting in chosen(("pairs",), CONDITIONS)]
    assert {NOTHING, "image", "motion"} <= set(names)
    assert "text" not in names
    assert [s.name for s in chosen(GROUPS, CONDITIONS)] == list(SETTINGS)


def test_a_model_is_asked_only_for_what_it_has():
    names = [setting.name for setting in chosen(GROUPS, ("text", "image"))]
    assert "text + image" in names
    assert not any("motion" in name or "strokes" in name for name in names)
    with pytest.raises(BadInput, match="no setting"):
        chosen(("pairs",), ("text",))
    with pytest.raises(BadInput, match="there is no group 'all'"):
        chosen(("all",), CONDITIONS)
