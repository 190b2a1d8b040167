"""The commands of docs/data.md, from a folder of videos to a trained model and a sample of it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vcjax.data import sprites
from vcjax.video.clip import Clip
from vcjax.video.read import read

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "data.md"
SMALL = [f"--config.stages[{stage}].{key}" for stage in (0, 1) for key in ("steps=1", "batch_size=2")]


def commands():
    """Return the commands of the first section, in order."""
    section = PAGE.read_text("utf-8").split("\n## ")[1]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("vcjax ")]


@pytest.mark.slow
def test_the_commands_from_videos_to_a_model_run(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    clips = sprites.batch("train", np.arange(3))
    for n, caption in enumerate(sprites.captions(clips.facts)):
        Clip(np.asarray(clips.frames[n]), 8).save(videos / f"clip {n}.mp4")
        (videos / f"clip {n}.txt").write_text(caption)

    steps = commands()
    assert [command[1] for command in steps] == ["prepare", "inspect", "train", "export", "generate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _, *arguments in steps:
        small = SMALL if arguments[0] == "train" else []
        done = subprocess.run(
            [sys.executable, "-m", "vcjax", *arguments, *small],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (arguments, done.stderr)
    video = tmp_path / steps[-1][steps[-1].index("--out") + 1]
    assert read(video).frames.shape == (16, 64, 64, 3)
