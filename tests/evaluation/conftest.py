"""Rendered clips of the sprite world's test split, on which every metric is validated."""

import jax
import jax.numpy as jnp
import pytest

from vcjax.data import sprites

CLIPS = 24


@pytest.fixture(scope="package")
def clips() -> sprites.Sprites:
    """Clips with ground truth, on the host; clip n+1 serves as a video unrelated to clip n."""
    return jax.device_get(sprites.batch("test", jnp.arange(CLIPS)))
