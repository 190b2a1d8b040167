"""A request that this machine cannot hold is one sentence before anything is computed; a long one says how long it is."""

import jax
import pytest

from vcjax.composer.memory import check_request_memory, warn_of_many_windows, within_memory
from vcjax.composer.tiling import WindowSettings
from vcjax.conditions.base import ClipShape
from vcjax.diffusion.windows import Tiling
from vcjax.errors import BadInput, VcjaxWarning

SHAPE = ClipShape(frames=3, height=64, width=64, fps=8.0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"frames": 10**9}, "1000000000 frames of 64x64"),
        ({"frames": 10**27}, "1000000000000000000000000000 frames"),
        ({"size": (10**5, 10**5)}, "100000x100000"),
        ({"size": (10**12, 10**12)}, "x1000000000000"),
    ],
)
def test_a_clip_larger_than_the_memory_is_refused(composer, changes, named):
    with pytest.raises(BadInput, match=f"{named}.* GiB, more than the .* of this machine; give fewer frames"):
        composer(text="a red circle", **changes)


def test_a_window_counts_with_its_features(composer):
    """The pixels of such a clip would fit, and the features of one window of its size do not."""
    shape = ClipShape(frames=10**5, height=64, width=64, fps=8.0)
    check_request_memory(composer, shape, WindowSettings(frames=8, size=(64, 64)))
    with pytest.raises(BadInput, match="the features of 100000 frames"):
        check_request_memory(composer, shape, WindowSettings(frames=10**5, size=(6400, 6400)))


def test_a_long_clip_says_how_many_windows_it_takes():
    tiling = Tiling((10_000, 8, 8), (8, 8, 8), overlap=0.5)
    with pytest.warns(VcjaxWarning, match="2499 windows in each of 50 steps"):
        warn_of_many_windows(tiling, SHAPE, 50)


def test_a_device_that_is_full_is_one_sentence_and_other_errors_stay():
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 480 bytes.\nmore")
    with pytest.raises(BadInput, match=r"more memory than the device has .*480 bytes"), within_memory(SHAPE):
        raise full
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), within_memory(SHAPE):
        raise jax.errors.JaxRuntimeError("INTERNAL: other")
