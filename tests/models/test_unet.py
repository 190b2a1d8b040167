import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables, run, small_unet, unet_inputs
from vcjax.errors import BadInput
from vcjax.models.layers import sinusoidal_embedding
from vcjax.models.unet import UNet
from vcjax.weights.networks import Networks

MAPS = {"image": 3, "single_sketch": 1, "motion": 2, "depth": 1, "mask": 4, "sketch": 1}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_released_sizes_have_the_originals_parameter_count():
    shapes = Networks().shapes(MAPS, {"style": 1024})
    assert count(shapes["tokens"]) == 2_099_200
    assert count([shapes["unet"], shapes["stc"], shapes["tokens"]]) == 1_413_435_636


def without_temporal_outputs(variables):
    """Set temporal convolutions and transformers to their initial zero outputs."""

    def zero(path, leaf):
        names = [entry.key for entry in path]
        last_convolution = names[-3:-1] == ["temporal", "conv_3"]
        is_transformer = names[-3] == "temporal_in" or names[-3].endswith("_temporal")
        return jnp.zeros_like(leaf) if last_convolution or (is_transformer and names[-2] == "out") else leaf

    return jax.tree.map_with_path(zero, variables)


def test_frames_are_independent_only_if_the_temporal_layers_are_zero():
    unet = small_unet()
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    random = random_variables(unet, z, t, maps, tokens, mask)

    def largest_difference(variables):
        clip = run(unet, variables, z, t, maps, tokens, mask)
        assert clip.std() > 0.1
        z_frames, maps_frames = (jnp.swapaxes(x, 0, 1) for x in (z, maps))  # each frame is a clip
        t_frames, tokens_frames, mask_frames = (jnp.repeat(x, z.shape[1], 0) for x in (t, tokens, mask))
        frames = run(unet, variables, z_frames, t_frames, maps_frames, tokens_frames, mask_frames)
        return float(jnp.abs(clip - jnp.swapaxes(frames, 0, 1)).max() / clip.std())

    assert largest_difference(without_temporal_outputs(random)) < 1e-5
    assert largest_difference(random) > 0.1


def test_frame_embedding_distinguishes_equal_frames_and_is_initialised_to_no_effect():
    unet = small_unet().clone(frame_embedding=True)
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    z, maps = (jnp.broadcast_to(x[:, :1], x.shape) for x in (z, maps))
    random = random_variables(unet, z, t, maps, tokens, mask)
    embedded = run(unet, random, z, t, maps, tokens, mask, temporal=False)
    assert (jnp.abs(embedded[:, 1:] - embedded[:, :-1]).max((0, 2, 3, 4)) > 0.1 * embedded.std()).all()
    # With zeroed embeddings, their initial value, it equals the network without frame embedding.
    initial = jax.tree.map_with_path(lambda path, leaf: leaf * (path[-2].key != "frame_embedding"), random)
    plain = {"params": {name: leaf for name, leaf in random["params"].items() if name != "frame_embedding"}}
    inputs = (z, t, maps, tokens, mask)
    np.testing.assert_array_equal(run(unet, initial, *inputs), run(small_unet(), plain, *inputs))


def test_a_single_frame_with_its_index_equals_that_frame_of_a_clip_without_temporal_layers():
    unet = small_unet().clone(frame_embedding=True)
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1), batch=2)
    random = random_variables(unet, z, t, maps, tokens, mask)
    clips = run(unet, random, z, t, maps, tokens, mask, temporal=False)
    frame_index = jnp.array([[3], [1]])
    z, maps, target = (x[jnp.arange(2)[:, None], frame_index] for x in (z, maps, clips))
    single = jax.jit(lambda *inputs: unet.apply(random, *inputs, frame_index=frame_index, temporal=False))
    np.testing.assert_allclose(single(z, t, maps, tokens, mask), target, atol=1e-5)


def test_temporal_layers_apply_to_a_single_frame_unless_skipped():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), frames=1)
    random = random_variables(unet, *inputs)
    skipped = run(unet, random, *inputs, temporal=False)
    assert jnp.abs(run(unet, random, *inputs) - skipped).max() > 0.1 * skipped.std()
    zeroed = run(unet, without_temporal_outputs(random), *inputs)
    np.testing.assert_allclose(zeroed, skipped, atol=1e-5)


@pytest.mark.parametrize(("frames", "height", "width"), [(3, 6, 10), (16, 2, 4)])
def test_unet_supports_any_number_of_frames_and_any_multiple_of_its_downsampling(frames, height, width):
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), batch=2, frames=frames, height=height, width=width)
    out = run(unet, random_variables(unet, *inputs), *inputs)
    assert out.shape == inputs[0].shape
    assert jnp.isfinite(out).all()


def test_a_size_that_is_no_multiple_of_the_downsampling_is_reported():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), height=7)
    with pytest.raises(BadInput, match=r"7x8 .* multiples of 2"):
        jax.eval_shape(unet.init, jax.random.key(0), *inputs)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"base_channels": 12, "norm_groups": 8},
            "channels of UNet at level 0 = 12 must be a multiple of UNet.norm_groups = 8",
        ),
        (
            {"base_channels": 16, "head_dim": 32},
            "channels of UNet at level 0 = 16 must be at least UNet.head_dim = 32",
        ),
    ],
)
def test_channels_that_do_not_fit_groups_or_heads_are_reported(sizes, message):
    inputs = unet_inputs(jax.random.key(1))
    with pytest.raises(BadInput, match=re.escape(message)):
        jax.eval_shape(small_unet().clone(**sizes).init, jax.random.key(0), *inputs)


def test_released_sizes_have_no_conflicts():
    assert list(UNet().size_conflicts()) == []


def test_masking_tokens_equals_removing_them():
    unet = small_unet()
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    random = random_variables(unet, z, t, maps, tokens, mask)
    masked = run(unet, random, z, t, maps, tokens, mask.at[:, 3:].set(False))
    np.testing.assert_allclose(masked, run(unet, random, z, t, maps, tokens[:, :3], mask[:, :3]), atol=1e-5)


def test_samples_of_a_batch_are_independent():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), batch=3)
    random = random_variables(unet, *inputs)
    batch = run(unet, random, *inputs)
    single = run(unet, random, *(x[1:2] for x in inputs))
    np.testing.assert_allclose(batch[1:2], single, atol=1e-5 * float(batch.std()))


@pytest.mark.slow
def test_remat_does_not_change_gradients():
    inputs = unet_inputs(jax.random.key(1), frames=2)
    random = random_variables(small_unet(), *inputs)

    def gradient(unet):
        def loss(variables):
            rngs = {"dropout": jax.random.key(3)}
            return jnp.square(unet.apply(variables, *inputs, deterministic=False, rngs=rngs)).mean()

        return jax.jit(jax.grad(loss))(random)

    plain = gradient(small_unet())
    remat = gradient(small_unet(remat=("residual", "spatial", "temporal")))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), plain, remat)


@pytest.mark.slow
def test_bfloat16_unet_returns_float32_close_to_the_exact_prediction():
    inputs = unet_inputs(jax.random.key(1))
    random = random_variables(small_unet(), *inputs)
    exact = run(small_unet(), random, *inputs)
    short = run(small_unet(dtype=jnp.bfloat16), random, *inputs)
    assert short.dtype == jnp.float32
    difference = jnp.abs(short - exact).mean() / exact.std()
    assert 1e-5 < difference < 0.05  # 8 bits of mantissa through some thirty layers


@pytest.mark.slow
def test_an_untrained_unet_predicts_zero():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1))
    out = run(unet, jax.jit(unet.init)(jax.random.key(0), *inputs), *inputs)
    assert not out.any()


def test_sinusoidal_embedding_has_cosines_first():
    np.testing.assert_allclose(sinusoidal_embedding(jnp.array([0]), 4), [[1, 1, 0, 0]])
    t, frequency = 7.0, 10_000 ** (-1 / 2)
    expected = [np.cos(t), np.cos(t * frequency), np.sin(t), np.sin(t * frequency)]
    np.testing.assert_allclose(sinusoidal_embedding(jnp.array([7]), 4)[0], expected, rtol=1e-5)
