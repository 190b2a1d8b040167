"""What measures say of true clips, and of videos that show nothing or in which nothing moves."""

import numpy as np
import pytest

from vcjax.data.sprites.scene import BACKGROUNDS, CAMERAS, DIRECTIONS
from vcjax.evaluation.measures import MEASURES, Videos

TOLD = ("colour there", "shape told", "direction told", "direction within 20 degrees")
BY_NAME = {measure.name: measure for measure in MEASURES}


def figures(name, frames, clips):
    return np.asarray(BY_NAME[name].of(Videos(frames, clips, np.arange(len(frames)))), np.float64)


@pytest.mark.parametrize("name", TOLD)
def test_true_clips_do_what_they_say(clips, name):
    assert figures(name, clips.frames, clips).mean() > 0.95


@pytest.mark.parametrize("name", TOLD)
def test_a_video_without_the_object_does_nothing_that_is_asked(clips, name):
    """Whatever an absent object would be taken for: there are clips of every shape and direction."""
    assert len(set(clips.facts.direction[:, 0])) == len(DIRECTIONS)
    assert not figures(name, np.full_like(clips.frames, 128), clips).any()


def test_an_object_that_rests_has_no_direction(clips):
    resting = np.repeat(clips.frames[:, :1], clips.frames.shape[1], 1)
    assert figures("shape told", resting, clips).mean() > 0.7
    assert not figures("direction told", resting, clips).any()
    assert not figures("direction within 20 degrees", resting, clips).any()


def test_the_error_under_a_moving_camera_counts_where_its_motion_can_be_seen(clips):
    counted = BY_NAME["end-point error under a moving camera"].over(clips)
    camera = np.array(CAMERAS)[np.asarray(clips.facts.camera)]
    background = np.array(BACKGROUNDS)[np.asarray(clips.facts.background)]
    assert counted.tolist() == [
        c != "still" and b != "gradient" for c, b in zip(camera, background, strict=True)
    ]
    assert 0 < counted.sum() < len(counted)
