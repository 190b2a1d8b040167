"""Clips that are longer or larger than those of training: windows, loops, text by time, films from a file."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.composer import reading, sampling
from vcjax.composer.completion import complete_request
from vcjax.data import sprites
from vcjax.errors import BadInput

FAST = {"steps": 4, "guidance": 1.0}


@pytest.fixture(scope="module")
def composer():
    """The built-in model, as if it had been trained on clips of four frames."""
    tiny = vcjax.load("tiny")
    return dataclasses.replace(tiny, shape=dataclasses.replace(tiny.shape, frames=4))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    frames = np.asarray(sprites.batch("test", jnp.array([3]), frames=12, size=64).frames[0])
    path = tmp_path_factory.mktemp("film") / "film_%04d.png"
    vcjax.Clip(frames, 8.0).save(path)
    return str(path)


def test_windows_of_the_whole_clip_are_no_windows(composer):
    plain = composer(text="a red circle", frames=4, **FAST).frames
    whole = composer(
        text="a red circle", frames=4, windows={"frames": 4, "size": (64, 64), "overlap": 0.75, "offsets": 3}, **FAST
    ).frames  # fmt: skip
    np.testing.assert_array_equal(plain, whole)


def test_the_same_windows_without_overlap_are_clips_of_their_own(composer):
    """Without overlap, placements and shared noise each window is a clip; with the noise of the first it is the first."""
    settings = {"overlap": 0.0, "offsets": 1, "noise": "repeat"}
    alone = composer(text="a red circle", frames=4, **FAST).frames.astype(int)
    both = composer(text="a red circle", frames=8, windows=settings, **FAST).frames.astype(int)
    assert np.abs(both[:4] - alone).max() <= 1


def test_a_film_is_read_window_by_window_and_each_window_is_a_clip_of_its_own(composer, film, monkeypatch):
    seen, extract = [], reading.sample_source
    monkeypatch.setattr(reading, "sample_source", lambda *x: seen.append(x[2]) or extract(*x))
    source, picture = vcjax.extract(film), vcjax.extract(film % 0)
    settings = {"frames": "all", "windows": {"offsets": 1}, **FAST}
    request = complete_request(
        composer.request(image=picture, depth=source, motion=source, **settings), composer
    )
    assert request.frames == 12
    reader = composer.reader(request)
    assert not seen  # nothing is read before it is needed
    assert "image" in reader.window_maps(0)
    seen.clear()
    maps = {first: reader.window_maps(first) for first in reader.tiling.clips()}
    assert sorted(maps) == [0, 2, 4, 6, 8]
    assert {(part.first, part.count) for part in seen} == {(first, 4) for first in maps}
    frames = vcjax.read(film, fps=8.0).frames
    for first, arrays in maps.items():
        clip = vcjax.Clip(frames[first : first + 4], 8.0)
        alone = composer.read({"depth": vcjax.extract(clip), "motion": vcjax.extract(clip)}, composer.shape)
        for name in ("depth", "motion"):
            np.testing.assert_array_equal(arrays[name], alone[name])


def test_the_image_belongs_to_the_first_window_alone(composer):
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    request = complete_request(composer.request(image=image, frames=8, **FAST), composer)
    reader = composer.reader(request)
    assert [first for first in reader.tiling.clips() if "image" in reader.window_maps(first)] == [0]


def test_text_by_time_is_that_of_the_middle_of_each_window(composer):
    texts = "0: a red circle; 6: a blue square"
    request = complete_request(composer.request(text=texts, frames=8, **FAST), composer)
    reader = composer.reader(request)
    found = {first: reader.token_values(first)["text"] for first in reader.tiling.clips()}
    assert found == {
        first: "a red circle" if first + 2 < 6 else "a blue square" for first in reader.tiling.clips()
    }
    frames = composer(text=texts, frames=8, **FAST).frames.astype(int)
    table = composer(text={0: "a red circle", 6: "a blue square"}, frames=8, **FAST).frames
    np.testing.assert_array_equal(frames, table)
    assert np.abs(frames - composer(text="a red circle", frames=8, **FAST).frames).mean() > 1


@pytest.mark.slow
def test_a_loop_has_no_seam(composer):
    settings = {"text": "a red circle moving left", "frames": 8, "steps": 6, "guidance": 1.0}

    def seam(frames):
        return np.abs(frames[-1] - frames[0]).mean() / np.abs(np.diff(frames, axis=0)).mean()

    looped, plain = (composer(loop=loop, **settings).frames.astype(float) for loop in (True, False))
    assert seam(looped) < 1.5 < seam(plain)


@pytest.mark.slow
def test_windows_in_space_make_a_larger_video(composer):
    clip = composer(text="a red circle", frames=4, size=(64, 128), windows={"size": (64, 64)}, **FAST)
    assert clip.frames.shape == (4, 64, 128, 3)
    direct = composer(text="a red circle", frames=4, size=(64, 128), **FAST)
    assert np.abs(clip.frames.astype(int) - direct.frames).mean() > 1


@pytest.mark.slow
def test_one_program_for_any_steps_and_parts_of_one_shape(composer):
    sampling.sample_chunk.clear_cache()
    settings = {"frames": 12, "guidance": 1.0}
    composer(text="a red circle", steps=4, **settings)
    composer(text="0: a red circle; 6: a blue square", steps=7, **settings)
    assert sampling.sample_chunk._cache_size() <= 2  # one and two different texts


def test_what_is_shown_is_kept_to_the_pixel(composer, film):
    source = vcjax.extract(film)
    request = {"mask": source, "frames": 12, "seed": 3, **FAST}
    clip = composer(**request, composite=True)
    reader = composer.reader(complete_request(composer.request(**request), composer))
    frames = vcjax.read(film, fps=8.0).frames
    for first in (0, 4, 8):
        _, visible = composer.conditions["mask"].shown(reader.window_maps(first)["mask"], (64, 64))
        np.testing.assert_array_equal(
            clip.frames[first : first + 4][visible], frames[first : first + 4][visible]
        )
        assert (clip.frames[first : first + 4][~visible] != frames[first : first + 4][~visible]).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": {"overlap": 1.0}}, "overlap of windows must be from 0 to below 1"),
        ({"windows": {"frames": 20}}, "windows must have from 1 to the clip's 12 frames, not 20"),
        ({"windows": {"frames": 2, "overlap": 0.9}}, "windows of 2 frames are shorter than an overlap"),
        ({"windows": {"size": (128, 64)}}, "at most 64x64, not 128x64"),
        ({"windows": {"size": (20, 64)}}, "height and width must be multiples of"),
        ({"windows": {"offsets": 0}}, "offsets of windows must be at least 1"),
        ({"windows": {"weights": "round"}}, "windows.weights must be one of pyramid, flat"),
        ({"windows": {"noise": "pink"}}, "noise of windows must be repeat or independent"),
        ({"reuse_every": 2}, "reuse_every needs a clip of one window"),
        ({"composite": True}, "composite needs a condition that shows a part of the video, such as mask"),
        ({"frames": "all"}, "frames can be 'all' only where a temporal condition is extracted from a video"),
        ({"fps": 0}, "fps must be from 0.01 to 1000"),
        ({"text": "0: a; 11: b"}, "text from frame 11 on is never used"),
        ({"text": "3: a; 6: b"}, "text by time must begin at frame 0, not 3"),
        ({"text": "0: a; 0: b"}, "two sentences from frame 0"),
    ],
)
def test_bad_windows_are_one_sentence(composer, settings, message):
    with pytest.raises(BadInput, match=message) as error:
        composer(**({"text": "a red circle", "frames": 12} | FAST | settings))
    assert "\n" not in str(error.value)
