"""True clips of the sprite world's test split, on which every measure is validated."""

import jax
import jax.numpy as jnp
import pytest

from vcjax.data import sprites

CLIPS = 24


@pytest.fixture(scope="package")
def clips() -> sprites.Sprites:
    """Clips with all that is true of them, on the host; clip n+1 stands for a video that has nothing to do with clip n."""
    return jax.device_get(sprites.batch("test", jnp.arange(CLIPS)))
