"""Agreement of maps: known values, and true clips against others.

First 64 test clips (python -m benchmarks.measures): rank correlation of depth with itself 1.00, with another clip's
0.11; objects found by colour overlap what is near by 0.97 (another clip's 0.17); F-score of the borders of colours
against the outlines 1.00 (0.17), of plain edges, which see textures too, 0.84 (0.19).
"""

import numpy as np
import pytest
from scipy.stats import spearmanr

from vcjax.evaluation import maps
from vcjax.evaluation.objects import colour_map, objects


def another(values):
    return np.roll(values, 1, axis=0)


def test_rank_correlation_is_spearmans_with_ties():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 9, (5, 12, 10)).astype(np.float32)
    b = a + rng.integers(0, 9, a.shape).astype(np.float32)
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(maps.rank_correlation(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(maps.rank_correlation(a, np.exp(a)), 1, atol=1e-5)  # order alone counts
    np.testing.assert_allclose(maps.rank_correlation(a, -a), -1, atol=1e-5)
    np.testing.assert_array_equal(maps.rank_correlation(a, np.zeros_like(a)), 0)


def test_depth_of_true_clips(clips):
    depth = clips.depth[..., 0]
    assert np.mean(maps.rank_correlation(depth, another(depth))) < 0.4
    seen = objects(clips.frames)
    assert np.mean(maps.overlap(seen, maps.near(depth))) > 0.95
    assert np.mean(maps.overlap(seen, maps.near(another(depth)))) < 0.35


def test_overlap_is_intersection_over_union():
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True
    np.testing.assert_allclose(maps.overlap(a, b), [1 / 3, 1])


def test_lines_of_true_clips_are_their_outlines(clips):
    outline = clips.outline[..., 0] > 0.5
    lines = {
        "borders": (maps.borders(colour_map(clips.frames)), 0.99),
        "edges": (maps.edges(clips.frames), 0.75),
    }
    for name, (found, least) in lines.items():
        assert np.mean(maps.f_score(found, outline)) > least, name
        assert np.mean(maps.f_score(found, another(outline))) < 0.35, name


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


@pytest.mark.parametrize("axis", [1, 2])
def test_edges_are_thin_and_where_the_step_is(axis):
    picture = np.zeros((1, 20, 20, 3), np.uint8)
    picture[:, 10:] = 200
    picture = picture if axis == 1 else picture.swapaxes(1, 2)
    found = np.asarray(maps.edges(picture))[0]
    lines = np.nonzero(found.any(2 - axis))[0]
    assert set(lines) <= {9, 10}
    assert found.all(2 - axis)[lines].all()
    assert not np.asarray(maps.edges(np.full_like(picture, 90))).any()
    assert not np.asarray(maps.edges(picture, threshold=0.9)).any()
