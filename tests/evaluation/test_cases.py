"""Changed clips are changed in what was meant and nothing else, and every measure tells the clip from the changed one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.conditions.base import ClipShape
from vcjax.data.sprites import DIRECTIONS
from vcjax.evaluation.cases import OWN, REPAINTED, STROKED, TURNED, clips_of, conditions_of
from vcjax.evaluation.measures import MEASURES, Videos
from vcjax.evaluation.objects import heading, turned

SHAPE = ClipShape(frames=8, height=64, width=64, fps=8.0)
INDICES = np.arange(24, dtype=np.int32)


@pytest.fixture(scope="module")
def variants():
    return {variant: clips_of(variant, INDICES, SHAPE) for variant in (OWN, TURNED, REPAINTED, STROKED)}


def test_a_redirected_clip_begins_the_same_and_goes_elsewhere(variants):
    own, other = variants[OWN], variants[TURNED]
    # The place where it begins is summed up in another order, which may round a byte the other way.
    difference = np.abs(own.frames[:, 0].astype(int) - other.frames[:, 0])
    assert difference.max() <= 1
    assert difference.mean() < 1e-5  # one byte of 300,000 was seen
    angle = np.degrees(turned(heading(own.track), heading(other.track)))
    assert angle.min() > 80  # paths are sampled, curved ones too
    assert (other.facts.direction[:, 0] != own.facts.direction[:, 0]).all()
    wanted = other.facts.direction[:, 0] * (2 * np.pi / len(DIRECTIONS))
    assert np.degrees(turned(heading(other.track), jnp.asarray(wanted))).max() < 25
    assert np.mean((other.track > -4) & (other.track < 68)) > 0.9  # most stay in the frame


def test_a_repainted_clip_moves_the_same(variants):
    own, other = variants[OWN], variants[REPAINTED]
    for field in ("motion", "depth", "outline", "track"):
        np.testing.assert_array_equal(getattr(own, field), getattr(other, field))
    assert (own.facts.colour[:, 0] != other.facts.colour[:, 0]).all()
    assert (own.facts.palette != other.facts.palette).all()
    present = np.arange(3) < own.facts.count[:, None]
    same = (other.facts.colour[:, :1] == other.facts.colour[:, 1:]) & present[:, 1:]
    assert not same.any()
    assert np.abs(own.frames.astype(int) - other.frames).mean() > 10


def test_a_drawn_stroke_says_the_motion_of_a_stroked_clip(variants):
    stroked = variants[STROKED]
    assert set(stroked.facts.direction[:8, 0].tolist()) == set(range(8))
    for n in range(8):
        clip = jax.tree.map(lambda leaf, n=n: leaf[n], stroked)
        drawn = conditions_of(clip, ("strokes",), SHAPE.fps, n)["motion"].field(8, 64, 64)
        moves = np.abs(drawn[1:]).max(-1) > 0
        on_object = clip.ids[1:] == 1
        assert (moves & on_object).sum() > 0.7 * on_object.sum()  # tips of a star lie outside of the disc
        np.testing.assert_allclose(
            drawn[1:][moves & on_object], clip.motion[1:][moves & on_object], atol=1e-4
        )
        rests = (clip.ids[1:] != 1) & ~moves
        assert rests.mean() > 0.4
        assert np.abs(clip.motion[1:][rests]).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "measure", [measure for measure in MEASURES if not measure.needs], ids=lambda measure: measure.name
)
def test_a_measure_is_best_for_the_clip_itself(variants, measure):
    """Videos that are the clip score as well as can be; those of the next clip do not.

    Measures that call networks are tested in test_perception.py.
    """
    own = variants[STROKED if measure.condition == "strokes" else OWN]
    true = np.asarray(measure.of(Videos(own.frames, own, INDICES)), float)
    other = np.asarray(measure.of(Videos(np.roll(own.frames, 1, 0), own, INDICES)), float)
    assert true.shape == other.shape == INDICES.shape
    better = true.mean() - other.mean() if measure.more_is_better else other.mean() - true.mean()
    assert better > 0.1 * abs(other.mean())
    best = {True: 0.9, False: 0.35}[measure.more_is_better]  # of texture and field, see docs/measurements.md
    assert true.mean() > best if measure.more_is_better else true.mean() < best


@pytest.mark.slow
def test_each_measure_hears_its_own_condition_alone(variants):
    """The redirected clip has the first frame but not the motion; the repainted one the motion but not the colour."""
    own = variants[OWN]

    def loss(name: str, variant: str) -> float:
        """How much worse a variant's frames score than the clip's own, in units of the next clip's."""
        (measure,) = (m for m in MEASURES if m.name == name)
        frames = (variants[variant].frames, own.frames, np.roll(own.frames, 1, 0))
        score, best, worst = (float(np.mean(measure.of(Videos(f, own, INDICES)))) for f in frames)
        return (score - best) / (worst - best)

    assert loss("PSNR of the first frame, dB", TURNED) == 0
    assert loss("path error of the object, pixels", TURNED) > 0.3
    assert loss("end-point error of the field, pixels a frame", TURNED) > 0.1
    assert loss("direction told", TURNED) > 0.8
    assert loss("shape told", TURNED) < 0.1
    assert loss("colour there", REPAINTED) > 0.8
    assert loss("palette distance", REPAINTED) > 0.3
    assert loss("end-point error of the field, pixels a frame", REPAINTED) < 0.2
    assert loss("overlap of what is near", REPAINTED) < 0.1
