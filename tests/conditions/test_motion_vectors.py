"""The motion condition with the vectors that a file holds, in Python and on the command line."""

import numpy as np
import pytest

import vcjax
from tests.video.test_stream_motion import CODECS, MOTION, encode, translating
from vcjax.conditions.base import ClipShape, SourceVideo
from vcjax.conditions.media import sample_source
from vcjax.conditions.motion import Motion
from vcjax.video.clip import Clip

SHAPE = ClipShape(frames=6, height=64, width=64, fps=5.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    codec, options = CODECS["h264_b"]
    target = tmp_path_factory.mktemp("motion") / "moving.mp4"
    return encode(target, translating(), codec=codec, fps=10, options=options)


def test_stream_vectors_take_the_place_of_encoded_ones(path):
    """With every second frame, at half the size, the motion is the translation itself."""
    clip = sample_source(SourceVideo(path), SHAPE)
    motion, default, encoded = (
        Motion(form="blocks").extract(clip, SHAPE, {}, 0, **options)
        for options in ({"vectors": "stream"}, {}, {"vectors": "encode"})
    )
    assert motion.shape == encoded.shape == (6, 64, 64, 2)
    np.testing.assert_array_equal(encoded, default)
    assert not motion[0].any()
    np.testing.assert_allclose(np.median(motion[1:], (0, 1, 2)), MOTION, atol=0.1)


def test_centres_hold_the_vectors_of_the_source_in_its_own_size(path):
    shape = ClipShape(frames=6, height=128, width=160, fps=5.0)
    motion = Motion().extract(sample_source(SourceVideo(path), shape), shape, {}, 0, vectors="stream")
    assert motion.shape == (6, 128, 160, 2)
    filled = motion.any(-1)
    assert set(zip(*(np.nonzero(filled)[axis] % 16 for axis in (1, 2)), strict=True)) == {(8, 8)}
    np.testing.assert_allclose(np.median(motion[filled], 0), np.multiply(MOTION, 2), atol=0.1)


def test_frames_after_the_end_do_not_move(path):
    shape = ClipShape(frames=40, height=64, width=64, fps=10.0)
    clip = sample_source(SourceVideo(path), shape)
    motion = Motion(form="blocks").extract(clip, shape, {}, 0, vectors="stream")
    assert len(motion) == 40
    assert np.isfinite(motion).all()


def test_a_wrong_choice_or_a_clip_in_memory_is_one_sentence(path):
    with pytest.raises(vcjax.BadInput, match="must be 'encode' or 'stream', not 'flow'"):
        Motion().extract(sample_source(SourceVideo(path), SHAPE), SHAPE, {}, 0, vectors="flow")
    with pytest.raises(vcjax.BadInput, match="needs a video file, not a clip in memory"):
        Motion().extract(Clip(translating(6), 5), SHAPE, {}, 0, vectors="stream")


def test_the_composer_and_the_command_line_take_the_choice(path, vc, tmp_path):
    composer = vcjax.load("tiny")
    shape = composer.clip_shape(frames=4)
    array = composer.read({"motion": vcjax.extract(path, vectors="stream")}, shape)["motion"]
    arguments = ["extract", path, "--overwrite", "--only", "motion", "--frames", 4, "--out", tmp_path / "out"]
    code, _, _ = vc(*arguments, "--motion-vectors", "stream")
    assert code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "motion.npy"), array)
    code, _, error = vc(*arguments, "--motion-vectors", "flow")
    assert code != 0
    assert "must be 'encode' or 'stream', not 'flow'" in error
    code, _, error = vc("generate", "--motion-vectors", "stream", "--out", tmp_path / "out.mp4")
    assert code != 0
    assert "--motion-vectors needs --motion-from" in error
