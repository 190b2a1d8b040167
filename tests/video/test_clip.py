"""A clip has frames and a frame rate, and rejects invalid values."""

import subprocess
import sys

import numpy as np
import pytest

from vcjax.errors import BadInput
from vcjax.video import Clip
from vcjax.video.timing import frame_period


def test_length_size_and_seconds() -> None:
    clip = Clip(np.zeros((6, 4, 8, 3), np.uint8), 4)
    assert (len(clip), clip.height, clip.width, clip.seconds) == (6, 4, 8, 1.5)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(fps: float) -> None:
    with pytest.raises(BadInput, match="rate of a clip must be above 0"):
        Clip(np.zeros((1, 4, 8, 3), np.uint8), fps)


def test_no_frames_are_refused() -> None:
    with pytest.raises(BadInput, match="at least one frame"):
        Clip(np.zeros((0, 4, 8, 3), np.uint8), 4)


def test_the_period_of_common_rates_is_exact() -> None:
    assert [frame_period(fps).as_integer_ratio() for fps in (4, 0.5, 24_000 / 1001, 29.97)] == [
        (1, 4),
        (2, 1),
        (1001, 24_000),
        (100, 2997),
    ]


def test_a_clip_needs_neither_pyav_nor_pillow() -> None:
    program = "import sys; sys.modules['av'] = sys.modules['PIL'] = None; from vcjax.video import Clip; print(Clip.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "Clip\n"
