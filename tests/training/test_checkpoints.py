"""Checkpoints: what is damaged is named and never becomes parameters, and what does not fit on the disk is not begun."""

import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.runs import table
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import locked
from vcjax.training import checkpoints as module
from vcjax.training.__main__ import main
from vcjax.training.build import build_task
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.checksums import CHECKSUMS
from vcjax.training.config import run_from_config
from vcjax.training.loop import train
from vcjax.training.state import TrainState


def state(step):
    parameters = {"kernel": jax.random.normal(jax.random.key(step), (3000,))}
    return TrainState(step=jnp.int32(step), parameters=parameters, optimizer=(), ema=parameters)


@pytest.fixture(scope="module")
def shapes():
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state(1))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), -float(step))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "checkpoints"))


def largest(folder, step):
    return max(
        (path for path in (folder / str(step)).rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )


def restore(folder, shapes, step=3):
    with Checkpoints(folder, keep=3) as checkpoints:
        return checkpoints.restore(step, shapes)


def test_a_whole_checkpoint_is_restored_without_a_warning(folder, shapes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", VcjaxWarning)
        restored = restore(folder, shapes)
    np.testing.assert_array_equal(restored.parameters["kernel"], state(3).parameters["kernel"])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("change", [flip, cut, Path.unlink])
@pytest.mark.parametrize("which", [largest, lambda folder, step: folder / str(step) / "metrics" / "metrics"])
def test_a_damaged_checkpoint_is_named_with_the_last_whole_one(folder, shapes, change, which):
    change(which(folder, 3))
    with pytest.raises(BadInput, match=r"checkpoint of step 3 is damaged .* to go on from step 2"):
        restore(folder, shapes)
    change(which(folder, 2))
    with pytest.raises(BadInput, match=r"checkpoint of step \d is damaged .* to go on from step 1"):
        restore(folder, shapes)
    change(which(folder, 1))
    with pytest.raises(BadInput, match="no other checkpoint is whole"):
        restore(folder, shapes)


def test_after_the_damaged_one_is_deleted_the_whole_one_is_the_latest(folder, shapes):
    flip(largest(folder, 3))
    shutil.rmtree(folder / "3")
    with Checkpoints(folder, keep=3) as checkpoints:
        assert checkpoints.latest == 2
        np.testing.assert_array_equal(checkpoints.restore(2, shapes).ema["kernel"], state(2).ema["kernel"])


def test_a_checkpoint_without_checksums_is_restored_with_a_warning(folder, shapes):
    (folder / "3" / CHECKSUMS).unlink()
    with pytest.warns(VcjaxWarning, match="cannot be verified"):
        assert restore(folder, shapes).step == 3


def test_a_checkpoint_for_which_there_is_no_space_is_not_begun(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, keep=3) as checkpoints:
        with pytest.raises(BadInput, match=r"a checkpoint takes 0 MiB, and the disk of .* has 0 MiB left"):
            checkpoints.save(1, state(1), 0.0)
        assert checkpoints.latest is None
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ValueError(
            "RESOURCE_EXHAUSTED: Failed to write 5 bytes: No space left on device [os_error_code='28']"
        ),
    ],
)
def test_a_disk_that_fills_meanwhile_is_one_sentence(tmp_path, monkeypatch, error):
    def failing(*_, **__):
        raise error

    with Checkpoints(tmp_path, keep=3) as checkpoints:
        monkeypatch.setattr(module.ocp.CheckpointManager, "save", failing)
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\)"):
            checkpoints.save(1, state(1), 0.0)


def test_a_second_run_in_the_folder_is_refused_and_leaves_it_as_it_was(tmp_path):
    run = run_from_config(table(tmp_path))
    out = Path(run.out)
    out.mkdir()
    with locked(out, "run"), pytest.raises(BadInput, match="is in use by another run"):
        train(run, build_task(run))
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("/etc/passwd", "/etc/passwd is not a directory"),
        ("", "config.out must be the folder"),
        (" ", "config.out must"),
    ],
)
def test_a_folder_that_is_none_is_refused_before_the_task_is_built(capsys, monkeypatch, out, message):
    monkeypatch.setattr("vcjax.training.__main__.build_task", lambda _: pytest.fail("built"))
    assert main(["--config=smoke", f"--config.out={out}"]) == 2
    assert message in capsys.readouterr().err
