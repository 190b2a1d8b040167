"""Scene cuts are detected, motion is not mistaken for them, and clips lie between them."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.video.source_videos import encode
from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.data.scenes import Scenes, detect_cuts, find_scenes
from vcjax.data.videos import clip_starts
from vcjax.errors import BadInput

SHAPE = ClipShape(frames=4, height=16, width=16, fps=4.0)


def scene(n, count):
    """Frames of one sprite clip."""
    return np.asarray(sprites.batch("train", jnp.array([n]), frames=count).frames[0])


def starts(*intervals, frames=1000):
    return clip_starts(Scenes(list(intervals), frames, ""), SHAPE)


def test_cuts_are_detected(tmp_path):
    clips = [scene(0, 20)[:20], scene(1, 20)[:12], scene(2, 20)[:16]]
    found = find_scenes(encode(tmp_path / "cut.mp4", np.concatenate(clips), fps=10))
    np.testing.assert_allclose(found.intervals, [(0.0, 2.0), (2.0, 3.2), (3.2, 4.8)], atol=1e-3)
    assert found.frames == 48
    assert not found.is_image
    assert not found.damage


def test_without_cuts_a_video_is_one_scene(tmp_path):
    path = encode(tmp_path / "cut.mp4", np.concatenate([scene(0, 20)[:10], scene(1, 20)[:10]]), fps=10)
    np.testing.assert_allclose(find_scenes(path, cuts=False).intervals, [(0.0, 2.0)], atol=1e-3)


def test_motion_of_objects_and_camera_is_not_a_cut(tmp_path):
    for n in range(6):
        path = encode(tmp_path / f"{n}.mp4", scene(n, 20), fps=8)
        assert len(find_scenes(path).intervals) == 1


def test_a_fast_pan_is_not_a_cut():
    """Changes as large as those of a cut, but in every frame."""
    assert not detect_cuts(np.array([0.0, 40, 42, 39, 45, 41, 40])).any()
    assert detect_cuts(np.array([0.0, 1, 2, 40, 1, 2, 1])).tolist() == [False] * 3 + [True] + [False] * 3
    assert not detect_cuts(np.array([0.0, 0, 0, 14, 0, 0, 0])).any()


def test_a_real_video_without_cuts_is_one_scene(shared):
    for name in ("blackswan", "tennis"):
        assert len(find_scenes(shared / "media" / f"{name}.mp4").intervals) == 1


def test_an_image_is_recognised(shared, tmp_path):
    found = find_scenes(shared / "media" / "sunflower.png")
    assert found.is_image
    assert found.frames == 1


def test_clips_are_consecutive_in_each_scene():
    assert starts((0.0, 3.4)) == [(0.0, 4.0), (1.0, 4.0), (2.0, 4.0)]
    assert starts((0.0, 0.9), (0.9, 2.95), (2.95, 3.5)) == [(0.9, 4.0), (1.9, 4.0)]
    assert starts((0.0, 0.5), (0.5, 1.2)) == []


def test_a_video_shorter_than_a_clip_is_sampled_at_a_higher_rate():
    ((start, fps),) = starts((0.0, 0.6))
    assert start == 0.0
    assert fps == 7.0  # int(4 / 0.6) + 1, the released model's rule
    assert starts((0.0, 0.6), frames=3) == []  # fewer frames than a clip has


def test_a_truncated_video_yields_its_complete_part(tmp_path):
    content = encode(
        tmp_path / "a.mp4",
        np.tile(scene(0, 20), (4, 1, 1, 1)),
        fps=10,
        container_options={"movflags": "+faststart"},
    ).read_bytes()
    truncated = tmp_path / "b.mp4"
    truncated.write_bytes(content[: len(content) * 2 // 3])
    found = find_scenes(truncated)
    assert found.damage
    assert 20 < found.frames < 80
    assert found.intervals[-1][1] < 7.0


def test_a_jump_of_the_timestamps_ends_a_scene(tmp_path):
    ticks = [*range(0, 1000, 100), *range(80_000_000, 80_001_000, 100)]
    path = encode(tmp_path / "a.mkv", scene(0, 20), fps=10, ticks=ticks, pix_fmt="yuv420p")
    (begin, end), (later, last) = find_scenes(path).intervals
    assert (begin, end - begin) == pytest.approx((0.0, 1.0), abs=0.01)
    assert (later, last - later) == pytest.approx((80_000.0, 1.0), abs=0.01)


def test_a_file_that_is_not_a_video_is_an_error(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("no video")
    with pytest.raises(BadInput):
        find_scenes(path)
