"""Metrics of rendered clips, of empty videos and of static videos."""

import numpy as np
import pytest

from vcjax.data.sprites.scene import BACKGROUNDS, CAMERAS, DIRECTIONS
from vcjax.evaluation.metrics import METRICS, Videos

ACCURACIES = ("colour accuracy", "shape accuracy", "direction accuracy", "direction within 20 degrees")
BY_NAME = {metric.name: metric for metric in METRICS}


def values(name, frames, clips):
    return np.asarray(BY_NAME[name].compute(Videos(frames, clips, np.arange(len(frames)))), np.float64)


@pytest.mark.parametrize("name", ACCURACIES)
def test_rendered_clips_are_accurate(clips, name):
    assert values(name, clips.frames, clips).mean() > 0.95


@pytest.mark.parametrize("name", ACCURACIES)
def test_a_video_without_the_object_has_zero_accuracy(clips, name):
    """Also where the default direction of an absent object is the target: the clips have all directions."""
    assert len(set(clips.facts.direction[:, 0])) == len(DIRECTIONS)
    assert not values(name, np.full_like(clips.frames, 128), clips).any()


def test_a_static_object_has_no_direction(clips):
    static = np.repeat(clips.frames[:, :1], clips.frames.shape[1], 1)
    assert values("shape accuracy", static, clips).mean() > 0.7
    assert not values("direction accuracy", static, clips).any()
    assert not values("direction within 20 degrees", static, clips).any()


def test_the_error_under_a_moving_camera_is_over_clips_with_observable_motion(clips):
    counted = BY_NAME["end-point error under a moving camera"].subset(clips)
    camera = np.array(CAMERAS)[np.asarray(clips.facts.camera)]
    background = np.array(BACKGROUNDS)[np.asarray(clips.facts.background)]
    assert counted.tolist() == [
        c != "static" and b != "gradient" for c, b in zip(camera, background, strict=True)
    ]
    assert 0 < counted.sum() < len(counted)
