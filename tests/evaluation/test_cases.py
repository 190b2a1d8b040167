"""Evaluation cases: every single condition and every pair of maps, each with a baseline."""

import itertools

import pytest

from vcjax.errors import BadInput
from vcjax.evaluation.cases import CASES, GROUPS, MAPS, REDIRECTED, UNCONDITIONAL, select_cases
from vcjax.evaluation.condition_sources import CONDITION_SOURCES, VARIANTS
from vcjax.evaluation.metrics import METRICS

CONDITIONS = ("text", "style", *MAPS)


def test_every_name_in_a_case_exists():
    scored = {metric.condition for metric in METRICS}
    for case in CASES.values():
        assert case.baseline in CASES
        assert {other for _, other in case.single} <= CASES.keys()
        assert set(case.scored) <= scored
        assert case.target in VARIANTS
        assert all(source in CONDITION_SOURCES and variant in VARIANTS for source, variant in case.sources)


def test_the_baseline_of_a_task_has_fewer_of_its_conditions():
    for case in CASES.values():
        if case.group == "tasks" and case.scored:
            baseline = CASES[case.baseline]
            assert set(baseline.sources) < set(case.sources) or baseline.name == UNCONDITIONAL, case.name


def test_every_pair_of_maps_is_a_case_and_compatible_ones_use_different_variants():
    pairs = [case for case in CASES.values() if case.group == "pairs"]
    assert {frozenset(name for name, _ in case.sources) for case in pairs} == set(
        map(frozenset, itertools.combinations(MAPS, 2))
    )
    counterfactual = {case.name for case in pairs if case.target == REDIRECTED}
    assert {"image + motion", "image + depth", "single_sketch + motion"} <= counterfactual
    assert "image + mask" not in counterfactual  # a mask shows the frames themselves


def test_selected_cases_include_those_they_are_compared_with():
    names = [case.name for case in select_cases(("pairs",), CONDITIONS)]
    assert {UNCONDITIONAL, "image", "motion"} <= set(names)
    assert "text" not in names
    assert [case.name for case in select_cases(GROUPS, CONDITIONS)] == list(CASES)


def test_only_cases_that_the_model_supports_are_selected():
    names = [case.name for case in select_cases(GROUPS, ("text", "image"))]
    assert "text + image" in names
    assert not any("motion" in name or "strokes" in name for name in names)
    with pytest.raises(BadInput, match="no case"):
        select_cases(("pairs",), ("text",))
    with pytest.raises(BadInput, match="there is no group of cases 'all'"):
        select_cases(("all",), CONDITIONS)
