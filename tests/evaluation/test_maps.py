"""Agreement of maps: known values, and true clips against others.

First 64 test clips (python -m benchmarks.measures): objects found by colour overlap what is near by 0.97 (another clip's 0.17); F-score of the borders of colours
against the outlines 1.00 (0.17).
"""

import numpy as np

from vcjax.evaluation import maps
from vcjax.evaluation.objects import colour_map, objects


def another(values):
    return np.roll(values, 1, axis=0)


def test_depth_of_true_clips(clips):
    depth = clips.depth[..., 0]
    seen = objects(clips.frames)
    assert np.mean(maps.overlap(seen, maps.near(depth))) > 0.95
    assert np.mean(maps.overlap(seen, maps.near(another(depth)))) < 0.35


def test_overlap_is_intersection_over_union():
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    np.testing.assert_allclose(maps.overlap(a, b), [1 / 3, 1])


def test_lines_of_true_clips_are_their_outlines(clips):
    outline = clips.outline[..., 0] > 0.5
    lines = maps.borders(colour_map(clips.frames))
    assert np.mean(maps.f_score(lines, outline)) > 0.99
    assert np.mean(maps.f_score(lines, another(outline))) < 0.35


def test_f_score_forgives_one_pixel_and_no_more():
    wanted = np.zeros((1, 16, 16), bool)
    wanted[:, 4:12, 8] = True
    for shift, score in ((0, 1), (1, 1), (-1, 1), (2, 0)):
        np.testing.assert_allclose(maps.f_score(np.roll(wanted, shift, axis=2), wanted), score)
    half = wanted.copy()
    half[:, 7:] = False  # three of eight, and a fourth within reach of them: precision 1, recall 1/2
    np.testing.assert_allclose(maps.f_score(half, wanted), 2 / 3, atol=1e-6)
    nothing = np.zeros_like(wanted)
    assert maps.f_score(nothing, nothing) == 1
    assert maps.f_score(nothing, wanted) == 0
    assert maps.f_score(wanted, nothing) == 0
