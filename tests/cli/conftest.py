"""Fixtures of the command line tests."""

import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.data import sprites


@pytest.fixture(autouse=True)
def work_folder(monkeypatch, tmp_path):
    """Run each test in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def video(tmp_path):
    clip = vcjax.Clip(np.asarray(sprites.batch("test", jnp.array([3])).frames[0]), 8.0)
    clip.save(tmp_path / "video.mp4")
    return tmp_path / "video.mp4"
