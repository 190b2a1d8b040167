"""Linear layers and activations against references: values, gradients and 16-bit types."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.kernels.geglu import gelu
from vcjax.models.layers import dense

SHAPES = [(5, 12), (2, 3, 12), (2, 3, 4, 12)]


def both(layer, x):
    """Return values and gradients of a layer and of `nn.Dense` with the same parameters."""
    parameters = layer.init(jax.random.key(0), x)
    theirs = nn.Dense(layer.features, use_bias=layer.use_bias, dtype=layer.dtype)
    weights = jax.random.normal(jax.random.key(1), (*x.shape[:-1], layer.features))

    def loss(module, parameters, x):
        y = module.apply(parameters, x)
        return (y.astype(jnp.float32) * weights).sum(), y

    of = (jax.value_and_grad(loss, (1, 2), has_aux=True)(module, parameters, x) for module in (layer, theirs))
    return [jax.tree.leaves((aux, gradients)) for (_, aux), gradients in of]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("dtype", "bound"), [(jnp.float32, 1e-6), (jnp.bfloat16, 1e-2)])
def test_dense_equals_flaxs_in_value_and_gradient(shape, use_bias, dtype, bound):
    x = jax.random.normal(jax.random.key(2), shape)
    ours, theirs = both(dense(7, dtype, "layer", use_bias=use_bias), x)
    assert len(ours) == len(theirs) == 3 + use_bias
    for a, b in zip(ours, theirs, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(np.float32(a), np.float32(b), atol=bound * float(jnp.abs(b).max()))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_gelu_is_exact(dtype):
    x = jnp.linspace(-6, 6, 601).astype(dtype)
    erf = jax.vmap(lambda v: jax.scipy.special.erf(v / jnp.sqrt(2.0)))(x.astype(jnp.float32))
    expected = x.astype(jnp.float32) * (0.5 + 0.5 * erf)
    y = gelu(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        np.float32(y), expected, atol=float(jnp.finfo(dtype).eps) * 2, rtol=float(jnp.finfo(dtype).eps)
    )
    np.testing.assert_allclose(gelu(jnp.array([-1.0, 1.0, 3.0])), [-0.158655, 0.841345, 2.995950], atol=1e-6)
