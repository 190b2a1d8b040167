"""Inputs that are accepted with a warning: a video where an image is expected, motion of a still image."""

import warnings

import numpy as np
import pytest

import vcjax
from vcjax.conditions.base import ClipShape
from vcjax.conditions.image import Image
from vcjax.conditions.media import sample_source
from vcjax.conditions.motion import Motion
from vcjax.errors import VcjaxWarning

SHAPE = ClipShape(frames=4, height=64, width=64, fps=8.0)


@pytest.fixture
def moving(tmp_path):
    texture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    frames = np.stack([np.roll(texture, 3 * i, axis=1) for i in range(4)])
    clip = vcjax.Clip(frames, 8.0)
    clip.save(tmp_path / "video.mp4")
    vcjax.Clip(frames[:1], 8.0).save(tmp_path / "image.png")
    return tmp_path


def test_the_first_frame_of_a_video_is_used_as_an_image_with_a_warning(moving):
    with pytest.warns(VcjaxWarning, match=r"video\.mp4 is a video where an image is expected"):
        Image().read(moving / "video.mp4", SHAPE, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image().read(moving / "image.png", SHAPE, {})


@pytest.mark.parametrize("form", ["centre", "blocks"])
def test_a_still_image_has_no_motion_and_a_video_has_some(moving, form):
    motion = Motion(form=form)
    still = sample_source(vcjax.extract(moving / "image.png"), SHAPE)
    with pytest.warns(VcjaxWarning, match="motion is zero everywhere"):
        array = motion.extract(still, SHAPE, {}, 0)
    assert array.shape == (4, 64, 64, 2)
    assert not array.any()
    video = sample_source(vcjax.extract(moving / "video.mp4"), SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert motion.extract(video, SHAPE, {}, 0).any()
