"""Variants differ from the original clip only in the edited property, and metrics detect it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.conditions.base import ClipShape
from vcjax.data.sprites import DIRECTIONS
from vcjax.evaluation.condition_sources import (
    ORIGINAL,
    REDIRECTED,
    REPAINTED,
    STROKED,
    conditions_from_clip,
    render_clips,
)
from vcjax.evaluation.metrics import METRICS, Videos
from vcjax.evaluation.objects import angle_between, heading

SHAPE = ClipShape(frames=8, height=64, width=64, fps=8.0)
INDICES = np.arange(24, dtype=np.int32)


@pytest.fixture(scope="module")
def variants():
    return {
        variant: render_clips(variant, INDICES, SHAPE)
        for variant in (ORIGINAL, REDIRECTED, REPAINTED, STROKED)
    }


def test_a_redirected_clip_has_the_same_first_frame_and_another_direction(variants):
    own, other = variants[ORIGINAL], variants[REDIRECTED]
    # The start position is summed in another order, which may round a byte differently.
    difference = np.abs(own.frames[:, 0].astype(int) - other.frames[:, 0])
    assert difference.max() <= 1
    assert difference.mean() < 1e-5  # one byte in 300,000 was observed
    angle = np.degrees(angle_between(heading(own.track), heading(other.track)))
    assert angle.min() > 80  # less than 90 since curved paths are sampled
    assert (other.facts.direction[:, 0] != own.facts.direction[:, 0]).all()
    target = other.facts.direction[:, 0] * (2 * np.pi / len(DIRECTIONS))
    assert np.degrees(angle_between(heading(other.track), jnp.asarray(target))).max() < 25
    assert np.mean((other.track > -4) & (other.track < 68)) > 0.9  # most of them stay in the frame


def test_a_repainted_clip_has_the_same_motion(variants):
    own, other = variants[ORIGINAL], variants[REPAINTED]
    for field in ("motion", "depth", "outline", "track"):
        np.testing.assert_array_equal(getattr(own, field), getattr(other, field))
    assert (own.facts.colour[:, 0] != other.facts.colour[:, 0]).all()
    assert (own.facts.palette != other.facts.palette).all()
    present = np.arange(3) < own.facts.count[:, None]
    same = (other.facts.colour[:, :1] == other.facts.colour[:, 1:]) & present[:, 1:]
    assert not same.any()
    assert np.abs(own.frames.astype(int) - other.frames).mean() > 10


def test_a_stroke_gives_the_motion_of_a_stroked_clip(variants):
    stroked = variants[STROKED]
    assert set(stroked.facts.direction[:8, 0].tolist()) == set(range(8))
    for n in range(8):
        clip = jax.tree.map(lambda leaf, n=n: leaf[n], stroked)
        drawn = conditions_from_clip(clip, ("strokes",), SHAPE.fps, n)["motion"].field(8, 64, 64)
        moving = np.abs(drawn[1:]).max(-1) > 0
        on_object = clip.ids[1:] == 1
        assert (moving & on_object).sum() > 0.7 * on_object.sum()  # the tips of a star are outside the disc
        np.testing.assert_allclose(
            drawn[1:][moving & on_object], clip.motion[1:][moving & on_object], atol=1e-4
        )
        static = (clip.ids[1:] != 1) & ~moving
        assert static.mean() > 0.4
        assert np.abs(clip.motion[1:][static]).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "metric", [metric for metric in METRICS if not metric.networks], ids=lambda metric: metric.name
)
def test_a_metric_is_best_for_the_clip_itself(variants, metric):
    """The clip itself has a near-perfect score and an unrelated clip does not.

    Metrics that call networks are tested in test_perception.py.
    """
    own = variants[STROKED if metric.condition == "strokes" else ORIGINAL]
    true = np.asarray(metric.compute(Videos(own.frames, own, INDICES)), float)
    other = np.asarray(metric.compute(Videos(np.roll(own.frames, 1, 0), own, INDICES)), float)
    assert true.shape == other.shape == INDICES.shape
    better = true.mean() - other.mean() if metric.higher_is_better else other.mean() - true.mean()
    assert better > 0.1 * abs(other.mean())
    best = {True: 0.9, False: 0.35}[
        metric.higher_is_better
    ]  # limited by texture and motion field, see docs/measurements.md
    assert true.mean() > best if metric.higher_is_better else true.mean() < best


@pytest.mark.slow
def test_each_metric_depends_on_its_own_condition_only(variants):
    """The redirected clip keeps the first frame but not the motion; the repainted clip keeps the motion."""
    own = variants[ORIGINAL]

    def loss(name: str, variant: str) -> float:
        """Return the loss of score of a variant's frames, relative to that of an unrelated clip."""
        (metric,) = (m for m in METRICS if m.name == name)
        frames = (variants[variant].frames, own.frames, np.roll(own.frames, 1, 0))
        score, best, worst = (float(np.mean(metric.compute(Videos(f, own, INDICES)))) for f in frames)
        return (score - best) / (worst - best)

    assert loss("PSNR of the first frame, dB", REDIRECTED) == 0
    assert loss("trajectory error, pixels", REDIRECTED) > 0.3
    assert loss("end-point error, pixels per frame", REDIRECTED) > 0.1
    assert loss("direction accuracy", REDIRECTED) > 0.8
    assert loss("shape accuracy", REDIRECTED) < 0.1
    assert loss("colour accuracy", REPAINTED) > 0.8
    assert loss("palette distance", REPAINTED) > 0.3
    assert loss("end-point error, pixels per frame", REPAINTED) < 0.2
    assert loss("foreground IoU", REPAINTED) < 0.1
