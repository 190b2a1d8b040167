import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conftest import random_variables, run, small_unet, unet_inputs
from vcjax.errors import BadInput
from vcjax.models.layers import sinusoids
from vcjax.weights.networks import Networks

MAPS = {"image": 3, "single_sketch": 1, "motion": 2, "depth": 1, "mask": 4, "sketch": 1}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_released_size_has_the_originals_parameter_count():
    shapes = Networks().shapes(MAPS, {"style": 1024})
    assert count(shapes["tokens"]) == 2_099_200
    assert count([shapes["unet"], shapes["stc"], shapes["tokens"]]) == 1_413_435_636


def without_temporal_outputs(variables):
    """Parameters with the temporal layers that start at zero at zero: last convolutions, and outputs of transformers."""

    def zero(path, leaf):
        names = [entry.key for entry in path]
        last_convolution = names[-3:-1] == ["temporal", "conv_3"]
        output = names[-3].endswith("_temporal") and names[-2] == "out"
        return jnp.zeros_like(leaf) if last_convolution or output else leaf

    return jax.tree.map_with_path(zero, variables)


def test_frames_are_independent_exactly_when_the_temporal_layers_are_zero():
    unet = small_unet()
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    random = random_variables(unet, z, t, maps, tokens, mask)

    def largest_difference(variables):
        whole = run(unet, variables, z, t, maps, tokens, mask)
        assert whole.std() > 0.1
        z_alone, maps_alone = (jnp.swapaxes(x, 0, 1) for x in (z, maps))  # each frame is a clip
        t_each, tokens_each, mask_each = (jnp.repeat(x, z.shape[1], 0) for x in (t, tokens, mask))
        alone = run(unet, variables, z_alone, t_each, maps_alone, tokens_each, mask_each)
        return float(jnp.abs(whole - jnp.swapaxes(alone, 0, 1)).max() / whole.std())

    assert largest_difference(without_temporal_outputs(random)) < 1e-5
    assert largest_difference(random) > 0.1


def test_with_frame_numbers_a_clip_of_equal_frames_has_different_ones_without_temporal_layers():
    unet = small_unet().clone(frame_numbers=True)
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    z, maps = (jnp.broadcast_to(x[:, :1], x.shape) for x in (z, maps))
    random = random_variables(unet, z, t, maps, tokens, mask)
    numbered = run(unet, random, z, t, maps, tokens, mask, temporal=False)
    assert (jnp.abs(numbered[:, 1:] - numbered[:, :-1]).max((0, 2, 3, 4)) > 0.1 * numbered.std()).all()
    # It begins as the network without them, which so can go on with them.
    begun = jax.tree.map_with_path(lambda path, leaf: leaf * (path[-2].key != "frame_number"), random)
    plain = {"params": {name: leaf for name, leaf in random["params"].items() if name != "frame_number"}}
    inputs = (z, t, maps, tokens, mask)
    np.testing.assert_array_equal(run(unet, begun, *inputs), run(small_unet(), plain, *inputs))


def test_one_frame_with_its_number_is_that_frame_of_a_clip_without_temporal_layers():
    unet = small_unet().clone(frame_numbers=True)
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1), batch=2)
    random = random_variables(unet, z, t, maps, tokens, mask)
    clips = run(unet, random, z, t, maps, tokens, mask, temporal=False)
    numbers = jnp.array([[3], [1]])
    z, maps, wanted = (x[jnp.arange(2)[:, None], numbers] for x in (z, maps, clips))
    single = jax.jit(lambda *inputs: unet.apply(random, *inputs, numbers=numbers, temporal=False))
    np.testing.assert_allclose(single(z, t, maps, tokens, mask), wanted, atol=1e-5)


def test_temporal_layers_run_on_one_frame_unless_they_are_skipped():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), frames=1)
    random = random_variables(unet, *inputs)
    still = run(unet, random, *inputs, temporal=False)
    assert jnp.abs(run(unet, random, *inputs) - still).max() > 0.1 * still.std()
    zeroed = run(unet, without_temporal_outputs(random), *inputs)
    np.testing.assert_allclose(zeroed, still, atol=1e-5)


@pytest.mark.parametrize(("frames", "height", "width"), [(3, 6, 10), (16, 2, 4)])
def test_any_size_that_the_levels_divide_and_any_number_of_frames(frames, height, width):
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), batch=2, frames=frames, height=height, width=width)
    out = run(unet, random_variables(unet, *inputs), *inputs)
    assert out.shape == inputs[0].shape
    assert jnp.isfinite(out).all()


def test_a_size_that_the_levels_do_not_divide_is_named():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), height=7)
    with pytest.raises(BadInput, match=r"7x8 .* multiples of 2"):
        jax.eval_shape(unet.init, jax.random.key(0), *inputs)


@pytest.mark.parametrize("sizes", [{"width": 12, "groups": 8}, {"width": 16, "head_size": 32}])
def test_channels_that_groups_or_heads_do_not_fit_are_named(sizes):
    inputs = unet_inputs(jax.random.key(1))
    with pytest.raises(BadInput, match=rf"{sizes['width']} channels .* multiple of groups"):
        jax.eval_shape(small_unet().clone(**sizes).init, jax.random.key(0), *inputs)


def test_masked_tokens_equal_a_row_without_them():
    unet = small_unet()
    z, t, maps, tokens, mask = unet_inputs(jax.random.key(1))
    random = random_variables(unet, z, t, maps, tokens, mask)
    masked = run(unet, random, z, t, maps, tokens, mask.at[:, 3:].set(False))
    np.testing.assert_allclose(masked, run(unet, random, z, t, maps, tokens[:, :3], mask[:, :3]), atol=1e-5)


def test_samples_of_a_batch_do_not_mix():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1), batch=3)
    random = random_variables(unet, *inputs)
    whole = run(unet, random, *inputs)
    alone = run(unet, random, *(x[1:2] for x in inputs))
    np.testing.assert_allclose(whole[1:2], alone, atol=1e-5 * float(whole.std()))


@pytest.mark.slow
def test_rematerialised_gradients_equal_the_plain_ones():
    inputs = unet_inputs(jax.random.key(1), frames=2)
    random = random_variables(small_unet(), *inputs)

    def gradient(unet):
        def loss(variables):
            rngs = {"dropout": jax.random.key(3)}
            return jnp.square(unet.apply(variables, *inputs, deterministic=False, rngs=rngs)).mean()

        return jax.jit(jax.grad(loss))(random)

    plain = gradient(small_unet())
    again = gradient(small_unet(rematerialised=("residual", "spatial", "temporal")))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), plain, again)


@pytest.mark.slow
def test_the_compute_type_is_a_field_and_the_answer_float32():
    inputs = unet_inputs(jax.random.key(1))
    random = random_variables(small_unet(), *inputs)
    exact = run(small_unet(), random, *inputs)
    short = run(small_unet(dtype=jnp.bfloat16), random, *inputs)
    assert short.dtype == jnp.float32
    difference = jnp.abs(short - exact).mean() / exact.std()
    assert 1e-5 < difference < 0.05  # 8 bits of mantissa through some thirty layers


@pytest.mark.slow
def test_an_untrained_unet_answers_zero():
    unet = small_unet()
    inputs = unet_inputs(jax.random.key(1))
    out = run(unet, jax.jit(unet.init)(jax.random.key(0), *inputs), *inputs)
    assert not out.any()


def test_sinusoids_are_cosines_first():
    np.testing.assert_allclose(sinusoids(jnp.array([0]), 4), [[1, 1, 0, 0]])
    t, frequency = 7.0, 10_000 ** (-1 / 2)
    expected = [np.cos(t), np.cos(t * frequency), np.sin(t), np.sin(t * frequency)]
    np.testing.assert_allclose(sinusoids(jnp.array([7]), 4)[0], expected, rtol=1e-5)
