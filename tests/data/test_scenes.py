"""Cuts are found where they are, and not where things only move; clips lie between them."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.video.footage import encode
from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.data.footage import clip_places
from vcjax.data.scenes import Scenes, cut_before, find_scenes
from vcjax.errors import BadInput

SHAPE = ClipShape(frames=4, height=16, width=16, fps=4.0)


def scene(n, count):
    """Frames of one sprite clip, of shapes that move before a camera that may."""
    return np.asarray(sprites.batch("train", jnp.array([n]), frames=count).frames[0])


def places(*stretches, frames=1000):
    return clip_places(Scenes(list(stretches), frames, ""), SHAPE)


def test_cuts_are_found_where_they_are(tmp_path):
    clips = [scene(0, 20)[:20], scene(1, 20)[:12], scene(2, 20)[:16]]
    found = find_scenes(encode(tmp_path / "cut.mp4", np.concatenate(clips), fps=10))
    np.testing.assert_allclose(found.stretches, [(0.0, 2.0), (2.0, 3.2), (3.2, 4.8)], atol=1e-3)
    assert found.frames == 48
    assert not found.still
    assert not found.damage


def test_without_cuts_a_video_is_one_scene(tmp_path):
    path = encode(tmp_path / "cut.mp4", np.concatenate([scene(0, 20)[:10], scene(1, 20)[:10]]), fps=10)
    np.testing.assert_allclose(find_scenes(path, cuts=False).stretches, [(0.0, 2.0)], atol=1e-3)


def test_things_and_cameras_that_move_are_no_cuts(tmp_path):
    for n in range(6):
        path = encode(tmp_path / f"{n}.mp4", scene(n, 20), fps=8)
        assert len(find_scenes(path).stretches) == 1


def test_a_fast_pan_is_no_cut():
    """Changes as large as a cut's, but in every frame."""
    assert not cut_before(np.array([0.0, 40, 42, 39, 45, 41, 40])).any()
    assert cut_before(np.array([0.0, 1, 2, 40, 1, 2, 1])).tolist() == [False] * 3 + [True] + [False] * 3
    assert not cut_before(np.array([0.0, 0, 0, 14, 0, 0, 0])).any()


def test_real_footage_without_cuts_is_one_scene(shared):
    for name in ("blackswan", "tennis"):
        assert len(find_scenes(shared / "media" / f"{name}.mp4").stretches) == 1


def test_a_picture_is_still(shared, tmp_path):
    found = find_scenes(shared / "media" / "sunflower.png")
    assert found.still
    assert found.frames == 1


def test_clips_lie_one_behind_the_other_in_each_scene():
    assert places((0.0, 3.4)) == [(0.0, 4.0), (1.0, 4.0), (2.0, 4.0)]
    assert places((0.0, 0.9), (0.9, 2.95), (2.95, 3.5)) == [(0.9, 4.0), (1.9, 4.0)]
    assert places((0.0, 0.5), (0.5, 1.2)) == []


def test_a_video_shorter_than_a_clip_is_sampled_more_densely():
    ((start, fps),) = places((0.0, 0.6))
    assert start == 0.0
    assert fps == 7.0  # int(4 / 0.6) + 1, the released model's rule
    assert places((0.0, 0.6), frames=3) == []  # fewer frames than a clip has


def test_a_video_that_is_cut_off_gives_what_is_whole(tmp_path):
    whole = encode(
        tmp_path / "a.mp4",
        np.tile(scene(0, 20), (4, 1, 1, 1)),
        fps=10,
        container_options={"movflags": "+faststart"},
    ).read_bytes()
    cut = tmp_path / "b.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    found = find_scenes(cut)
    assert found.damage
    assert 20 < found.frames < 80
    assert found.stretches[-1][1] < 7.0


def test_a_clock_that_jumps_ends_a_scene(tmp_path):
    ticks = [*range(0, 1000, 100), *range(80_000_000, 80_001_000, 100)]
    path = encode(tmp_path / "a.mkv", scene(0, 20), fps=10, ticks=ticks, pix_fmt="yuv420p")
    (begin, end), (later, last) = find_scenes(path).stretches
    assert (begin, end - begin) == pytest.approx((0.0, 1.0), abs=0.01)
    assert (later, last - later) == pytest.approx((80_000.0, 1.0), abs=0.01)


def test_what_is_no_video_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("no video")
    with pytest.raises(BadInput):
        find_scenes(path)
