"""Properties of the extraction networks and their layers that hold for any weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables, run
from vcjax.errors import BadInput
from vcjax.models.clip import ImageTower
from vcjax.models.dpt import DPT, PatchConvTranspose, upsample2x
from vcjax.models.pidinet import DepthwiseConv, PiDiNet
from vcjax.models.sketch_cleaner import ConvTranspose4x4, SketchCleaner


def transposed(x, kernel, stride, padding):
    """Transposed convolution by its definition: every input pixel adds its multiple of the kernel."""
    (batch, height, width, _), (size, _, _, features) = x.shape, kernel.shape
    out = np.zeros((batch, (height - 1) * stride + size, (width - 1) * stride + size, features))
    for i in range(height):
        for j in range(width):
            part = np.einsum("bi,klio->bklo", x[:, i, j], kernel)
            out[:, i * stride : i * stride + size, j * stride : j * stride + size] += part
    return out[:, padding : out.shape[1] - padding, padding : out.shape[2] - padding]


@pytest.mark.parametrize(
    ("module", "stride", "padding"),
    [
        (ConvTranspose4x4(5, jnp.float32), 2, 1),
        (PatchConvTranspose(2, jnp.float32), 2, 0),
        (PatchConvTranspose(4, jnp.float32), 4, 0),
    ],
)
def test_transposed_convolutions_equal_their_definition(module, stride, padding):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    variables = random_variables(module, x)
    expected = transposed(np.asarray(x), np.asarray(variables["params"]["kernel"]), stride, padding)
    np.testing.assert_allclose(
        run(module, variables, x), expected + np.asarray(variables["params"]["bias"]), atol=1e-5
    )


def test_upsample2x_aligns_corners_and_interpolates_linearly():
    rows, columns = np.mgrid[0:5, 0:3].astype(np.float32)
    y = upsample2x(jnp.asarray(rows + 10 * columns)[None, ..., None])[0, ..., 0]
    expected = np.linspace(0, 4, 10)[:, None] + 10 * np.linspace(0, 2, 6)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_conv_equals_a_grouped_convolution(kernel):
    module = DepthwiseConv(kernel, jnp.float32)
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


def test_image_embeddings_are_independent_in_a_batch_and_depend_on_positions():
    tower = ImageTower(image_size=28, patch_size=7, width=16, layers=2, heads=2, embed_dim=5)
    images = jax.random.normal(jax.random.key(0), (3, 28, 28, 3))
    variables = random_variables(tower, images)
    embeddings = run(tower, variables, images)
    assert embeddings.shape == (3, 5)
    np.testing.assert_allclose(run(tower, variables, images[1:]), embeddings[1:], atol=1e-5)
    moved = run(tower, variables, jnp.roll(images, 7, 1))
    assert jnp.abs(moved - embeddings).max() > 1e-3
    with pytest.raises(BadInput, match="takes images of 28x28 pixels, not 28x35"):
        tower.apply(variables, jnp.zeros((1, 28, 35, 3)))


@pytest.mark.parametrize(
    ("patch", "height", "width"), [(16, 32, 32), (16, 64, 96), (8, 32, 64), (32, 64, 64)]
)
def test_depth_has_the_size_of_the_image_and_is_not_negative(patch, height, width):
    dpt = DPT(
        image_size=32,
        patch_size=patch,
        width=16,
        layers=4,
        heads=2,
        neck_channels=(4, 5, 6, 7),
        fusion_channels=4,
    )
    images = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    depth = run(dpt, random_variables(dpt, images, seed=1), images)
    assert depth.shape == (2, height, width, 1)
    assert depth.min() >= 0
    assert depth.std() > 0
    with pytest.raises(BadInput, match="multiples of 32, not 48x64"):
        dpt.init(jax.random.key(0), jnp.zeros((1, 48, 64, 3)))
    with pytest.raises(BadInput, match="patch_size must be 4, 8, 16 or 32, not 12"):
        DPT(image_size=32, patch_size=12).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_edges_are_probabilities_with_a_bounded_receptive_field():
    """The last stage (stride 8, dilation 11) bounds the receptive field to less than 250 pixels."""
    pidinet = PiDiNet(base_channels=4, dilation_channels=3)
    images = jax.random.normal(jax.random.key(0), (1, 45, 331, 3))
    variables = random_variables(pidinet, images)
    edges = run(pidinet, variables, images)
    assert edges.shape == (1, 45, 331, 1)
    assert 0 <= edges.min() < edges.max() <= 1
    changed = run(pidinet, variables, images.at[:, :, :8].add(3.0))
    assert jnp.abs(changed - edges)[:, :, :8].max() > 1e-3
    np.testing.assert_allclose(changed[:, :, 250:], edges[:, :, 250:], atol=1e-6)


def test_sketch_cleaner_keeps_the_size_and_reports_one_that_is_no_multiple_of_8():
    cleaner = SketchCleaner(channels=(3,) * 22)
    edges = jax.random.uniform(jax.random.key(0), (2, 16, 24, 1))
    variables = random_variables(cleaner, edges)
    clean = run(cleaner, variables, edges)
    assert clean.shape == edges.shape
    assert 0 < clean.min() < clean.max() < 1
    with pytest.raises(BadInput, match="multiples of 8, not 16x20"):
        cleaner.init(jax.random.key(0), jnp.zeros((1, 16, 20, 1)))
