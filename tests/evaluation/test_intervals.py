"""Bootstrap intervals have the width and coverage that statistics predicts."""

import numpy as np
import pytest

from vcjax.errors import BadInput
from vcjax.evaluation.intervals import bootstrap


def test_the_interval_of_a_mean_is_about_two_standard_errors_on_each_side():
    scores = np.random.default_rng(0).normal(3, 2, 400)
    interval = bootstrap(scores)
    error = scores.std() / np.sqrt(len(scores))
    assert interval.value == pytest.approx(scores.mean())
    # 2000 draws give the bounds to a few hundredths of a standard error
    assert interval.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(1)
    intervals = [bootstrap(rng.exponential(1.0, 60), draws=500, level=0.9) for _ in range(200)]
    coverage = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    # 0.9, slightly less since the distribution is skewed, within three standard deviations of 0.02
    assert 0.82 < coverage < 0.95


def test_a_ratio_resamples_all_cases_jointly():
    rng = np.random.default_rng(2)
    baseline = rng.normal(0, 5, 50)  # varies much between clips, but cancels
    single, pair = baseline + 4, baseline + 3
    interval = bootstrap(pair, single, baseline, of=lambda p, s, b: (p - b) / (s - b))
    assert interval == pytest.approx((0.75, 0.75, 0.75))


def test_equal_scores_have_a_zero_width_interval_and_booleans_are_scores():
    assert bootstrap(np.full(9, 2.0)) == (2.0, 2.0, 2.0)
    hits = np.array([True, False, True, True])
    assert bootstrap(hits).value == 0.75
    assert bootstrap(hits, seed=3) == bootstrap(hits, seed=3)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ((np.zeros(0),), "at least one clip"),
        ((np.zeros(3), np.zeros(4)), "equally many"),
        ((np.array([1.0, np.nan]),), "finite"),
        ((), "at least one clip"),
    ],
)
def test_invalid_samples_are_rejected(samples, reason):
    with pytest.raises(BadInput, match=reason):
        bootstrap(*samples)
