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
    ("size", "pooled_size"), [((12, 12), (4, 4)), ((10, 7), (4, 3)), ((3, 5), (4, 8)), ((4, 4), (4, 4))]
)
def test_adaptive_average_pool_averages_pytorchs_cells(size, pooled_size):
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    pooled = np.zeros((2, *pooled_size, 3))
    for i in range(pooled_size[0]):
        for j in range(pooled_size[1]):
            rows = slice(i * size[0] // pooled_size[0], -(-(i + 1) * size[0] // pooled_size[0]))
            columns = slice(j * size[1] // pooled_size[1], -(-(j + 1) * size[1] // pooled_size[1]))
            pooled[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(adaptive_average_pool(jnp.asarray(x), pooled_size), pooled, atol=1e-6)


def test_stc_encodes_maps_of_any_size_and_mixes_frames():
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


def test_stc_encoding_of_one_frame_equals_that_of_the_repeated_frame():
    stc = STCEncoder()
    image = jax.random.normal(jax.random.key(0), (1, 1, 32, 32, 3))
    variables = random_variables(stc, image, (8, 8))
    once = run(stc, variables, image, (8, 8))
    repeated = run(stc, variables, jnp.repeat(image, 5, 1), (8, 8))
    np.testing.assert_allclose(repeated, jnp.repeat(once, 5, 1), atol=1e-5)


def test_frame_embedding_gives_each_frame_another_encoding_and_is_initialised_to_no_effect():
    stc, plain = STCEncoder(frame_embedding=True), STCEncoder()
    image = jax.random.normal(jax.random.key(0), (1, 1, 32, 32, 3))
    variables = random_variables(stc, image, (8, 8))

    def encoded(variables, maps):
        return jax.jit(lambda v, x: stc.apply(v, x, (8, 8), frame_index=jnp.arange(5)[None]))(variables, maps)

    once = encoded(variables, image)
    assert once.shape == (1, 5, 8, 8, 8)
    assert (jnp.abs(once[:, 1:] - once[:, :-1]).max((0, 2, 3, 4)) > 0.1 * once.std()).all()
    np.testing.assert_allclose(encoded(variables, jnp.repeat(image, 5, 1)), once, atol=1e-5)
    initial = jax.tree.map_with_path(lambda path, x: x * (path[-2].key != "frame_embedding"), variables)
    without = {"params": {name: x for name, x in variables["params"].items() if name != "frame_embedding"}}
    plain_encoding = run(plain, without, image, (8, 8))
    np.testing.assert_array_equal(encoded(initial, image), jnp.repeat(plain_encoding, 5, 1))


def test_frame_index_selects_the_encoding_of_that_frame():
    stc = STCEncoder(frame_embedding=True)
    images = jax.random.normal(jax.random.key(0), (2, 1, 32, 32, 3))
    variables = random_variables(stc, images, (8, 8))
    encode = jax.jit(lambda frame_index: stc.apply(variables, images, (8, 8), frame_index=frame_index))
    clips, frame_index = encode(jnp.arange(5)[None]), jnp.array([[3], [1]])
    np.testing.assert_allclose(encode(frame_index), clips[jnp.arange(2)[:, None], frame_index], atol=1e-6)


def test_zero_initialised_stc_encoder_has_zero_output_and_a_gradient():
    stc = STCEncoder(zero=True)
    maps = jax.random.normal(jax.random.key(0), (1, 2, 32, 32, 1))
    variables = jax.jit(lambda k: stc.init(k, maps, (8, 8)))(jax.random.key(1))
    assert not run(stc, variables, maps, (8, 8)).any()
    gradient = jax.jit(jax.grad(lambda v: stc.apply(v, maps, (8, 8)).sum()))(variables)["params"]
    assert jnp.abs(gradient["conv_2"]["kernel"]).max() > 0


def test_tokens_are_text_then_style_and_the_mask_marks_present_ones():
    encoder = TokenEncoder(token_dim=6)
    text = jax.random.normal(jax.random.key(0), (2, 3, 6))
    embeddings = {"style": jnp.ones((2, 4)), "text": text}
    present = {"style": jnp.array([True, False]), "text": jnp.array([True, True])}
    variables = random_variables(encoder, embeddings, present)
    tokens, mask = jax.jit(encoder.apply)(variables, embeddings, present)
    np.testing.assert_array_equal(tokens[:, :3], text)
    np.testing.assert_array_equal(mask, [[True] * 4, [True] * 3 + [False]])
    null, _ = encoder.apply(variables, embeddings | {"style": jnp.zeros((2, 4))}, present)
    assert jnp.abs(null[:, 3]).max() > 0  # zeros image pass the MLP, whose biases are not zero


def test_autoencoder_downsamples_and_samples_its_posterior():
    autoencoder = Autoencoder(
        base_channels=16, channel_multipliers=(1, 2, 2), num_res_blocks=1, norm_groups=8
    )
    images = jax.random.uniform(jax.random.key(0), (2, 16, 24, 3), minval=-1)
    variables = random_variables(autoencoder, images)
    posterior = run(autoencoder, variables, images, method="encode")
    assert autoencoder.downsampling == 4
    assert posterior.mean.shape == (2, 4, 6, 4)
    draws = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(1), 2000))
    np.testing.assert_allclose(draws.mean(0), posterior.mean, atol=0.15 * float(posterior.std.max()))
    np.testing.assert_allclose(
        draws.std(0), posterior.std, rtol=0.1
    )  # standard error of the std of 2,000 draws: 1.6 %
    assert run(autoencoder, variables, posterior.mean, method="decode").shape == images.shape


def test_text_tower_is_causal():
    tower = TextTower(vocab_size=50, context_length=8, width=16, layers=2, heads=2)
    ids = jnp.array([[1, 2, 3, 4, 5, 6, 7, 8]])
    variables = random_variables(tower, ids)
    out = run(tower, variables, ids)
    changed = run(tower, variables, ids.at[0, 5].set(40))
    np.testing.assert_allclose(out[:, :5], changed[:, :5], atol=1e-6)
    assert (jnp.abs(out[:, 5:] - changed[:, 5:]).max(-1) > 1e-3).all()
