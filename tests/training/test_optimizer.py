"""The norm of a gradient: it is Optax's, on every platform, and clips as Optax does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vcjax.platforms import compiling_for
from vcjax.training.config import Optimizer
from vcjax.training.optimizer import JOINED, global_norm, make_optimizer

SHAPES = [(), (7,), (5, 3), (3, 3, 4, 8)] * (JOINED // 2)


@pytest.fixture(scope="module")
def tree():
    random = np.random.default_rng(0)
    return {str(i): jnp.asarray(random.normal(size=shape), jnp.float32) for i, shape in enumerate(SHAPES)}


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_the_norm_is_that_of_optax(tree, platform):
    with compiling_for(platform):
        norm = jax.jit(global_norm)(tree)
    np.testing.assert_allclose(norm, optax.tree.norm(tree), rtol=1e-6)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_gradients_are_clipped_as_optax_does(tree, limit):
    config = Optimizer(
        name="sgd", learning_rate=1.0, warmup_steps=0, schedule="constant", max_grad_norm=limit
    )
    transform = make_optimizer(config, 10, jax.tree.map(lambda _: True, tree))
    updates, _ = transform.update(tree, transform.init(tree), tree)
    clip = optax.clip_by_global_norm(limit)
    expected, _ = clip.update(tree, clip.init(tree))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, rtol=1e-5), updates, expected)
