"""Batches and replays: the same request gives the same bytes, and a batch that is interrupted is completed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources

import numpy as np
import pytest

import vcjax
from tests.cli.calls import FAST, refused
from vcjax.composer.record import read_record
from vcjax.weights.folder import read_config, write_config


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp", ".png"])
def test_a_replay_has_the_same_bytes(vc, video, tmp_path, suffix):
    first, again = tmp_path / f"first{suffix}", tmp_path / f"again{suffix}"
    options = ["--text", "a red circle", "--depth-from", video, "--strength", "depth=0.5", "--seed", 7]
    assert vc("generate", *options, *FAST, "--out", first)[0] == 0
    code, out, _ = vc("generate", "--replay", first, "--out", again)
    assert (code, out.strip()) == (0, str(again))
    assert again.read_bytes() == first.read_bytes()
    request = read_record(first)["request"]
    assert request["seeds"] == [7]
    assert request["steps"] == 2
    assert request["conditions"]["depth"] == {"source": str(video), "strength": 0.5}


def test_what_has_changed_since_is_named(vc, video, tmp_path):
    tiny, model = resources.files("vcjax") / "builtin" / "tiny", tmp_path / "model"
    shutil.copytree(str(tiny), model)
    first = tmp_path / "first.gif"
    assert vc("generate", "--model", model, "--depth-from", video, *FAST, "--out", first)[0] == 0
    vcjax.Clip(np.zeros((3, 8, 8, 3), np.uint8), 8.0).save(video)
    refused(vc("generate", "--replay", first, "--out", tmp_path / "again.gif"), f"file {video} has changed")
    config = read_config(model)
    video.unlink()
    refused(vc("generate", "--replay", first, "--out", tmp_path / "again.gif"), f"file {video} is missing")
    write_config(model, {**config, "defaults": {**config["defaults"], "guidance": 3.0}})
    refused(
        vc("generate", "--replay", first, "--out", tmp_path / "again.gif"), "model tiny (", "is now tiny ("
    )
    refused(
        vc("generate", "--replay", video, "--out", tmp_path / "again.mp4"), "cannot be read: No such file"
    )
    refused(vc("generate", "--replay", first, "--out", tmp_path / "again.png"), "must end in .gif")
    refused(vc("generate", "--replay", first, "--steps", 3), "--replay takes its request from the file")
    assert not (tmp_path / "again.gif").exists()


def test_a_video_that_exists_is_kept_or_refused(vc, tmp_path):
    out = tmp_path / "clip.gif"
    options = ["generate", "--text", "a red circle", *FAST, "--out", out]
    assert vc(*options)[0] == 0
    before = out.stat().st_mtime_ns
    code, printed, err = vc(*options)
    assert (code, printed.strip()) == (0, str(out))
    assert "is kept: --overwrite replaces it" in err
    assert out.stat().st_mtime_ns == before
    refused(vc(*options, "--seed", 1), "exists with another request: give --overwrite")
    assert vc(*options, "--seed", 1, "--overwrite")[0] == 0
    (tmp_path / "other.gif").write_bytes(b"GIF89a")
    refused(vc(*options[:-1], tmp_path / "other.gif"), "exists and holds no request")


def test_an_option_that_is_given_twice_and_a_request_without_conditions_are_reported(vc, tmp_path):
    refused(vc("generate", "--text", "a", "--text", "b"), "--text is given 2 times")
    code, _, err = vc("generate", "--steps", 1, "--frames", 1, "--out", tmp_path / "one.png")
    assert code == 0
    assert "no condition is given" in err
    assert "one frame is asked of a model of clips of 16 frames" in err


def requests(folder, count, wrong=()):
    """A batch of requests of two shapes; those of `wrong` are bad, each in its own way."""
    lines = []
    for i in range(count):
        request = {
            "out": str(folder / f"{i:02d}.gif"),
            "conditions": {"text": {"value": "a red circle"}},
            "seeds": [i],
            "steps": 2,
            "frames": 2 + i % 2,
        }
        lines.append(json.dumps(request))
    bad = ['{"out": "x.gif", "colour": 1}', '{"out": "y.gif", "steps": 0}', "not JSON"]
    for place, text in zip(wrong, bad, strict=False):
        lines[place] = text
    path = folder / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_batch_makes_what_it_can_and_lists_the_rest(vc, tmp_path):
    file = requests(tmp_path, 6, wrong=(0, 2, 5))
    code, out, err = vc("generate", "--batch", file)
    assert code == 1
    assert out.split() == [str(tmp_path / f"{i:02d}.gif") for i in (1, 3, 4)]
    assert "requests.jsonl:1: request has no setting 'colour'" in err
    assert "requests.jsonl:3: steps of sampling must be from 1" in err
    assert "requests.jsonl:6: the request is not valid json" in err
    assert "3 of 6 requests failed" in err
    single = ["--text", "a red circle", "--seed", 3, "--steps", 2, "--frames", 3]
    assert vc("generate", *single, "--out", tmp_path / "single.gif")[0] == 0
    assert (tmp_path / "single.gif").read_bytes() == (tmp_path / "03.gif").read_bytes()
    code, _, err = vc("generate", "--batch", file)
    assert code == 1
    assert err.count("is kept") == 3


def test_a_batch_that_cannot_be_is_refused(vc, tmp_path):
    file = requests(tmp_path, 1)
    refused(vc("generate", "--batch", file, "--text", "a"), "--batch takes its request from the file")
    refused(vc("generate", "--batch", file, "--out", "x.gif"), "--out is for one request")
    refused(vc("generate", "--batch", tmp_path / "none.jsonl"), "none.jsonl cannot be read")
    (tmp_path / "empty.jsonl").write_text("\n")
    refused(vc("generate", "--batch", tmp_path / "empty.jsonl"), "holds no request")
    file.write_text(file.read_text() * 2)
    code, _, err = vc("generate", "--batch", file)
    assert code == 1
    assert "is the file of an earlier request too" in err


@pytest.mark.slow
def test_a_batch_killed_twice_ends_with_the_videos_of_single_calls(vc, tmp_path):
    file = requests(tmp_path, 20, wrong=(4, 9, 14))
    good = [i for i in range(20) if i not in (4, 9, 14)]
    command = [sys.executable, "-m", "vcjax", "generate", "--batch", str(file)]

    def finished():
        return len(list(tmp_path.glob("[0-9][0-9].gif")))

    for enough in (3, 9):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 600
        while finished() < enough:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert finished() < 17
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "3 of 20 requests failed" in done.stderr
    assert finished() == 17
    composer = vcjax.load("tiny")
    for i in good:
        clip = composer(text="a red circle", seed=i, steps=2, frames=2 + i % 2)
        clip.save(tmp_path / "single.gif")
        np.testing.assert_array_equal(
            vcjax.read(tmp_path / f"{i:02d}.gif").frames, vcjax.read(tmp_path / "single.gif").frames
        )
    before = {i: (tmp_path / f"{i:02d}.gif").read_bytes() for i in good}
    for i in good[:3]:
        assert vc("generate", "--replay", tmp_path / f"{i:02d}.gif", "--out", tmp_path / "again.gif")[0] == 0
        assert (tmp_path / "again.gif").read_bytes() == before[i]
