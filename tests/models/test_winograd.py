"""Winograd's algorithm is the convolution it stands for, in value and in gradient, and stands in only where it is worth it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from vcjax.models import winograd as room
from vcjax.models.layers import conv3x3
from vcjax.models.winograd import convolve, saved_per_element, winograd

SIZES = {"plane": (3, 3), "column": (3, 1), "row": (1, 3)}
SHAPES = [(2, 8, 6), (1, 5, 7), (3, 1, 4), (1, 1, 1)]  # even, odd and single places
BOUND = 2e-5  # of the deviation: sums of some hundred products in float32, in another order


def arrays(shape, size, channels=16, features=24):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*shape, channels), np.float32)
    return jnp.asarray(x), jnp.asarray(rng.standard_normal((*size, channels, features), np.float32))


def direct(x, kernel):
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_convolution(shape, size):
    x, kernel = arrays(shape, size)
    expected = np.asarray(direct(x, kernel))
    np.testing.assert_allclose(winograd(x, kernel), expected, rtol=0, atol=BOUND * expected.std())


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_its_gradients_are_the_convolutions(size):
    inputs = arrays((2, 5, 6), size)
    weights = np.random.default_rng(1).standard_normal(direct(*inputs).shape, np.float32)

    def gradients(function):
        return jax.grad(lambda *inputs: (function(*inputs) * weights).sum(), (0, 1))(*inputs)

    for ours, expected in zip(gradients(winograd), gradients(direct), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=BOUND * expected.std())


def test_a_layer_has_the_parameters_of_any_convolution_and_gives_its_values(monkeypatch):
    x, _ = arrays((2, 8, 8), (3, 3))
    ours, plain = conv3x3(24, jnp.float32, "conv"), nn.Conv(24, (3, 3), padding=1, name="conv")
    called = []
    monkeypatch.setattr(room, "WORTHWHILE", 0)
    monkeypatch.setattr(room, "winograd", lambda *inputs: called.append(True) or winograd(*inputs))
    parameters = plain.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(0), x), parameters)
    expected = np.asarray(plain.apply(parameters, x))
    np.testing.assert_allclose(
        np.asarray(ours.apply(parameters, x)), expected, rtol=0, atol=BOUND * expected.std()
    )
    assert bool(called) == (jax.default_backend() == "cpu")


@pytest.mark.parametrize(
    ("x", "kernel", "worthwhile"),
    [
        ((32, 32, 32, 320), (3, 3, 320, 320), True),
        ((32, 8, 8, 1280), (3, 3, 1280, 1280), True),
        ((32, 4, 4, 1280), (3, 3, 1280, 1280), False),  # few pixels: transforming the kernel costs more
        ((2, 16, 256, 640), (3, 1, 640, 640), True),
        ((2, 16, 1024, 320), (3, 1, 320, 320), False),
        ((32, 32, 32, 48), (3, 3, 48, 48), False),
        ((32, 32, 32, 640), (1, 1, 640, 640), False),
    ],
)
def test_it_is_for_wide_layers_on_many_pixels(x, kernel, worthwhile):
    assert (saved_per_element(x, kernel) > room.WORTHWHILE) == worthwhile


@pytest.mark.parametrize(("dtype", "strides"), [(jnp.bfloat16, (1, 1)), (jnp.float32, (2, 2))])
def test_other_types_and_strides_are_left_alone(monkeypatch, dtype, strides):
    monkeypatch.setattr(room, "WORTHWHILE", 0)
    monkeypatch.setattr(room, "winograd", lambda *_: pytest.fail("not this one"))
    x, kernel = (array.astype(dtype) for array in arrays((1, 8, 8), (3, 3)))
    names = ("NHWC", "HWIO", "NHWC")
    out = convolve(x, kernel, strides, [(1, 1), (1, 1)], dimension_numbers=names)
    assert out.shape == (1, 8 // strides[0], 8 // strides[0], 24)
