"""The command line as a person uses it, on real and on broken files."""

import re
import subprocess
import sys
from fractions import Fraction

import av
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vcjax
from vcjax import cli
from vcjax.data import sprites

FAST = ["--steps", "2", "--frames", "3"]


@pytest.fixture
def vc(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; give its exit code, what it printed, and what it complained of."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["vcjax", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def footage(tmp_path):
    clip = vcjax.Clip(np.asarray(sprites.batch("test", jnp.array([3])).frames[0]), 8.0)
    clip.save(tmp_path / "footage.mp4")
    return tmp_path / "footage.mp4"


def refused(result, *words):
    """One sentence that names these words, exit code 2, no traceback."""
    code, out, err = result
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert "Traceback" not in err
    for word in words:
        assert str(word) in lines[0]


def test_one_command_turns_footage_and_conditions_into_a_video(vc, footage, tmp_path):
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "depth.png")
    arguments = ["--text", "a red circle", "--motion-from", footage, "--mask-from", footage]
    arguments += ["--depth", tmp_path / "depth.png", "--strength", "depth=0.5", "--seed", 7, *FAST]
    code, out, _ = vc("generate", *arguments, "--out", tmp_path / "one.mp4")
    assert (code, out.strip()) == (0, str(tmp_path / "one.mp4"))
    clip = vcjax.read(tmp_path / "one.mp4")
    assert clip.frames.shape == (3, 64, 64, 3)
    assert clip.frames.std() > 5
    vc("generate", *arguments, "--out", tmp_path / "two.mp4")
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    vc("generate", *arguments, "--out", tmp_path / "three.mp4", "--seed", 8)
    assert (tmp_path / "one.mp4").read_bytes() != (tmp_path / "three.mp4").read_bytes()


def test_extract_writes_every_condition_it_can_and_a_preview(vc, footage, tmp_path):
    code, out, err = vc("extract", footage, "--out", tmp_path / "parts")
    assert code == 0
    names = ["image.npy", "motion.npy", "mask.npy", "preview.mp4"]
    assert out.split() == [str(tmp_path / "parts" / name) for name in names]
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == sorted(names)
    assert np.load(tmp_path / "parts" / "motion.npy").shape == (16, 64, 64, 2)
    assert len(vcjax.read(tmp_path / "parts" / "preview.mp4")) == 16
    for name in ("single_sketch", "depth", "sketch"):
        assert f"not extracted: {name}" in err
    again = ["--motion", tmp_path / "parts" / "motion.npy", "--image", tmp_path / "parts" / "image.npy"]
    assert vc("generate", *again, "--steps", 2, "--out", tmp_path / "again.gif")[0] == 0


def test_every_real_file_can_be_composed_from_and_taken_apart(vc, shared, tmp_path):
    files = sorted((shared / "media").iterdir())
    assert len(files) >= 10
    for i, path in enumerate(files):
        given = ["--image", path] if path.suffix in (".png", ".jpg", ".jpeg") else ["--motion-from", path]
        code, _, err = vc("generate", *given, *FAST, "--out", tmp_path / f"{i}.mp4")
        assert (code, "error" in err) == (0, False), path
        code, out, _ = vc("extract", path, "--out", tmp_path / str(i))
        assert (code, len(out.split())) == (0, 4), path


def encode(path, codec, count, *, size=(96, 64), pix_fmt="yuv420p", times=None, form=None):
    """A clip of moving bars in some codec; `times` in frames of 1/24 second make it variable."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 24)
        for i in range(count):
            frame = np.full((size[1], size[0], 3), 60, np.uint8)
            frame[:, (4 * i) % size[0] :][:, :16] = (250, 120, 30)
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)
            frame.pts = times[i] if times else i
            frame.time_base = Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("one_frame.mp4", {"codec": "libx264", "count": 1}),
        ("ten_bit.mp4", {"codec": "libx265", "count": 30, "pix_fmt": "yuv420p10le"}),
        (
            "variable.mkv",
            {"codec": "libx264", "count": 12, "times": [0, 1, 2, 10, 11, 30, 31, 50, 51, 52, 70, 90]},
        ),
        ("odd.mkv", {"codec": "ffv1", "count": 30, "size": (97, 61), "pix_fmt": "yuv444p"}),
    ],
)
def test_unusual_footage(vc, tmp_path, name, options):
    encode(tmp_path / name, **options)
    code, _, _ = vc("generate", "--motion-from", tmp_path / name, "--image-from", tmp_path / name, *FAST)
    assert code == 0
    code, out, _ = vc("extract", tmp_path / name)
    assert (code, len(out.split())) == (0, 4)


def test_footage_that_is_cut_off_gives_what_it_has_with_a_warning(vc, tmp_path):
    encode(tmp_path / "whole.mkv", "libx264", 240, form="matroska")
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 4])  # less than the two seconds that are taken
    code, out, err = vc("extract", tmp_path / "cut.mkv", "--out", tmp_path / "parts")
    assert code == 0
    assert len(out.split()) == 4
    assert re.search(r"warning: .*cut\.mkv", err)


def broken(tmp_path):
    encode(tmp_path / "whole.mp4", "libx264", 48)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "index.mp4").write_bytes(data[: data.index(b"moov")])
    (tmp_path / "folder.mp4").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reasons = {
        "empty": "empty",
        "text": "neither",
        "index": "index",
        "folder": "directory",
        "sound": "no video",
    }
    return {
        **{tmp_path / f"{name}.mp4": why for name, why in reasons.items()},
        tmp_path / "missing.mp4": "No such file",
    }


def test_broken_footage_ends_with_one_sentence_and_nothing_written(vc, tmp_path):
    for path, reason in broken(tmp_path).items():
        refused(
            vc("generate", "--motion-from", path, *FAST, "--out", tmp_path / "new" / "out.mp4"), path, reason
        )
        refused(vc("extract", path, "--out", tmp_path / "new"), path, reason)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "video.avi"], [".avi", ".mp4, .gif, .webp, .png"]),
        (["--strength", "depth"], ["NAME=NUMBER"]),
        (["--size", "large"], ["HEIGHTxWIDTH"]),
        (["--size", "63x64"], ["multiples of 16"]),
        (["--mask-hide", "x.png"], ["--mask-hide needs --mask-from"]),
        (["--depth", "a.png", "--strength", "sketch=1"], ["strength of 'sketch'"]),
        (["--image", "a.png", "--image-from", "b.mp4"], ["exclude one another"]),
        (["--model", "huge"], ["no model 'huge'"]),
        (["--motion", "walk.mp4"], ["walk.mp4", "--motion-from"]),
        (["--style", "picture.jpg"], ["style", "vision network"]),
        (["--steps", "0"], ["from 1 to 1000"]),
        (["--seed", "-1"], ["seed must be from 0"]),
        (["--out", f"{'long' * 80}.mp4"], ["File name too long"]),
        (["--image", f"{'long' * 80}.png"], ["File name too long"]),
    ],
)
def test_a_wrong_flag_is_one_sentence(vc, arguments, words, tmp_path):
    refused(vc("generate", *arguments), *words)
    assert list((tmp_path / "work").iterdir()) == []


def test_conditions_that_cannot_be_extracted_are_refused_by_name(vc, footage):
    refused(vc("extract", footage, "--only", "depth"), "depth", "network")
    refused(vc("extract", footage, "--only", "smell"), "smell", "motion")


def test_extract_takes_shape_mask_and_names_and_writes_all_or_nothing(vc, footage, tmp_path):
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "hole.png")
    shape = ["--frames", 3, "--size", "32x48", "--mask-hide", tmp_path / "hole.png"]
    code, _, _ = vc("extract", footage, *shape, "--out", tmp_path / "parts")
    assert code == 0
    assert np.load(tmp_path / "parts" / "motion.npy").shape == (3, 32, 48, 2)
    assert not np.load(tmp_path / "parts" / "mask.npy").any()  # all is hidden
    refused(vc("extract", footage, "--only", ""), "--only", "motion")
    (tmp_path / "half" / "preview.mp4").mkdir(parents=True)
    refused(vc("extract", footage, "--out", tmp_path / "half"), "preview.mp4", "directory")
    assert [p.name for p in (tmp_path / "half").iterdir()] == ["preview.mp4"]


def test_help_offers_every_condition_and_nothing_that_is_not_built(vc):
    code, out, _ = vc("generate", "--help")
    assert code == 0
    for flag in (
        "--text",
        "--style",
        "--image-from",
        "--single-sketch",
        "--motion-from",
        "--mask-hide",
        "--depth",
    ):
        assert flag in out
    for flag in ("--depth-from", "--sketch-from", "--style-from", "--text-from"):
        assert flag not in out


def test_the_installed_command_works():
    done = subprocess.run(
        [sys.executable, "-m", "vcjax.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"vcjax {vcjax.__version__}"
