"""The commands of docs/custom_condition.md, from a class to an evaluation of its trained encoder."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from examples.canny import Canny
from vcjax.data import sprites
from vcjax.video.clip import Clip
from vcjax.video.read import read

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "custom_condition.md"
SMALL = {
    "prepare": [],
    "train": ["--config.stages[0].steps=2", "--config.stages[0].batch_size=2"],
    "generate": ["--steps", "2"],
    "evaluate": ["--steps", "1", "--examples", "1"],
}
SMALLER = {"sprites:512,24,0": "sprites:8,2,0", "24": "2"}  # arguments


def commands():
    """Return the commands of the page, in order."""
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("vcjax ")]


@pytest.mark.slow
def test_the_commands_from_a_class_to_an_evaluation_run(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    clip = sprites.batch("test", jnp.array([3])).frames[0]
    Clip(np.asarray(clip), 8.0).save(tmp_path / "walk.mp4")
    steps = commands()
    names = ["extend", "info", "extract", "prepare", "train", "export", "generate", "generate", "evaluate"]
    assert [command[1] for command in steps] == names
    for _, *arguments in steps:
        given = [SMALLER.get(argument, argument) for argument in arguments] + SMALL.get(arguments[0], [])
        done = subprocess.run(
            [sys.executable, "-c", "from vcjax.cli import main; main()", *given],  # as the command: no "" in sys.path
            cwd=tmp_path, env={**os.environ, "PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stderr)
    for name in ("from", "finished"):
        assert read(tmp_path / "outputs" / f"{name}.mp4").frames.shape == (16, 64, 64, 3)
    scores = json.loads((tmp_path / "outputs" / "canny" / "scores.json").read_text("utf-8"))
    (measure,) = Canny.measures
    for row in (scores["text + canny"][measure.name], scores["text"][measure.name]):
        assert 0 <= row["value"] <= row["reference"] <= 1
