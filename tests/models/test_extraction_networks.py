"""The networks that conditions are extracted with: what their own pieces must do, whatever the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables, run
from vcjax.errors import BadInput
from vcjax.models.clip import ImageTower
from vcjax.models.dpt import DPT, Unfold, doubled
from vcjax.models.pidinet import Depthwise, PiDiNet
from vcjax.models.sketch_cleaner import Doubling, SketchCleaner


def transposed(x, kernel, stride, padding):
    """A transposed convolution by its definition: every pixel adds its kernel to the result."""
    (batch, height, width, _), (size, _, _, features) = x.shape, kernel.shape
    whole = np.zeros((batch, (height - 1) * stride + size, (width - 1) * stride + size, features))
    for i in range(height):
        for j in range(width):
            part = np.einsum("bi,klio->bklo", x[:, i, j], kernel)
            whole[:, i * stride : i * stride + size, j * stride : j * stride + size] += part
    return whole[:, padding : whole.shape[1] - padding, padding : whole.shape[2] - padding]


@pytest.mark.parametrize(
    ("module", "stride", "padding"),
    [(Doubling(5, jnp.float32), 2, 1), (Unfold(2, jnp.float32), 2, 0), (Unfold(4, jnp.float32), 4, 0)],
)
def test_transposed_convolutions_are_what_they_are_defined_to_be(module, stride, padding):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    variables = random_variables(module, x)
    expected = transposed(np.asarray(x), np.asarray(variables["params"]["kernel"]), stride, padding)
    np.testing.assert_allclose(
        run(module, variables, x), expected + np.asarray(variables["params"]["bias"]), atol=1e-5
    )


def test_doubling_puts_corners_on_corners_and_keeps_ramps_straight():
    rows, columns = np.mgrid[0:5, 0:3].astype(np.float32)
    y = doubled(jnp.asarray(rows + 10 * columns)[None, ..., None])[0, ..., 0]
    expected = np.linspace(0, 4, 10)[:, None] + 10 * np.linspace(0, 2, 6)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_depthwise_convolution_keeps_channels_apart(kernel):
    module = Depthwise(kernel, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (1, 7, 6, 3))
    variables = random_variables(module, x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(run(module, variables, x), expected, atol=1e-5)


def test_an_embedding_depends_on_its_picture_alone_and_on_where_things_are():
    tower = ImageTower(size=28, patch=7, width=16, layers=2, heads=2, features=5)
    images = jax.random.normal(jax.random.key(0), (3, 28, 28, 3))
    variables = random_variables(tower, images)
    embeddings = run(tower, variables, images)
    assert embeddings.shape == (3, 5)
    np.testing.assert_allclose(run(tower, variables, images[1:]), embeddings[1:], atol=1e-5)
    moved = run(tower, variables, jnp.roll(images, 7, 1))
    assert jnp.abs(moved - embeddings).max() > 1e-3  # positions tell patches apart
    with pytest.raises(BadInput, match="takes pictures of 28x28 pixels, not 28x35"):
        tower.apply(variables, jnp.zeros((1, 28, 35, 3)))


@pytest.mark.parametrize(
    ("patch", "height", "width"), [(16, 32, 32), (16, 64, 96), (8, 32, 64), (32, 64, 64)]
)
def test_depth_is_a_map_of_the_pictures_size_and_not_below_zero(patch, height, width):
    dpt = DPT(size=32, patch=patch, width=16, layers=4, heads=2, necks=(4, 5, 6, 7), fusion=4)
    images = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    depth = run(dpt, random_variables(dpt, images, seed=1), images)
    assert depth.shape == (2, height, width, 1)
    assert depth.min() >= 0
    assert depth.std() > 0
    with pytest.raises(BadInput, match="multiples of 32, not 48x64"):
        dpt.init(jax.random.key(0), jnp.zeros((1, 48, 64, 3)))
    with pytest.raises(BadInput, match="patch must be 4, 8, 16 or 32, not 12"):
        DPT(size=32, patch=12).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_lines_are_probabilities_at_any_size_and_local():
    """A pixel is seen by the dilated convolutions of the last stage at most: 8 times (4 + 11) pixels away, and a few."""
    pidinet = PiDiNet(width=4, dilated=3)
    images = jax.random.normal(jax.random.key(0), (1, 45, 331, 3))
    variables = random_variables(pidinet, images)
    lines = run(pidinet, variables, images)
    assert lines.shape == (1, 45, 331, 1)
    assert 0 <= lines.min() < lines.max() <= 1
    changed = run(pidinet, variables, images.at[:, :, :8].add(3.0))
    assert jnp.abs(changed - lines)[:, :, :8].max() > 1e-3
    np.testing.assert_allclose(changed[:, :, 250:], lines[:, :, 250:], atol=1e-6)


def test_the_cleaner_keeps_the_size_and_names_one_it_cannot_halve():
    cleaner = SketchCleaner(channels=(3,) * 22)
    lines = jax.random.uniform(jax.random.key(0), (2, 16, 24, 1))
    variables = random_variables(cleaner, lines)
    clean = run(cleaner, variables, lines)
    assert clean.shape == lines.shape
    assert 0 < clean.min() < clean.max() < 1
    with pytest.raises(BadInput, match="multiples of 8, not 16x20"):
        cleaner.init(jax.random.key(0), jnp.zeros((1, 16, 20, 1)))
