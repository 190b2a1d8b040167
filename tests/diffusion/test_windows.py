"""Windows: every element is covered, the merge is a weighted mean, and one window is no window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcjax.diffusion.windows import Tiling, merge, repeated_noise


@st.composite
def tilings(draw):
    size = tuple(draw(st.integers(1, 6)) for _ in range(3))
    length = tuple(n + draw(st.integers(0, 12)) for n in size)
    return Tiling(
        length,
        size,
        overlap=draw(st.sampled_from([0.0, 0.25, 0.5, 0.75])),
        weights=draw(st.sampled_from(["pyramid", "flat"])),
        offsets=draw(st.integers(1, 3)),
        loop=draw(st.booleans()),
    )


def by_hand(predict, z, tiling, placement):
    """The weighted mean in plain loops."""
    total, weight = np.zeros(z.shape), np.zeros(z.shape[1:4])
    starts = [np.unique(tiling.starts(axis, placement)) for axis in range(3)]
    for f in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                index = np.ix_(
                    (f + np.arange(tiling.size[0])) % z.shape[1],
                    y + np.arange(tiling.size[1]),
                    x + np.arange(tiling.size[2]),
                )
                profile = np.einsum("i,j,k->ijk", *(tiling.profile(axis) for axis in range(3)))
                out = predict(z[(slice(None), *index)], f, y, x)
                np.add.at(total, (slice(None), *index), profile[..., None] * out)
                np.add.at(weight, index, profile)
    return total / weight[..., None]


@settings(deadline=None, max_examples=20)
@given(tiling=tilings(), group=st.integers(1, 3), data=st.data())
def test_the_merge_is_the_weighted_mean_of_the_windows_predictions(tiling, group, data):
    placement = data.draw(st.integers(0, tiling.offsets - 1))
    z = np.random.default_rng(0).standard_normal((2, *tiling.length, 2)).astype(np.float32)

    def of_start(f, y, x):
        return np.sin(f) + 2 * y - x

    def predict(pieces, clips, starts):
        first = jnp.asarray(tiling.clips())[clips]  # the clip of a window is where it starts
        return pieces * 2 + of_start_jax(first, starts[:, 1], starts[:, 2])[:, None, None, None, None, None]

    def of_start_jax(f, y, x):
        return jnp.sin(f) + 2 * y - x

    windows = tiling.table(group)
    found = merge(predict, jnp.asarray(z), windows, jnp.asarray(placement), tiling, 1)
    target = by_hand(lambda piece, *start: 2 * piece + of_start(*start), z, tiling, placement)
    np.testing.assert_allclose(found, target, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=100)
@given(tiling=tilings())
def test_every_element_is_in_a_window_of_every_placement(tiling):
    for offset in range(tiling.offsets):
        for axis in range(3):
            assert tiling.coverage(axis, offset).min() > 0
            starts = tiling.starts(axis, offset)
            assert starts.min() >= 0
            if not (tiling.loop and axis == 0):
                assert starts.max() + tiling.size[axis] <= tiling.length[axis]


def test_placements_move_the_borders():
    tiling = Tiling((64, 1, 1), (16, 1, 1), overlap=0.5, offsets=2)
    first, second = (set(np.unique(tiling.starts(0, offset)).tolist()) for offset in range(2))
    assert first == {0, 8, 16, 24, 32, 40, 48}
    assert second == {0, 4, 12, 20, 28, 36, 44, 48}


def test_memory_is_that_of_a_group_and_not_of_all_windows():
    """The compiled merge holds latents and their sum, and the predictions of one window."""

    def temporaries(frames):
        tiling = Tiling((frames, 8, 8), (16, 8, 8))
        windows = tiling.table(1)
        z = jnp.zeros((1, frames, 8, 8, 4))

        def run(z):
            return merge(lambda pieces, *_: jnp.tanh(pieces), z, windows, jnp.asarray(0), tiling, 1)

        return jax.jit(run).lower(z).compile().memory_analysis().temp_size_in_bytes, z.nbytes

    (short, size), (long, long_size) = temporaries(160), temporaries(1600)
    assert long - short < 3 * (long_size - size)


def test_noise_of_later_frames_is_that_of_the_first_window_in_another_order():
    index = repeated_noise(3, 50, 16, 8)
    np.testing.assert_array_equal(index[:16], np.arange(16))
    for first in range(16, 50, 8):
        block = index[first : first + 8]
        assert set(block.tolist()) <= set(index[first - 16 : first - 8].tolist())
        assert len(set(block.tolist())) == len(block)
    assert (index != repeated_noise(4, 50, 16, 8)).any()


@pytest.mark.parametrize("loop", [False, True])
def test_the_whole_is_one_window_only_where_it_does_not_loop(loop):
    tiling = Tiling((16, 8, 8), (16, 8, 8), loop=loop)
    assert tiling.whole is not loop
    assert tiling.clips() == ((0,) if not loop else (0, 8))
