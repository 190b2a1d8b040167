"""Composition in time and space from the command line."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vcjax
from tests.cli.calls import refused
from vcjax.cli.composition import OPTIONS, composition
from vcjax.composer.record import read_record
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.video.write import grid

FAST = ["--steps", "2", "--guidance", "1"]


def arguments(**given):
    return composition(dict.fromkeys(OPTIONS) | given, mask_given=False)


def test_options_are_the_arguments_of_a_request():
    found = arguments(
        strength=["depth=0.5,sketch=2"],
        strength_frames=["depth=0:1,8:0.5"],
        strength_steps=["depth=0:60"],
        strength_area=["depth=left.png"],
        keyframe=["0=a.png", "-1=b.png"],
        continues=["walk.mp4"],
        shared_frames=["3"],
        window_frames=["8"],
        window_size=["64x32"],
        window_overlap=["0.25"],
        window_weights=["flat"],
        fps=["12"],
    )
    depth = {"value": 0.5, "frames": [[0, 1], [8, 0.5]], "steps": [0, 60], "area": "left.png"}
    assert found == {
        "strength": {"depth": depth, "sketch": 2.0},
        "mask": {
            "pictures": [{"frame": 0, "image": "a.png"}, {"frame": -1, "image": "b.png"}],
            "after": "walk.mp4",
            "overlap": 3,
        },
        "windows": {"frames": 8, "size": [64, 32], "overlap": 0.25, "weights": "flat"},
        "fps": 12.0,
    }


@pytest.fixture
def film(tmp_path):
    frames = np.asarray(sprites.batch("test", jnp.array([3]), frames=24, size=64).frames[0])
    vcjax.Clip(frames, 8.0).save(tmp_path / "film.mp4")
    Image.fromarray(frames[0]).save(tmp_path / "first.png")
    return tmp_path / "film.mp4"


def test_a_film_is_translated_whole_by_one_command_and_replayed(vc, film, tmp_path):
    command = ["generate", "--sketch-from", film, "--depth-from", film, "--frames", "all", *FAST]
    code, out, _ = vc(*command, "--out", tmp_path / "out.mp4")
    assert code == 0
    assert len(vcjax.read(tmp_path / "out.mp4")) == 24
    assert read_record(tmp_path / "out.mp4")["request"]["frames"] == 24
    code, out, _ = vc("generate", "--replay", tmp_path / "out.mp4", "--out", tmp_path / "again.mp4")
    assert code == 0
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    assert str(tmp_path / "again.mp4") in out


def test_keyframes_strengths_and_sequences(vc, film, tmp_path):
    first = tmp_path / "first.png"
    command = [
        "generate", "--keyframe", f"0={first}", "--continue", film, "--composite", "--sketch-from", film,
        "--strength-frames", "sketch=0:0,15:1", "--strength-steps", "sketch=0:50", *FAST,
    ]  # fmt: skip
    refused(vc(*command, "--out", tmp_path / "a.mp4"), "frame 0 has two keyframes")
    command[command.index("--continue") : command.index("--continue") + 2] = []
    code, _, _ = vc(*command, "--out", tmp_path / "images" / "f_%02d.png")
    assert code == 0
    frames = vcjax.read(tmp_path / "images", fps=8).frames
    np.testing.assert_array_equal(frames[0], np.asarray(Image.open(first)))
    strength = read_record(tmp_path / "images" / "f_00.png")["request"]["conditions"]["sketch"]["strength"]
    assert strength == {"value": 1.0, "frames": [[0.0, 0.0], [15.0, 1.0]], "steps": [0.0, 50.0]}
    code, _, err = vc(*command, "--out", tmp_path / "images" / "f_%02d.png")
    assert code == 0
    assert "exists with the same request and is kept" in err
    Image.fromarray(frames[1]).save(first)
    assert json.loads(json.dumps(strength)) == strength


def test_a_changed_keyframe_is_named_by_the_replay(vc, film, tmp_path):
    first = tmp_path / "first.png"
    code, _, _ = vc("generate", "--keyframe", f"0={first}", *FAST, "--out", tmp_path / "a.png")
    assert code == 0
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(first)
    refused(vc("generate", "--replay", tmp_path / "a.png", "--out", tmp_path / "b.png"), "has changed")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--strength", "depth"], ["--strength must be NAME=NUMBER"]),
        (["--strength-frames", "depth=0:1,a:2"], ["--strength-frames must be NAME=FRAME:NUMBER"]),
        (["--strength-steps", "depth=50"], ["--strength-steps must be NAME=START:END"]),
        (["--strength-steps", "depth"], ["--strength-steps must be NAME=START:END, not 'depth'"]),
        (["--strength-steps", "text=80:20"], ["strength of text", "beginning and a later end"]),
        (["--keyframe", "first.png"], ["--keyframe must be FRAME=FILE"]),
        (["--keyframe", "a=first.png"], ["--keyframe must be FRAME=FILE, such as 0=first.png"]),
        (["--keyframe", "0=a.png", "--mask", "m.npy"], ["give either --keyframe or --mask"]),
        (["--shared-frames", "3"], ["--shared-frames needs --continue or --lead-to"]),
        (["--window-size", "64"], ["--window-size must be HEIGHTxWIDTH"]),
        (["--window-frames", "many"], ["--window-frames must be an integer"]),
        (["--fps", "8", "--fps", "9"], ["--fps is given 2 times"]),
        (["--frames", "some"], ["--frames must be a number of frames or all"]),
        (["--frames", "all"], ["frames can be 'all' only where a temporal condition is extracted"]),
        (["--audio-from", "missing.mp4"], ["missing.mp4 cannot be read"]),
        (["--composite"], ["composite needs a condition"]),
    ],
)
def test_a_wrong_option_is_one_sentence(vc, given, words, tmp_path):
    refused(vc("generate", "--text", "a", *given, *FAST, "--out", tmp_path / "out.mp4"), *words)
    assert not (tmp_path / "out.mp4").exists()


def test_adapters_are_files_with_a_strength():
    found = arguments(adapter=["look.safetensors=0.8", "a=b.safetensors=-1", "other.safetensors"])
    assert found["adapters"] == {"look.safetensors": 0.8, "a=b.safetensors": -1.0, "other.safetensors": 1.0}
    for wrong, message in (
        (["look.safetensors=x"], "--adapter must be FILE=STRENGTH"),
        (["look.safetensors", "look.safetensors=2"], "given more than once"),
    ):
        with pytest.raises(BadInput, match=message):
            arguments(adapter=wrong)


def test_a_file_without_adapters_is_one_sentence(vc, video, tmp_path):
    for file in (video, tmp_path / "missing.safetensors"):
        refused(vc("generate", "--text", "a star", "--adapter", file, "--out", tmp_path / "x.mp4"), file)
    assert not (tmp_path / "x.mp4").exists()


def test_conditions_are_shown_without_sampling(vc, video, tmp_path):
    folder = tmp_path / "shown"
    options = ("--text", "a red circle", "--depth-from", video, "--show-conditions", folder)
    code, out, _ = vc("generate", *options)
    assert code == 0
    assert out.split() == [str(folder / "text.png"), str(folder / "depth.png")]
    composer = vcjax.load("tiny")
    depth = composer.read({"depth": vcjax.extract(video)}, composer.shape)
    expected = grid(composer.preview(depth, composer.shape)["depth"])
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "depth.png").convert("RGB")), expected)
    refused(vc("generate", *options), "exists: give --overwrite")
    refused(vc("generate", "--show-conditions", folder), "needs a condition")
    refused(vc("generate", *options, "--out", "x.mp4"), "samples nothing")
