"""Metrics of maps: known values, and rendered clips against unrelated ones.

On the first 64 test clips (python -m benchmarks.metrics) the foreground IoU of objects found by colour is
0.97 (0.17 for an unrelated clip), and the F-score of colour boundaries against the outlines is 1.00 (0.17).
"""

import numpy as np

from vcjax.evaluation import maps
from vcjax.evaluation.objects import colour_map, object_mask


def unrelated(values):
    return np.roll(values, 1, axis=0)


def test_objects_of_rendered_clips_are_the_foreground(clips):
    depth = clips.depth[..., 0]
    predicted = object_mask(clips.frames)
    assert np.mean(maps.iou(predicted, maps.foreground(depth))) > 0.95
    assert np.mean(maps.iou(predicted, maps.foreground(unrelated(depth)))) < 0.35


def test_iou_is_intersection_over_union():
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    np.testing.assert_allclose(maps.iou(a, b), [1 / 3, 1])


def test_boundaries_of_rendered_clips_are_their_outlines(clips):
    outline = clips.outline[..., 0] > 0.5
    lines = maps.boundaries(colour_map(clips.frames))
    assert np.mean(maps.f_score(lines, outline)) > 0.99
    assert np.mean(maps.f_score(lines, unrelated(outline))) < 0.35


def test_f_score_has_a_tolerance_of_one_pixel():
    target = np.zeros((1, 16, 16), bool)
    target[:, 4:12, 8] = True
    for shift, score in ((0, 1), (1, 1), (-1, 1), (2, 0)):
        np.testing.assert_allclose(maps.f_score(np.roll(target, shift, axis=2), target), score)
    half = target.copy()
    half[:, 7:] = False  # three of eight pixels, with a fourth in tolerance: precision 1, recall 1/2
    np.testing.assert_allclose(maps.f_score(half, target), 2 / 3, atol=1e-6)
    empty = np.zeros_like(target)
    assert maps.f_score(empty, empty) == 1
    assert maps.f_score(empty, target) == 0
    assert maps.f_score(target, empty) == 0
