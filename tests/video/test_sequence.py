"""Image sequences in and out, mov and webm, and sound."""

import hashlib

import av
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.video.write import read_comment

RATE = 44_100


@pytest.fixture(scope="module")
def frames():
    return np.asarray(sprites.batch("test", jnp.array([3]), frames=24, size=64).frames[0])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Two seconds of 440 Hz on the left and 660 Hz on the right."""
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    times = np.arange(2 * RATE) / RATE
    wave = np.stack([np.sin(2 * np.pi * hertz * times) for hertz in (440, 660)]).astype(np.float32) / 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "stereo"
        for first in range(0, wave.shape[1], 1024):
            piece = np.ascontiguousarray(wave[:, first : first + 1024])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def heard(path):
    """Return the samples of a file's sound, and its rate."""
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(pieces, -1), container.streams.audio[0].rate


def pitch(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples[rate // 4 : rate]))
    return spectrum.argmax() * rate / (rate - rate // 4)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_videos_of_all_kinds_come_back_with_comment_and_the_same_bytes(frames, tmp_path, suffix):
    clip = vcjax.Clip(frames, 8.0)
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        clip.save(path, "a comment")
    assert read_comment(first) == "a comment"
    again = vcjax.read(first)
    assert (again.frames.shape, again.fps) == (frames.shape, 8.0)
    assert np.abs(again.frames.astype(int) - frames).mean() < 6
    assert hashlib.md5(first.read_bytes()).digest() == hashlib.md5(second.read_bytes()).digest()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_sound_is_kept_and_cut_to_the_length_of_the_video(frames, sound, tmp_path, suffix):
    vcjax.Clip(frames[:8], 8.0, audio=sound).save(tmp_path / f"short{suffix}")
    samples, rate = heard(tmp_path / f"short{suffix}")
    assert abs(samples.shape[-1] / rate - 1.0) < 0.05
    assert abs(pitch(samples[0], rate) - 440) < 3
    assert abs(pitch(samples[-1], rate) - 660) < 3
    vcjax.Clip(frames, 8.0, audio=sound).save(tmp_path / f"long{suffix}")  # of three seconds
    samples, rate = heard(tmp_path / f"long{suffix}")
    assert abs(samples.shape[-1] / rate - 2.0) < 0.05
    assert len(vcjax.read(tmp_path / f"long{suffix}")) == 24


def test_a_file_without_sound_and_a_format_without_sound_are_refused(frames, sound, tmp_path):
    vcjax.Clip(frames, 8.0).save(tmp_path / "mute.mp4")
    for out, audio, message in (
        ("a.mp4", tmp_path / "mute.mp4", "mute.mp4 has no sound"),
        ("a.mp4", tmp_path / "missing.mp4", "missing.mp4 cannot be read"),
        ("a.gif", sound, "a.gif cannot hold sound; give one of .mp4, .mov, .webm"),
    ):
        with pytest.raises(BadInput, match=message):
            vcjax.Clip(frames, 8.0, audio=audio).save(tmp_path / out)
    assert {path.name for path in tmp_path.iterdir()} == {"mute.mp4"}


def test_a_sequence_is_written_and_read_exactly(frames, tmp_path):
    vcjax.Clip(frames, 8.0).save(tmp_path / "new" / "f_%03d.png", "a comment")
    assert read_comment(tmp_path / "new" / "f_000.png") == "a comment"
    for source in (tmp_path / "new", tmp_path / "new" / "f_%03d.png"):
        np.testing.assert_array_equal(vcjax.read(source, fps=8).frames, frames)
        part = vcjax.read(source, fps=8, start=1.0, count=3)
        np.testing.assert_array_equal(part.frames, frames[8:11])
    assert len(list((tmp_path / "new").iterdir())) == 24


def test_images_of_a_folder_are_in_the_order_of_their_numbers(frames, tmp_path):
    for index in range(12):
        vcjax.Clip(frames[index : index + 1], 8.0).save(tmp_path / f"f{index}.png")
    np.testing.assert_array_equal(vcjax.read(tmp_path, fps=8).frames, frames[:12])


def test_a_longer_sequence_in_the_folder_is_not_mixed_with_a_new_one(frames, tmp_path):
    vcjax.Clip(frames, 8.0).save(tmp_path / "f_%03d.png")
    with pytest.raises(BadInput, match=r"f_008.png is of a longer sequence"):
        vcjax.Clip(frames[::-1][:8], 8.0).save(tmp_path / "f_%03d.png")
    np.testing.assert_array_equal(vcjax.read(tmp_path, fps=8).frames, frames)
    vcjax.Clip(frames[::-1], 8.0).save(tmp_path / "f_%03d.png")
    np.testing.assert_array_equal(vcjax.read(tmp_path, fps=8).frames, frames[::-1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f_%03d.png", None, "names no images of that pattern"),
        (".", None, "is a directory that contains no images"),
        (".", ("f_000.png", b"text"), "f_000.png is not an image"),
    ],
)
def test_a_bad_sequence_is_one_sentence(tmp_path, name, content, message):
    if content:
        (tmp_path / content[0]).write_bytes(content[1])
    with pytest.raises(BadInput, match=message):
        vcjax.read(tmp_path / name, fps=8)


def test_only_png_sequences_are_written(frames, tmp_path):
    with pytest.raises(BadInput, match=r"an image sequence must be of .png files"):
        vcjax.Clip(frames, 8.0).save(tmp_path / "f_%03d.mp4")


def test_a_pattern_with_a_film_in_it_is_refused(frames, tmp_path):
    vcjax.Clip(frames, 8.0).save(tmp_path / "film.mp4")
    (tmp_path / "film.mp4").rename(tmp_path / "f_000.png")
    with pytest.raises(BadInput, match=r"f_000.png is not an image"):
        vcjax.read(tmp_path, fps=8)
