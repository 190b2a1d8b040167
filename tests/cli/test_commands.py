"""The command line as a user runs it, on real and on broken files."""

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from importlib import resources
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import vcjax
from tests.cli.calls import FAST, refused
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.weights.folder import read_config, write_config


@pytest.fixture
def complete_model(tmp_path):
    """A model that has every network of extraction, with random weights."""
    tiny = resources.files("vcjax") / "builtin" / "tiny"
    config = read_config(tiny)
    config["networks"] |= {
        "vision": {"image_size": 28, "width": 16, "layers": 1, "heads": 2, "embed_dim": 128},
        "depth": {
            "image_size": 32,
            "width": 16,
            "layers": 4,
            "heads": 2,
            "neck_channels": [4, 4, 4, 4],
            "fusion_channels": 4,
        },
        "sketch": {"base_channels": 4, "dilation_channels": 2},
        "cleaner": {"channels": [2] * 22},
    }
    config["conditions"]["style"]["image_size"] = 28
    write_config(tmp_path / "complete_model", config | {"files": {}, "untrained": 0})
    shutil.copy(tiny / "tokenizer.json", tmp_path / "complete_model")
    return tmp_path / "complete_model"


def test_one_command_turns_a_source_video_and_conditions_into_a_video(vc, video, tmp_path):
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "depth.png")
    arguments = ["--text", "a red circle", "--motion-from", video, "--mask-from", video]
    arguments += ["--depth", tmp_path / "depth.png", "--strength", "depth=0.5", *FAST]
    code, out, _ = vc("generate", *arguments, "--seed", 7, "--out", tmp_path / "one.mp4")
    assert (code, out.strip()) == (0, str(tmp_path / "one.mp4"))
    clip = vcjax.read(tmp_path / "one.mp4")
    assert clip.frames.shape == (3, 64, 64, 3)
    assert clip.frames.std() > 5
    vc("generate", *arguments, "--seed", 7, "--out", tmp_path / "two.mp4")
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    vc("generate", *arguments, "--out", tmp_path / "three.mp4", "--seed", 8)
    assert (tmp_path / "one.mp4").read_bytes() != (tmp_path / "three.mp4").read_bytes()


def test_several_seeds_give_as_many_videos_and_a_summary_of_each(vc, tmp_path):
    options = ["--text", "a red circle", "--sampler", "dpmpp_2m", *FAST, "--out", tmp_path / "clip.gif"]
    code, out, err = vc("generate", *options, "--seed", "3,5")
    assert code == 0
    assert out.split() == [str(tmp_path / "clip_3.gif"), str(tmp_path / "clip_5.gif")]
    assert "clip_5.gif: seed 5, 2 steps of dpmpp_2m, 3 frames of 64x64" in err
    assert vcjax.read(tmp_path / "clip_3.gif").frames.shape == (3, 64, 64, 3)


def test_a_chain_of_guidance_from_the_command_line(vc, video, tmp_path):
    conditions = ["--text", "a red circle", "--depth-from", video, *FAST, "--out", tmp_path / "clip.png"]
    chain = ["--branch", "", "--branch", "depth", "--branch", "depth,text"]
    assert vc("generate", *conditions, *chain, "--guidance", "2,8", "--negative-text", "a blue star")[0] == 0
    refused(
        vc("generate", *conditions, *chain, "--guidance", "2"), "one weight fewer than branches, 2, not 1"
    )
    refused(vc("generate", *conditions, "--branch", "smell", "--guidance", ""), "smell")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "validation"], "--features and --split need --data"),
        (["--data", "some", "--groups", "tasks"], "--groups are cases of the sprite world"),
        (["--shard", "2/2"], "--shard must be I/N"),
        (["--groups", "bogus"], "bogus"),
        (["--data", "absent"], "absent"),
    ],
)
def test_an_impossible_evaluation_is_refused(vc, arguments, message):
    code, out, err = vc("evaluate", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert list(Path().iterdir()) == []


def test_extract_writes_every_condition_it_can_and_a_preview(vc, video, tmp_path):
    code, out, err = vc("extract", video, "--out", tmp_path / "parts")
    assert code == 0
    names = [*(f"{name}.npy" for name in CATALOGUE if name != "text"), "preview.mp4"]
    assert out.split() == [str(tmp_path / "parts" / name) for name in names]
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == sorted(names)
    assert np.load(tmp_path / "parts" / "motion.npy").shape == (16, 64, 64, 2)
    assert len(vcjax.read(tmp_path / "parts" / "preview.mp4")) == 16
    assert "not extracted" not in err
    again = ["--motion", tmp_path / "parts" / "motion.npy", "--image", tmp_path / "parts" / "image.npy"]
    assert vc("generate", *again, "--steps", 2, "--out", tmp_path / "again.gif")[0] == 0


def test_conditions_without_an_extraction_network_are_named(vc, video, no_extraction_model, tmp_path):
    code, out, err = vc(
        "extract", video, "--model", no_extraction_model, "--frames", 3, "--out", tmp_path / "parts"
    )
    assert code == 0
    assert [Path(line).stem for line in out.split()] == ["style", "image", "motion", "mask", "preview"]
    for name, network in (
        ("single_sketch", "sketch and no cleaner network"),
        ("depth", "depth network"),
    ):
        assert f"not extracted: {name}, since this model has no {network}" in " ".join(err.split())
    refused(vc("extract", video, "--only", "depth", "--model", no_extraction_model), "depth", "network")
    asked = vc("generate", "--depth-from", video, "--model", no_extraction_model)
    refused(asked, "depth", "depth network", "finished depth")


def test_a_model_with_all_networks_extracts_all_eight_conditions(vc, video, complete_model, tmp_path):
    size = ["--frames", 3, "--model", complete_model]
    code, out, err = vc("extract", video, *size, "--text", "a red star", "--out", tmp_path / "parts")
    assert code == 0
    assert "not extracted" not in err
    assert [Path(line).stem for line in out.split()] == [*CATALOGUE, "preview"]
    arrays = {name: np.load(tmp_path / "parts" / f"{name}.npy") for name in CATALOGUE}
    assert arrays["depth"].shape == arrays["sketch"].shape == (3, 64, 64, 1)
    assert arrays["single_sketch"].shape == (1, 64, 64, 1)
    np.testing.assert_allclose(arrays["single_sketch"][0], arrays["sketch"][0], atol=1e-6)
    assert arrays["style"].shape == (128,)
    preview = vcjax.read(tmp_path / "parts" / "preview.mp4").frames
    assert preview.shape[2] == 9 * 84  # the source video and eight conditions, each as wide as its name
    made = tmp_path / "made.gif"
    from_video = ["--depth-from", video, "--single-sketch-from", video, "--style-from", video]
    assert vc("generate", *from_video, *FAST, "--model", complete_model, "--out", made)[0] == 0


def test_conditions_are_extracted_from_every_real_file(vc, shared, tmp_path):
    files = sorted((shared / "media").iterdir())
    assert len(files) >= 10
    for i, path in enumerate(files):
        given = ["--image", path] if path.suffix in (".png", ".jpg", ".jpeg") else ["--motion-from", path]
        code, _, err = vc("generate", *given, *FAST, "--out", tmp_path / f"{i}.mp4")
        assert (code, "error" in err) == (0, False), path
        code, out, _ = vc("extract", path, "--out", tmp_path / str(i))
        assert (code, len(out.split())) == (0, 8), path


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
def test_unusual_videos(vc, tmp_path, name, options):
    encode(tmp_path / name, **options)
    code, _, _ = vc("generate", "--motion-from", tmp_path / name, "--image-from", tmp_path / name, *FAST)
    assert code == 0
    code, out, _ = vc("extract", tmp_path / name)
    assert (code, len(out.split())) == (0, 8)


def test_a_truncated_video_gives_what_it_has_with_a_warning(vc, tmp_path):
    encode(tmp_path / "whole.mkv", "libx264", 240, form="matroska")
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 4])  # less than the two seconds that are taken
    code, out, err = vc("extract", tmp_path / "cut.mkv", "--out", tmp_path / "parts")
    assert code == 0
    assert len(out.split()) == 8
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


def test_a_broken_video_ends_with_one_sentence_and_nothing_written(vc, tmp_path):
    for path, reason in broken(tmp_path).items():
        refused(
            vc("generate", "--motion-from", path, *FAST, "--out", tmp_path / "new" / "out.mp4"), path, reason
        )
        refused(vc("extract", path, "--out", tmp_path / "new"), path, reason)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "video.avi"], [".avi", ".mp4, .mov, .webm, .gif, .webp, .png"]),
        (["--strength", "depth"], ["NAME=NUMBER"]),
        (["--size", "large"], ["HEIGHTxWIDTH"]),
        (["--size", "63x64"], ["multiples of 16"]),
        (["--mask-hide", "x.png"], ["--mask-hide needs --mask-from"]),
        (["--depth", "a.png", "--strength", "sketch=1"], ["strength names condition 'sketch'"]),
        (["--image", "a.png", "--image-from", "b.mp4"], ["image is given finished and as a source video"]),
        (["--model", "huge"], ["no model 'huge'"]),
        (["--motion", "walk.mp4"], ["walk.mp4", "--motion-from"]),
        (["--steps", "0"], ["from 1 to 1000"]),
        (["--seed", "-1"], ["seed must be from 0"]),
        (["--seed", "a"], ["--seed must be integers"]),
        (["--guidance", "1,b"], ["--guidance must be numbers"]),
        (["--sampler", "euler"], ["ddim, dpmpp_2m"]),
        (["--spacing", "even"], ["leading, trailing, linspace, logsnr, karras, lcm"]),
        (["--out", f"{'long' * 80}.mp4"], ["File name too long"]),
        (["--image", f"{'long' * 80}.png"], ["File name too long"]),
    ],
)
def test_a_wrong_option_is_one_sentence(vc, arguments, words, tmp_path):
    refused(vc("generate", *arguments), *words)
    assert list((tmp_path / "work").iterdir()) == []


def test_conditions_that_cannot_be_extracted_are_refused_by_name(vc, video):
    refused(vc("extract", video, "--only", "text"), "text", "cannot be extracted")
    refused(vc("extract", video, "--only", "smell"), "smell", "motion")


def test_extract_takes_shape_mask_and_names_and_writes_all_or_nothing(vc, video, tmp_path):
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "hole.png")
    shape = ["--frames", 3, "--size", "32x48", "--mask-hide", tmp_path / "hole.png"]
    code, _, _ = vc("extract", video, *shape, "--out", tmp_path / "parts")
    assert code == 0
    assert np.load(tmp_path / "parts" / "motion.npy").shape == (3, 32, 48, 2)
    assert np.load(tmp_path / "parts" / "depth.npy").shape == (3, 32, 48, 1)  # its network takes 32 x 64
    assert not np.load(tmp_path / "parts" / "mask.npy").any()  # all is hidden
    refused(vc("extract", video, "--only", ""), "--only", "motion")
    (tmp_path / "half" / "preview.mp4").mkdir(parents=True)
    refused(vc("extract", video, "--out", tmp_path / "half"), "preview.mp4", "directory")
    assert [p.name for p in (tmp_path / "half").iterdir()] == ["preview.mp4"]


def test_released_files_are_converted_and_back(vc, tmp_path):
    """One file of small weights is enough: the rest goes through the same few lines."""
    from vcjax.weights.convert.released import FILES, bijection, shapes_of
    from vcjax.weights.convert.releases import RELEASED
    from vcjax.weights.networks import random_parameters
    from vcjax.weights.safetensors_files import write_tensors

    tree = random_parameters(shapes_of(RELEASED, ["sketch"])["sketch"], 0)
    path = tmp_path / "lines.safetensors"
    write_tensors(path, bijection("sketch", []).to_torch({"sketch": tree}))
    code, out, err = vc("convert", "--sketch", path, "--out", tmp_path / "model")
    assert (code, out.strip()) == (0, str(tmp_path / "model"))
    assert "still missing: unet, stc, tokens, autoencoder, text, vision, depth, cleaner" in " ".join(
        err.split()
    )
    code, out, _ = vc("convert", "--back", tmp_path / "model", "--out", tmp_path / "back")
    assert (code, Path(out.strip()).stem) == (0, Path(FILES["sketch"]).stem)
    refused(vc("convert"), "nothing to convert", "--unet", "--back")
    refused(vc("convert", "--back", tmp_path / "model", "--unet", path), "--back")
    refused(vc("convert", "--back", tmp_path), "not a model folder")


def test_the_installed_command_finds_what_a_configuration_imports(tmp_path):
    """Its import path does not hold the working folder by default, unlike that of `python -m`."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "rooms.py").write_text(
        "RUN = {'task': 'diffusion', 'model': {}, 'out': 'here', 'stages': ()}"
    )
    text = "from ml_collections import ConfigDict\nfrom house.rooms import RUN\nget_config = lambda: ConfigDict(RUN)"
    (tmp_path / "mine.py").write_text(text)
    command = [Path(sys.executable).parent / "vcjax", "train", "--config=mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "No module" not in done.stderr
    assert "stages" in done.stderr, done.stderr


def test_the_installed_command_works():
    done = subprocess.run(
        [sys.executable, "-m", "vcjax", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"vcjax {vcjax.__version__}"


@pytest.mark.parametrize(
    "text", ["64x" + "9" * 5000, "9" * 5000 + "x64", "64", "64x", "-64x64", "\u0664x64\u0664a"]
)
def test_a_size_of_thousands_of_digits_is_one_sentence(vc, text):
    refused(vc("generate", "--text", "x", "--size", text), "--size must be HEIGHTxWIDTH")


def test_a_number_of_frames_of_thousands_of_digits_is_one_sentence(vc):
    refused(vc("generate", "--text", "x", "--frames", "9" * 5000), "--frames must be a number of frames")


def test_the_folder_of_an_evaluation_is_checked_before_anything_is_sampled(vc, monkeypatch):
    monkeypatch.setattr("vcjax.cli.evaluate._on_sprites", lambda *_: pytest.fail("sampled"))
    refused(vc("evaluate", "--out", "/etc/passwd/x"), "/etc/passwd is not a directory")
