"""Metrics that call the model's own networks."""

import dataclasses

import numpy as np
import pytest
from scipy import linalg, stats

import vcjax
from vcjax.data import sprites
from vcjax.evaluation import perception
from vcjax.evaluation.condition_sources import render_clips
from vcjax.evaluation.metrics import METRICS, Videos

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def composer():
    return vcjax.load("tiny")


@pytest.fixture(scope="module")
def videos(composer):
    indices = np.arange(4, dtype=np.int32)
    clips = render_clips("original", indices, composer.clip_shape(frames=4))
    return Videos(clips.frames, clips, indices, composer.functions, composer.networks.vision.image_size)


@pytest.mark.parametrize("levels", [3, 1000])  # with many ties and with few
def test_rank_correlation_is_spearmans(levels):
    a, b = RANDOM.integers(0, levels, (2, 8, 25)).astype(float)
    b += a
    assert perception.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert perception.rank_correlation(a, np.sqrt(a)) == pytest.approx(1)
    assert perception.rank_correlation(a, -a) == pytest.approx(-1)
    assert perception.rank_correlation(a, np.ones_like(a)) == 0


@pytest.mark.parametrize("counts", [(40, 60), (5, 4)])  # more and fewer samples than features
def test_frechet_distance_equals_the_formula_with_covariance_matrices(counts):
    a, b = (RANDOM.normal(shift, 1 + shift, (count, 6)) for shift, count in zip((0, 1), counts, strict=True))
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert perception.frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)
    assert perception.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_frame_consistency_is_the_mean_cosine_of_neighbours():
    frames = RANDOM.normal(size=(5, 8))
    frames /= np.linalg.norm(frames, axis=-1, keepdims=True)
    assert perception.frame_consistency(np.repeat(frames[:1], 5, 0)) == pytest.approx(1)
    assert perception.frame_consistency(frames[:1]) == 1
    expected = np.mean([frames[i] @ frames[i + 1] for i in range(4)])
    assert perception.frame_consistency(frames) == pytest.approx(expected)


def test_clipsim_is_higher_for_the_clips_own_caption(composer, videos):
    texts = sprites.captions(videos.target.facts)
    table = np.array(
        [[perception.clipsim(e, text, composer.functions) for text in texts] for e in videos.embeddings]
    )
    assert np.abs(table).max() <= 1
    assert np.diag(table).mean() > table[~np.eye(len(texts), dtype=bool)].mean() + 0.2


def test_every_network_metric_gives_a_value_per_video(videos):
    metrics = [metric for metric in METRICS if metric.networks]
    assert len(metrics) == 3
    for metric in metrics:
        values = metric.compute(videos)
        assert values.shape == (4,)
        assert np.isfinite(values).all()
        assert (np.abs(values) <= 1 + 1e-6).all()
        if metric.name == "depth rank correlation":
            assert values == pytest.approx(1)  # the clips themselves
            unrelated = metric.compute(dataclasses.replace(videos, frames=np.roll(videos.frames, 1, axis=0)))
            assert unrelated.mean() < 0.5
