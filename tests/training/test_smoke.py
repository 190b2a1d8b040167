"""The smoke configuration as a user runs it: two stages, a model folder, a video."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_loop import lines
from vcjax.video.read import read

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_two_stages_halve_the_loss_and_the_result_generates(tmp_path):
    def call(*command):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run = tmp_path / "run"
    overrides = [f"--config.out={run}", "--config.log_every=1"]
    assert "160 of 160 steps" in call("vcjax", "train", "--config=smoke", *overrides)
    losses = [line["loss"] for line in lines(run)]
    assert len(losses) == 160
    assert np.mean(losses[-50:]) <= np.mean(losses[:10]) / 2
    call("vcjax", "export", run, "--out", tmp_path / "model")
    video = tmp_path / "video.mp4"
    call(
        "vcjax",
        "generate",
        "--model",
        tmp_path / "model",
        "--text",
        "a red circle moving left",
        "--out",
        video,
    )
    assert read(video).frames.shape == (4, 64, 64, 3)
