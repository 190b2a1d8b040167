"""Winograd convolutions against `lax.conv_general_dilated`: values, gradients, and when they are used."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from vcjax.kernels import winograd as winograd_module
from vcjax.kernels.winograd import convolve, saved_per_element, winograd
from vcjax.models.layers import conv3x3

SIZES = {"plane": (3, 3), "column": (3, 1), "row": (1, 3)}
SHAPES = [(2, 8, 6), (1, 5, 7), (3, 1, 4), (1, 1, 1)]  # even, odd and single positions
BOUND = 2e-5  # of the standard deviation: float32 sums of some hundred products in another order


def arrays(shape, size, channels=16, features=24):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*shape, channels), np.float32)
    return jnp.asarray(x), jnp.asarray(rng.standard_normal((*size, channels, features), np.float32))


def direct(x, kernel):
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_winograd_equals_the_convolution(shape, size):
    x, kernel = arrays(shape, size)
    expected = np.asarray(direct(x, kernel))
    np.testing.assert_allclose(winograd(x, kernel), expected, rtol=0, atol=BOUND * expected.std())


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_gradients_equal_those_of_the_convolution(size):
    inputs = arrays((2, 5, 6), size)
    weights = np.random.default_rng(1).standard_normal(direct(*inputs).shape, np.float32)

    def gradients(function):
        return jax.grad(lambda *inputs: (function(*inputs) * weights).sum(), (0, 1))(*inputs)

    for ours, expected in zip(gradients(winograd), gradients(direct), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=BOUND * expected.std())


def test_conv3x3_has_the_parameters_and_values_of_nn_conv(monkeypatch):
    x, _ = arrays((2, 8, 8), (3, 3))
    ours, plain = conv3x3(24, jnp.float32, "conv"), nn.Conv(24, (3, 3), padding=1, name="conv")
    called = []
    monkeypatch.setattr(winograd_module, "MIN_SAVED_PER_ELEMENT", 0)
    monkeypatch.setattr(winograd_module, "winograd", lambda *inputs: called.append(True) or winograd(*inputs))
    parameters = plain.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(0), x), parameters)
    expected = np.asarray(plain.apply(parameters, x))
    np.testing.assert_allclose(
        np.asarray(ours.apply(parameters, x)), expected, rtol=0, atol=BOUND * expected.std()
    )
    assert bool(called) == (jax.default_backend() == "cpu")


@pytest.mark.parametrize(
    ("x", "kernel", "used"),
    [
        ((32, 32, 32, 320), (3, 3, 320, 320), True),
        ((32, 8, 8, 1280), (3, 3, 1280, 1280), True),
        ((32, 4, 4, 1280), (3, 3, 1280, 1280), False),  # few pixels: the transform of the kernel dominates
        ((2, 16, 256, 640), (3, 1, 640, 640), True),
        ((2, 16, 1024, 320), (3, 1, 320, 320), False),
        ((32, 32, 32, 48), (3, 3, 48, 48), False),
        ((32, 32, 32, 640), (1, 1, 640, 640), False),
    ],
)
def test_winograd_is_used_for_wide_layers_on_many_pixels(x, kernel, used):
    assert (saved_per_element(x, kernel) > winograd_module.MIN_SAVED_PER_ELEMENT) == used


@pytest.mark.parametrize(("dtype", "strides"), [(jnp.bfloat16, (1, 1)), (jnp.float32, (2, 2))])
def test_other_types_and_strides_use_the_direct_convolution(monkeypatch, dtype, strides):
    monkeypatch.setattr(winograd_module, "MIN_SAVED_PER_ELEMENT", 0)
    monkeypatch.setattr(winograd_module, "winograd", lambda *_: pytest.fail("Winograd was used"))
    x, kernel = (array.astype(dtype) for array in arrays((1, 8, 8), (3, 3)))
    names = ("NHWC", "HWIO", "NHWC")
    out = convolve(x, kernel, strides, [(1, 1), (1, 1)], dimension_numbers=names)
    assert out.shape == (1, 8 // strides[0], 8 // strides[0], 24)
