"""Encoders of stills that begin as those of sequences answer as those do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables
from vcjax.models.stc import STCEncoder
from vcjax.training.stills import stills_of_sequences


@pytest.mark.parametrize("patch", [1, 2])
def test_an_image_is_encoded_as_footage_of_which_nothing_is_hidden(patch):
    encoder = STCEncoder(features=8, patch=patch)
    image = jax.random.uniform(jax.random.key(0), (2, 1, 64, 64, 3))
    footage = jnp.concatenate([2 * image - 1, jnp.ones((2, 1, 64, 64, 1))], -1)
    stc = {
        name: jax.jit(lambda key, x: encoder.init(key, x, (8, 8)))(jax.random.key(i), x)["params"]
        for i, (name, x) in enumerate({"mask": footage, "image": image}.items())
    }

    def encoded(parameters, x):
        return jax.jit(lambda p, x: encoder.apply({"params": p}, x, (8, 8)))(parameters, x)[:, :, 1:-1, 1:-1]

    wanted = encoded(stc["mask"], footage)
    assert np.abs(encoded(stc["image"], image) - wanted).max() > 0.1 * wanted.std()
    begun = stills_of_sequences(stc)
    assert jax.tree.map(jnp.shape, begun) == jax.tree.map(jnp.shape, stc)
    np.testing.assert_allclose(encoded(begun["image"], image), wanted, atol=1e-5 * float(wanted.std()) + 1e-5)


def test_encoders_that_know_frame_numbers_begin_with_the_still_in_the_first_frame_alone():
    encoder = STCEncoder(features=8, frame_numbers=True)
    sketch = jax.random.uniform(jax.random.key(0), (1, 1, 32, 32, 1))
    random = random_variables(encoder, sketch, (4, 4))["params"]
    begun = stills_of_sequences({"sketch": random, "single_sketch": random})["single_sketch"]
    encoded = jax.jit(lambda p: encoder.apply({"params": p}, sketch, (4, 4), frames=3))(begun)
    plain = {name: x for name, x in random.items() if name != "frame_number"}
    alone = jax.jit(lambda p: STCEncoder(features=8).apply({"params": p}, sketch, (4, 4)))(plain)
    np.testing.assert_allclose(encoded[:, :1], alone, atol=1e-6)
    np.testing.assert_allclose(encoded[:, 1:], 0, atol=1e-6)


def test_a_single_sketch_begins_as_sketches_and_a_model_without_both_stays_as_it_is():
    stc = {
        "single_sketch": {"kernel": np.zeros(2)},
        "sketch": {"kernel": np.ones(2)},
        "image": {"kernel": np.ones(1)},
    }
    begun = stills_of_sequences(stc)
    np.testing.assert_array_equal(begun["single_sketch"]["kernel"], np.ones(2))
    assert begun["single_sketch"]["kernel"] is not begun["sketch"]["kernel"]
    assert begun["image"] is stc["image"]
