import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables, run
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import TextTower
from vcjax.models.stc import STCEncoder, adaptive_average_pool
from vcjax.models.tokens import TokenEncoder


@pytest.mark.parametrize(
    ("have", "want"), [((12, 12), (4, 4)), ((10, 7), (4, 3)), ((3, 5), (4, 8)), ((4, 4), (4, 4))]
)
def test_adaptive_pooling_averages_the_cells_it_should(have, want):
    x = np.random.default_rng(0).standard_normal((2, *have, 3)).astype(np.float32)
    pooled = np.zeros((2, *want, 3))
    for i in range(want[0]):
        for j in range(want[1]):
            rows = slice(i * have[0] // want[0], -(-(i + 1) * have[0] // want[0]))
            columns = slice(j * have[1] // want[1], -(-(j + 1) * have[1] // want[1]))
            pooled[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(adaptive_average_pool(jnp.asarray(x), want), pooled, atol=1e-6)


def test_a_map_of_any_size_becomes_the_latents_size_and_frames_see_one_another():
    stc = STCEncoder()
    maps = jax.random.normal(jax.random.key(0), (2, 3, 40, 24, 2))
    variables = random_variables(stc, maps, (8, 4))
    out = run(stc, variables, maps, (8, 4))
    assert out.shape == (2, 3, 8, 4, 8)
    changed = run(stc, variables, maps.at[:, 2].add(1.0), (8, 4))
    assert jnp.abs(changed[:, 0] - out[:, 0]).max() > 1e-3
    ablated = STCEncoder(temporal=False)
    np.testing.assert_array_equal(
        run(ablated, variables, maps, (8, 4))[:, 0],
        run(ablated, variables, maps.at[:, 2].add(1.0), (8, 4))[:, 0],
    )


def test_a_still_encoded_once_equals_a_still_repeated():
    stc = STCEncoder()
    still = jax.random.normal(jax.random.key(0), (1, 1, 32, 32, 3))
    variables = random_variables(stc, still, (8, 8))
    once = run(stc, variables, still, (8, 8))
    repeated = run(stc, variables, jnp.repeat(still, 5, 1), (8, 8))
    np.testing.assert_allclose(repeated, jnp.repeat(once, 5, 1), atol=1e-5)


def test_with_frame_numbers_a_still_can_say_something_else_in_each_frame_and_begins_alike_in_all():
    stc, plain = STCEncoder(frame_numbers=True), STCEncoder()
    still = jax.random.normal(jax.random.key(0), (1, 1, 32, 32, 3))
    variables = random_variables(stc, still, (8, 8))

    def encoded(variables, maps):
        return jax.jit(lambda v, x: stc.apply(v, x, (8, 8), numbers=jnp.arange(5)[None]))(variables, maps)

    once = encoded(variables, still)
    assert once.shape == (1, 5, 8, 8, 8)
    assert (jnp.abs(once[:, 1:] - once[:, :-1]).max((0, 2, 3, 4)) > 0.1 * once.std()).all()
    np.testing.assert_allclose(encoded(variables, jnp.repeat(still, 5, 1)), once, atol=1e-5)
    begun = jax.tree.map_with_path(lambda path, x: x * (path[-2].key != "frame_number"), variables)
    without = {"params": {name: x for name, x in variables["params"].items() if name != "frame_number"}}
    alike = run(plain, without, still, (8, 8))
    np.testing.assert_array_equal(encoded(begun, still), jnp.repeat(alike, 5, 1))


def test_a_still_for_one_frame_is_what_it_says_of_that_frame_of_a_clip():
    stc = STCEncoder(frame_numbers=True)
    stills = jax.random.normal(jax.random.key(0), (2, 1, 32, 32, 3))
    variables = random_variables(stc, stills, (8, 8))
    encode = jax.jit(lambda numbers: stc.apply(variables, stills, (8, 8), numbers=numbers))
    clips, numbers = encode(jnp.arange(5)[None]), jnp.array([[3], [1]])
    np.testing.assert_allclose(encode(numbers), clips[jnp.arange(2)[:, None], numbers], atol=1e-6)


def test_a_custom_encoder_that_starts_at_zero_says_nothing_but_can_learn():
    stc = STCEncoder(zero=True)
    maps = jax.random.normal(jax.random.key(0), (1, 2, 32, 32, 1))
    variables = jax.jit(lambda k: stc.init(k, maps, (8, 8)))(jax.random.key(1))
    assert not run(stc, variables, maps, (8, 8)).any()
    gradient = jax.jit(jax.grad(lambda v: stc.apply(v, maps, (8, 8)).sum()))(variables)["params"]
    assert jnp.abs(gradient["conv_2"]["kernel"]).max() > 0


def test_tokens_are_text_then_style_and_the_mask_says_who_is_there():
    encoder = TokenEncoder(features=6)
    text = jax.random.normal(jax.random.key(0), (2, 3, 6))
    embeddings = {"style": jnp.ones((2, 4)), "text": text}
    present = {"style": jnp.array([True, False]), "text": jnp.array([True, True])}
    variables = random_variables(encoder, embeddings, present)
    tokens, mask = jax.jit(encoder.apply)(variables, embeddings, present)
    np.testing.assert_array_equal(tokens[:, :3], text)
    np.testing.assert_array_equal(mask, [[True] * 4, [True] * 3 + [False]])
    null, _ = encoder.apply(variables, embeddings | {"style": jnp.zeros((2, 4))}, present)
    assert jnp.abs(null[:, 3]).max() > 0  # zeros still pass the MLP, whose biases are not zero


def test_the_autoencoder_shrinks_by_its_factor_and_samples_its_posterior():
    autoencoder = Autoencoder(width=16, multipliers=(1, 2, 2), blocks=1, groups=8)
    images = jax.random.uniform(jax.random.key(0), (2, 16, 24, 3), minval=-1)
    variables = random_variables(autoencoder, images)
    posterior = run(autoencoder, variables, images, method="encode")
    assert autoencoder.factor == 4
    assert posterior.mean.shape == (2, 4, 6, 4)
    draws = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(1), 2000))
    np.testing.assert_allclose(draws.mean(0), posterior.mean, atol=0.15 * float(posterior.deviation.max()))
    np.testing.assert_allclose(
        draws.std(0), posterior.deviation, rtol=0.1
    )  # 2,000 draws: 1.6 % at one deviation
    assert run(autoencoder, variables, posterior.mean, method="decode").shape == images.shape


def test_the_text_tower_is_causal():
    tower = TextTower(vocabulary=50, length=8, width=16, layers=2, heads=2)
    ids = jnp.array([[1, 2, 3, 4, 5, 6, 7, 8]])
    variables = random_variables(tower, ids)
    out = run(tower, variables, ids)
    changed = run(tower, variables, ids.at[0, 5].set(40))
    np.testing.assert_allclose(out[:, :5], changed[:, :5], atol=1e-6)
    assert (jnp.abs(out[:, 5:] - changed[:, 5:]).max(-1) > 1e-3).all()
