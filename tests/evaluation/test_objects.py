"""Rule-based object detection: near-perfect on rendered clips, near chance on unrelated ones.

On the first 64 test clips (python -m benchmarks.metrics): trajectory error 0.31 pixels, 0.15 for clips with
one object (others occlude it, and the frame cuts it off), 0.09 against the centroid of its visible part, 18
against an unrelated clip; direction accuracy 100 % (unrelated clip 8 %, chance 12 %); shape accuracy 98 % (19
%, chance 17 %).
"""

import numpy as np
import pytest

from vcjax.data import sprites
from vcjax.evaluation import objects

FRAMES = 16


@pytest.fixture(scope="module")
def found(clips):
    """The mask of the main object, segmented by its colour."""
    return np.asarray(objects.mask_of_colour(clips.frames, clips.facts.colour[:, 0]))


def unrelated(values):
    return np.roll(values, 1, axis=0)


def test_the_mask_of_a_colour_is_that_of_the_rendered_object(clips, found):
    true = clips.mask[..., 0]
    assert (found & true).sum() / (found | true).sum() > 0.95  # all but the blended pixels of its edge
    assert objects.present(found).all()
    assert np.mean(np.asarray(objects.object_mask(clips.frames)) == (clips.ids > 0)) > 0.99


def test_its_centroids_are_the_track(clips, found):
    track = objects.centroids(found)
    assert np.max(objects.trajectory_error(track, objects.centroids(clips.mask[..., 0]))) < 0.3
    single = clips.facts.count == 1
    assert single.sum() >= 5
    assert np.mean(objects.trajectory_error(track, clips.track)[single]) < 0.25
    assert np.mean(objects.trajectory_error(track, clips.track)) < 0.6
    assert np.mean(objects.trajectory_error(track, unrelated(clips.track))) > 10


def test_trajectory_error_is_a_distance_in_pixels(clips):
    moved = clips.track + np.array([3.0, 4.0], np.float32)
    np.testing.assert_allclose(objects.trajectory_error(moved, clips.track), 5, atol=1e-4)


def test_the_centroid_of_an_absent_object_is_the_centre_of_the_frame(clips):
    gray = np.full_like(clips.frames[:2], 128)
    mask = objects.mask_of_colour(gray, np.zeros(2, np.int32))
    assert not objects.present(mask).any()
    np.testing.assert_array_equal(objects.centroids(mask), np.full((2, FRAMES, 2), 31.5))


def test_direction_is_the_true_one(clips, found):
    predicted, true = np.asarray(objects.direction(objects.centroids(found))), clips.facts.direction[:, 0]
    assert np.mean(predicted == true) > 0.95
    assert (
        np.mean(predicted == unrelated(true)) < 0.4
    )  # chance 0.125; three standard deviations over 24 clips are 0.2
    off = objects.angle_between(objects.heading(objects.centroids(found)), objects.heading(clips.track))
    assert np.degrees(off).mean() < 4


@pytest.mark.parametrize(("index", "name"), list(enumerate(sprites.DIRECTIONS)))
def test_each_direction_has_its_name(index, name):
    x = {"left": -1, "right": 1}.get(name.split()[-1], 0)
    y = {"up": -1, "down": 1}.get(name.split()[0], 0)
    track = np.outer(np.arange(FRAMES), [x, y]).astype(np.float32)
    assert objects.direction(track) == index


def test_the_angle_between_headings_is_at_most_pi():
    a, b = np.radians(np.array([170.0, 10.0], np.float32)), np.radians(np.array([-170.0, 30.0], np.float32))
    np.testing.assert_allclose(objects.angle_between(a, b), np.radians([20, 20]), atol=1e-5)


def test_shape_is_the_rendered_one(clips, found):
    ious = np.asarray(objects.shape_ious(found))
    assert ious.shape == (len(found), len(sprites.SHAPES))
    assert ious.min() >= 0
    assert ious.max() <= 1
    predicted, true = ious.argmax(-1), clips.facts.shape[:, 0]
    assert np.mean(predicted == true) > 0.95
    assert np.mean(predicted == unrelated(true)) < 0.45  # chance 0.17
    assert ious[np.arange(len(true)), true].mean() > 0.8


def test_an_empty_mask_has_zero_iou_with_every_shape():
    ious = np.asarray(objects.shape_ious(np.zeros((1, 2, 64, 64), bool)))
    assert np.isfinite(ious).all()
    assert ious.max() == 0
