"""The commands of docs/finetuning.md, from a folder of videos to adapters and videos with them."""

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
PAGE = ROOT / "docs" / "finetuning.md"
SMALL = ["--config.stages[0].steps=2", "--config.stages[0].batch_size=2"]


def commands():
    """Return the commands of the first section, in order."""
    section = PAGE.read_text("utf-8").split("\n## ")[1]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    return [shlex.split(line) for line in "\n".join(blocks).splitlines()]


@pytest.mark.slow
def test_the_commands_from_videos_to_adapters_run(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    clips = sprites.batch("train", np.arange(3))
    for n, caption in enumerate(sprites.captions(clips.facts)):
        Clip(np.asarray(clips.frames[n]), 8).save(videos / f"{n}.mp4")
        (videos / f"{n}.txt").write_text(caption)
    steps = commands()
    assert [command[1] for command in steps] == [
        "prepare", "train", "export", "generate", "generate", "export", "generate",
    ]  # fmt: skip
    for _, *arguments in steps:
        small = {"train": SMALL, "generate": ["--steps", "2"]}.get(arguments[0], [])
        done = subprocess.run(
            [sys.executable, "-m", "vcjax", *arguments, *small],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stderr)
    whole, half, merged = (read(tmp_path / f"{name}.mp4").frames for name in ("look", "half", "merged"))
    assert (whole != half).any()
    assert np.abs(whole.astype(int) - merged).mean() < 2  # the merged weights are stored in half precision
