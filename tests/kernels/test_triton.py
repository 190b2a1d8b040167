"""The kernels for GPUs, in Pallas's interpreter, have the numbers and the gradients of their plain forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.kernels import triton
from vcjax.kernels.frame_attention import frame_attention, is_supported, plain_frame_attention
from vcjax.kernels.geglu import erf, geglu, plain_geglu
from vcjax.kernels.group_norm import group_norm, plain_group_norm
from vcjax.kernels.layer_norm import add_layer_norm, plain_add_layer_norm


def random(*shapes, scale=1.0):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        (scale * jax.random.normal(key, shape)).astype(jnp.bfloat16)
        for key, shape in zip(keys, shapes, strict=True)
    ]


def assert_equal(fused, plain, *inputs):
    """Results and gradients agree with the plain form in float32, to the precision of bfloat16."""
    wide = [x.astype(jnp.float32) for x in inputs]
    with triton.interpreted():
        out, pull_back = jax.vjp(fused, *inputs)
        assert "pallas_call" in str(jax.make_jaxpr(fused)(*inputs))
        gradient = random(out.shape)[0]
        gradients = pull_back(gradient)
    expected, pull_back = jax.vjp(plain, *wide)
    for found, right in zip(
        (out, *gradients), (expected, *pull_back(gradient.astype(jnp.float32))), strict=True
    ):
        assert found.dtype == jnp.bfloat16
        found, right = np.asarray(found, np.float32), np.asarray(right)
        assert np.abs(found - right).max() <= 0.02 * np.abs(right).max()


@pytest.mark.parametrize(("rows", "channels"), [((2, 16, 4), 320), ((6,), 64), ((5,), 48)])
def test_layer_norm(rows, channels):
    inputs = random((*rows, channels), (*rows, channels), (channels,), (channels,))
    for part in (0, 1):  # the sum and its norm
        assert_equal(
            lambda *a, part=part: add_layer_norm(*a, 1e-5)[part],
            lambda *a, part=part: plain_add_layer_norm(*a, 1e-5)[part],
            *inputs,
        )
    x, _, *parameters = inputs
    assert_equal(
        lambda x, *a: add_layer_norm(x, None, *a, 1e-5)[1],
        lambda x, *a: plain_add_layer_norm(x, None, *a, 1e-5)[1],
        x,
        *parameters,
    )


def test_layer_norm_of_a_large_mean_is_exact():
    (x,) = random((4, 320))
    x = x + jnp.bfloat16(100)
    ones, zeros = jnp.ones(320, jnp.bfloat16), jnp.zeros(320, jnp.bfloat16)
    with triton.interpreted():
        out = np.asarray(add_layer_norm(x, None, ones, zeros, 1e-5)[1], np.float64)
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / wide.std(-1, keepdims=True)
    np.testing.assert_allclose(out, expected, atol=0.02)


@pytest.mark.parametrize(("rows", "channels", "features"), [((2, 128), 64, 128), ((128,), 320, 64)])
def test_geglu(rows, channels, features):
    inputs = random((*rows, channels), (channels, 2 * features), (2 * features,))
    inputs[1] = inputs[1] / channels**0.5
    assert_equal(geglu, plain_geglu, *inputs)


def test_erf():
    x = jnp.linspace(-6, 6, 10001)
    np.testing.assert_allclose(erf(x), jax.scipy.special.erf(x), atol=6e-7)


def test_geglu_of_other_sizes_is_plain():
    x, kernel, bias = random((3, 64), (64, 256), (256,))
    with triton.interpreted():
        assert "pallas_call" not in str(jax.make_jaxpr(geglu)(x, kernel, bias))


@pytest.mark.parametrize(("frames", "head_dim"), [(16, 64), (8, 32), (24, 16), (1, 16)])
def test_frame_attention(frames, head_dim):
    assert is_supported(frames, head_dim)
    inputs = random(*[(2, frames, 3, 2, head_dim)] * 3)
    assert_equal(frame_attention, plain_frame_attention, *inputs)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 16, 64, 320), 32), ((3, 15, 8), 2), ((1, 4, 4, 4, 96), 32), ((2, 7, 24), 3)]
)
def test_group_norm(shape, groups, silu):
    inputs = random(shape, shape[-1:], shape[-1:])
    assert_equal(
        lambda *a: group_norm(*a, groups, 1e-5, silu),
        lambda *a: plain_group_norm(*a, groups, 1e-5, silu),
        *inputs,
    )


def test_group_norm_of_a_large_mean_is_exact():
    (x,) = random((2, 256, 64))
    x = x + jnp.linspace(100, 120, 256)[None, :, None].astype(jnp.bfloat16)
    ones, zeros = jnp.ones(64, jnp.bfloat16), jnp.zeros(64, jnp.bfloat16)
    with triton.interpreted():
        out = np.asarray(group_norm(x, ones, zeros, 2, 1e-5), np.float64).reshape(2, 256, 2, 32)
    wide = np.asarray(x, np.float64).reshape(2, 256, 2, 32)
    expected = (wide - wide.mean((1, 3), keepdims=True)) / wide.std((1, 3), keepdims=True)
    np.testing.assert_allclose(out, expected, atol=0.02)


def test_the_kernels_can_be_differentiated_inside_a_jitted_function():
    x, added, vector = random((4, 64), (4, 64), (64,))

    @jax.jit
    def loss(x, added, vector):
        total, normalised = add_layer_norm(x, added, vector, vector, 1e-5)
        return (group_norm(total + normalised, vector, vector, 4, 1e-5, True)).astype(jnp.float32).sum()

    with triton.interpreted():
        found = jax.grad(loss, (0, 1, 2))(x, added, vector)
    assert all(jnp.isfinite(each.astype(jnp.float32)).all() for each in found)
    np.testing.assert_array_equal(found[0], found[1])
