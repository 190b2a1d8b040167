"""Measures that call a model's own networks."""

import dataclasses

import numpy as np
import pytest
from scipy import linalg, stats

import vcjax
from vcjax.data import sprites
from vcjax.evaluation import perception
from vcjax.evaluation.cases import clips_of
from vcjax.evaluation.measures import MEASURES, Videos

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def composer():
    return vcjax.load("tiny")


@pytest.fixture(scope="module")
def videos(composer):
    indices = np.arange(4, dtype=np.int32)
    clips = clips_of("own", indices, composer.clip_shape(frames=4))
    return Videos(clips.frames, clips, indices, composer.functions, composer.networks.vision.size)


@pytest.mark.parametrize("levels", [3, 1000])  # with many equal values and with few
def test_rank_correlation_is_spearmans(levels):
    a, b = RANDOM.integers(0, levels, (2, 8, 25)).astype(float)
    b += a
    assert perception.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert perception.rank_correlation(a, np.sqrt(a)) == pytest.approx(1)
    assert perception.rank_correlation(a, -a) == pytest.approx(-1)
    assert perception.rank_correlation(a, np.ones_like(a)) == 0


@pytest.mark.parametrize("counts", [(40, 60), (5, 4)])  # more and fewer samples than features
def test_frechet_distance_is_that_of_the_covariances(counts):
    a, b = (RANDOM.normal(shift, 1 + shift, (count, 6)) for shift, count in zip((0, 1), counts, strict=True))
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert perception.frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)
    assert perception.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_equal_frames_are_consistent_and_others_less():
    frames = RANDOM.normal(size=(5, 8))
    frames /= np.linalg.norm(frames, axis=-1, keepdims=True)
    assert perception.frame_consistency(np.repeat(frames[:1], 5, 0)) == pytest.approx(1)
    assert perception.frame_consistency(frames[:1]) == 1
    expected = np.mean([frames[i] @ frames[i + 1] for i in range(4)])
    assert perception.frame_consistency(frames) == pytest.approx(expected)


def test_a_clip_agrees_with_its_own_caption_more_than_with_others(composer, videos):
    texts = sprites.captions(videos.wanted.facts)
    table = np.array(
        [[perception.agreement(s, text, composer.functions) for text in texts] for s in videos.seen]
    )
    assert np.abs(table).max() <= 1
    assert np.diag(table).mean() > table[~np.eye(len(texts), dtype=bool)].mean() + 0.2


def test_every_measure_that_calls_networks_gives_a_figure_a_video(videos):
    measures = [measure for measure in MEASURES if measure.needs]
    assert len(measures) == 3
    for measure in measures:
        figures = measure.of(videos)
        assert figures.shape == (4,)
        assert np.isfinite(figures).all()
        assert (np.abs(figures) <= 1 + 1e-6).all()
        if measure.name == "rank correlation of depth":
            assert figures == pytest.approx(1)  # the clips themselves
            other = measure.of(dataclasses.replace(videos, frames=np.roll(videos.frames, 1, axis=0)))
            assert other.mean() < 0.5
