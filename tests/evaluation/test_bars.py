"""Bars: what is over them and what is not."""

import math

import pytest

from vcjax.demo import TASKS
from vcjax.evaluation.bars import BARS, PATH, Bar, judged
from vcjax.evaluation.measures import MEASURES
from vcjax.evaluation.settings import SETTINGS


@pytest.mark.parametrize(
    ("bar", "row", "reached", "passed"),
    [
        (Bar("text", "colour there", 0.97), {"value": 0.98}, 0.98, True),
        (Bar("text", "colour there", 0.97), {"value": 0.96}, 0.96, False),
        (Bar("strokes", PATH, 1.0), {"value": 0.9}, 0.9, True),
        (Bar("strokes", PATH, 1.0), {"value": 1.1}, 1.1, False),
        (Bar("strokes", PATH, 1.0), {"value": math.nan}, math.nan, False),
        (Bar("text", "shape told", 0.85, "of truth"), {"value": 0.6, "truth": 0.8}, 0.75, False),
        (Bar("text", "shape told", 0.85, "of truth"), {"value": 0.6, "truth": 0.0}, math.nan, False),
        (Bar("text + motion", PATH, 0.1, "of none"), {"value": 0.5, "none": 10.0}, 0.05, True),
        (Bar("text + image", "PSNR of the first frame, dB", 27.0, "or 3 below truth"), {"value": 23.0, "truth": 25.0}, 23.0, True),
        (Bar("text + image", "PSNR of the first frame, dB", 27.0, "or 3 below truth"), {"value": 28.0, "truth": 40.0}, 28.0, True),
        (Bar("text + image", "PSNR of the first frame, dB", 27.0, "or 3 below truth"), {"value": 26.0, "truth": 30.0}, 26.0, False),
        (Bar("depth + mask", PATH, 0.7, "of alone, lower bound"), {"of_alone": {"value": 0.9, "low": 0.6}}, 0.6, False),
        (Bar("depth + mask", PATH, 0.7, "of alone"), {"of_alone": {"value": 0.9, "low": 0.6}}, 0.9, True),
    ],
)  # fmt: skip
def test_a_figure_passes_a_bar_or_not(bar, row, reached, passed):
    assert bar.reached(row) == pytest.approx(reached, nan_ok=True)
    assert bar.passed(row) is passed


def test_every_bar_is_for_a_figure_that_its_setting_has():
    conditions = {measure.name: measure.condition for measure in MEASURES}
    assert len(BARS) > 60
    for bar in BARS:
        assert conditions[bar.measure] in SETTINGS[bar.setting].scored, bar
    pairs = [setting for setting in SETTINGS.values() if setting.group == "pairs"]
    assert all({bar.measure for bar in BARS if bar.setting == pair.name} for pair in pairs)
    assert all(any(bar.setting == setting for bar in BARS) for setting in TASKS.values())


def test_only_what_was_scored_is_judged():
    scores = {"text": {"colour there": {"value": 1.0}}}
    assert judged(scores) == [(Bar("text", "colour there", 0.97), 1.0, True)]
