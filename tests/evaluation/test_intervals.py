"""Bootstrap intervals hold what statistics says of them."""

import numpy as np
import pytest

from vcjax.errors import BadInput
from vcjax.evaluation.intervals import bootstrap


def test_a_mean_lies_between_about_two_standard_errors():
    scores = np.random.default_rng(0).normal(3, 2, 400)
    interval = bootstrap(scores)
    error = scores.std() / np.sqrt(len(scores))
    assert interval.value == pytest.approx(scores.mean())
    # 2000 draws know the bounds to a few hundredths of a standard error
    assert interval.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap(rng.exponential(1.0, 60), draws=500, level=0.9) for _ in range(200)]
    held = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert (
        0.82 < held < 0.95
    )  # 0.9, less a little as the law is skewed, give or take three deviations of 0.02


def test_a_ratio_takes_the_same_clips_of_each_setting():
    rng = np.random.default_rng(2)
    none = rng.normal(0, 5, 50)  # differs much from clip to clip, but cancels
    alone, pair = none + 4, none + 3
    interval = bootstrap(pair, alone, none, of=lambda p, a, n: (p - n) / (a - n))
    assert interval == pytest.approx((0.75, 0.75, 0.75))


def test_equal_scores_have_no_spread_and_hits_are_scores():
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
def test_what_has_no_interval_is_told(samples, reason):
    with pytest.raises(BadInput, match=reason):
        bootstrap(*samples)
