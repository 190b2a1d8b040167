"""The motion estimator against the renderer's ground truth.

End-point error in pixels per frame on the first 64 test clips (python -m benchmarks.metrics): 0.11, against
0.50 for zero motion and 0.85 for the motion of an unrelated clip. With a moving camera, by background: checks
0.02, noise 0.02, gradient 0.29, stripes 0.50, against 0.6 to 0.8 for zero motion: motion along stripes cannot
be observed. With noise of 5 levels of 255 added to each channel: 0.25 overall, checks 0.04, noise 0.13, the
main object 0.10, but gradients and stripes no better than zero motion, so exclude these when generated video
is scored.
"""

import numpy as np
import pytest

from vcjax.data import sprites
from vcjax.evaluation.motion import end_point_error, motion_field

CLIPS = 16


@pytest.fixture(scope="module")
def estimated(clips):
    return np.asarray(motion_field(clips.frames[:CLIPS]))


def test_the_motion_of_rendered_clips_is_estimated(clips, estimated):
    true = clips.motion[:CLIPS]
    assert estimated.shape == true.shape
    own = np.asarray(end_point_error(estimated, true))
    zero_motion = np.asarray(end_point_error(np.zeros_like(true), true))
    unrelated = np.asarray(end_point_error(estimated, np.roll(true, 1, axis=0)))
    assert own.mean() < 0.2
    assert own.mean() < 0.4 * zero_motion.mean()
    assert own.mean() < 0.2 * unrelated.mean()
    assert np.median(np.linalg.norm(estimated - true, axis=-1)[:, 1:]) < 0.03


def test_camera_motion_is_estimated_on_backgrounds_with_texture_in_two_directions(clips, estimated):
    textured = np.isin(
        clips.facts.background[:CLIPS], [sprites.BACKGROUNDS.index(b) for b in ("checks", "noise")]
    )
    chosen = textured & (clips.facts.camera[:CLIPS] > 0)
    assert chosen.sum() >= 2
    background = clips.ids[:CLIPS] == 0
    own = np.asarray(end_point_error(estimated, clips.motion[:CLIPS], background))[chosen]
    assert own.max() < 0.1


def test_the_motion_of_objects_is_estimated(clips, estimated):
    main = clips.mask[:CLIPS, ..., 0]
    own = np.asarray(end_point_error(estimated, clips.motion[:CLIPS], main))
    zero_motion = np.asarray(end_point_error(np.zeros_like(estimated), clips.motion[:CLIPS], main))
    assert own.mean() < 0.2
    assert zero_motion.mean() > 1


def test_a_single_frame_has_zero_motion(clips):
    np.testing.assert_array_equal(motion_field(clips.frames[:2, :1]), np.zeros((2, 1, 64, 64, 2)))


def test_end_point_error_is_a_mean_distance_over_a_mask():
    target = np.zeros((1, 3, 4, 4, 2), np.float32)
    field = target + np.array([3, 4], np.float32)
    field[:, 0] = 100  # the first frame has no motion
    np.testing.assert_allclose(end_point_error(field, target), [5])
    where = np.zeros((1, 3, 4, 4), bool)
    assert end_point_error(field, target, where)[0] == 0
    where[0, 2, 1, 1] = True
    field[0, 1] = 7
    np.testing.assert_allclose(end_point_error(field, target, where), [5])
