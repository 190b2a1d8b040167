"""Image metrics: closed forms, and rendered clips against unrelated ones.

First frame against last frame of the first 64 test clips (python -m benchmarks.metrics): palette distance
0.02, and 0.20 with the last frame of an unrelated clip; texture distance 0.014 and 0.072.
"""

import numpy as np

from vcjax.evaluation import pictures


def unrelated(values):
    return np.roll(values, 1, axis=0)


def test_psnr_of_a_known_error_and_with_a_mask():
    target = np.full((1, 8, 8, 3), 100, np.uint8)
    np.testing.assert_allclose(pictures.psnr(target + np.uint8(1), target), 20 * np.log10(255), rtol=1e-5)
    assert pictures.psnr(target, target) == pictures.MAX_PSNR
    corrupted = target.copy()
    corrupted[:, :4] = 0
    where = np.zeros((1, 8, 8), bool)
    where[:, 4:] = True
    assert pictures.psnr(corrupted, target, where) == pictures.MAX_PSNR
    assert pictures.psnr(corrupted, target) < 12


def test_ssim_of_constant_images_depends_on_their_means():
    a, b = np.full((1, 16, 16, 3), 51, np.uint8), np.full((1, 16, 16, 3), 153, np.uint8)
    c1 = 0.01**2
    np.testing.assert_allclose(pictures.ssim(a, b), (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1), rtol=1e-4)


def test_ssim_falls_with_noise_and_more_with_other_content(clips):
    first = clips.frames[:, 0]
    np.testing.assert_allclose(pictures.ssim(first, first), 1, atol=1e-4)
    noise = np.random.default_rng(0).normal(0, 5, first.shape)
    noisy = np.clip(first + noise, 0, 255).astype(np.uint8)
    assert 0.7 < np.mean(pictures.ssim(noisy, first)) < 0.95
    assert np.mean(pictures.ssim(unrelated(first), first)) < 0.4


def test_ssim_equals_the_formula_of_the_paper_for_one_window():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 1, 11, 11, 3), np.uint8)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window = (window / window.sum())[..., None]
    x, y = a[0] / 255, b[0] / 255
    mx, my = (window * x).sum((0, 1)), (window * y).sum((0, 1))
    vx, vy = (window * (x - mx) ** 2).sum((0, 1)), (window * (y - my) ** 2).sum((0, 1))
    cov = (window * (x - mx) * (y - my)).sum((0, 1))
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    np.testing.assert_allclose(pictures.ssim(a, b), [expected.mean()], atol=1e-5)


def test_palette_distance_ignores_positions(clips):
    first, last = clips.frames[:, 0], clips.frames[:, -1]
    np.testing.assert_allclose(pictures.palette_distance(first, first[:, ::-1, ::-1]), 0, atol=1e-6)
    same, other = (np.asarray(pictures.palette_distance(first, x)) for x in (last, unrelated(last)))
    assert same.mean() < 0.04
    assert other.mean() > 4 * same.mean()
    gray = np.full((1, 8, 8, 3), 100, np.uint8)
    one, two = (pictures.palette_distance(gray + np.uint8(d), gray)[0] for d in (25, 50))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4)
    assert one > 0.03


def test_texture_distance_ignores_positions_and_colour(clips):
    first, last = clips.frames[:, 0], clips.frames[:, -1]
    same, other = (np.asarray(pictures.texture_distance(first, x)) for x in (last, unrelated(last)))
    assert same.mean() < 0.025
    assert other.mean() > 3 * same.mean()
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, (np.arange(32) // 4) % 2 == 0] = 120
    rotated, shifted = stripes.swapaxes(1, 2), np.roll(stripes, 2, axis=1)
    assert pictures.texture_distance(stripes + np.uint8(60), stripes)[0] < 1e-6
    assert pictures.texture_distance(rotated, stripes)[0] > 5 * pictures.texture_distance(shifted, stripes)[0]
