"""Thresholds: which values pass, and that every threshold has a metric and a case."""

import math

import pytest

from vcjax.demo import TASKS
from vcjax.evaluation.cases import CASES
from vcjax.evaluation.metrics import METRICS
from vcjax.evaluation.thresholds import THRESHOLDS, TRAJECTORY, Threshold, check_thresholds


@pytest.mark.parametrize(
    ("threshold", "row", "reached", "passed"),
    [
        (Threshold("text", "colour accuracy", 0.97), {"value": 0.98}, 0.98, True),
        (Threshold("text", "colour accuracy", 0.97), {"value": 0.96}, 0.96, False),
        (Threshold("strokes", TRAJECTORY, 1.0), {"value": 0.9}, 0.9, True),
        (Threshold("strokes", TRAJECTORY, 1.0), {"value": 1.1}, 1.1, False),
        (Threshold("strokes", TRAJECTORY, 1.0), {"value": math.nan}, math.nan, False),
        (Threshold("text", "shape accuracy", 0.85, "of reference"), {"value": 0.6, "reference": 0.8}, 0.75, False),
        (Threshold("text", "shape accuracy", 0.85, "of reference"), {"value": 0.6, "reference": 0.0}, math.nan, False),
        (Threshold("text + motion", TRAJECTORY, 0.1, "of baseline"), {"value": 0.5, "baseline": 10.0}, 0.05, True),
        (Threshold("text + image", "PSNR of the first frame, dB", 27.0, "or 3 dB below reference"), {"value": 23.0, "reference": 25.0}, 23.0, True),
        (Threshold("text + image", "PSNR of the first frame, dB", 27.0, "or 3 dB below reference"), {"value": 28.0, "reference": 40.0}, 28.0, True),
        (Threshold("text + image", "PSNR of the first frame, dB", 27.0, "or 3 dB below reference"), {"value": 26.0, "reference": 30.0}, 26.0, False),
        (Threshold("depth + mask", TRAJECTORY, 0.7, "relative to single, lower bound"), {"relative_to_single": {"value": 0.9, "low": 0.6}}, 0.6, False),
        (Threshold("depth + mask", TRAJECTORY, 0.7, "relative to single"), {"relative_to_single": {"value": 0.9, "low": 0.6}}, 0.9, True),
    ],
)  # fmt: skip
def test_a_value_passes_or_fails(threshold, row, reached, passed):
    assert threshold.reached(row) == pytest.approx(reached, nan_ok=True)
    assert threshold.passed(row) is passed


def test_every_threshold_is_for_a_metric_that_its_case_is_scored_for():
    conditions = {metric.name: metric.condition for metric in METRICS}
    assert len(THRESHOLDS) > 60
    for threshold in THRESHOLDS:
        assert conditions[threshold.metric] in CASES[threshold.case].scored, threshold
    pairs = [case for case in CASES.values() if case.group == "pairs"]
    assert all(
        {threshold.metric for threshold in THRESHOLDS if threshold.case == pair.name} for pair in pairs
    )
    assert all(any(threshold.case == case for threshold in THRESHOLDS) for case in TASKS.values())


def test_only_scored_metrics_are_checked():
    scores = {"text": {"colour accuracy": {"value": 1.0}}}
    assert check_thresholds(scores) == [(Threshold("text", "colour accuracy", 0.97), 1.0, True)]
