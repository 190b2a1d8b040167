"""Export to a model folder: an existing model is replaced whole or kept whole, and nothing is written outside."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from tests.training.runs import table
from vcjax.errors import BadInput
from vcjax.training import export as module
from vcjax.training.config import run_from_config
from vcjax.training.state import TrainState
from vcjax.weights.folder import read_config, write_component, write_config


@pytest.fixture
def run(tmp_path):
    """A run whose frozen model has one file of weights, for its depth network."""
    run = run_from_config(table(tmp_path))
    frozen = Path(run.frozen_from)
    entry = write_component(frozen, "depth", {"kernel": jnp.ones(3)})
    write_config(frozen, {**read_config(frozen), "files": {"depth": entry}})
    return run


def state(value):
    trees = {name: {"kernel": jnp.full((2,), value)} for name in ("unet", "stc", "tokens")}
    return TrainState(step=jnp.int32(0), parameters=trees, optimizer=(), ema=trees)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, BadInput("the disk is full")])
@pytest.mark.parametrize("exists", [False, True])
def test_an_interruption_between_components_leaves_the_model_as_it_was(
    run, tmp_path, monkeypatch, error, exists
):
    out = tmp_path / "model"
    if exists:
        module._write(run, state(1.0).ema, out, "float16")
    before = content(tmp_path)
    written = []

    def failing(folder, component, *rest):
        if component == "stc":
            raise error
        written.append(component)
        return write_component(folder, component, *rest)

    monkeypatch.setattr(module, "write_component", failing)
    with pytest.raises((BadInput, KeyboardInterrupt, SystemExit)):
        module._write(run, state(2.0).ema, out, "float16")
    assert written == ["unet"]
    assert content(tmp_path) == before
    assert out.exists() == exists


def test_nothing_is_written_outside_of_the_folder(run, tmp_path):
    frozen = Path(run.frozen_from)
    config = json.loads((frozen / "config.json").read_text())
    (tmp_path / "secret").write_bytes((frozen / "depth.safetensors").read_bytes())
    config["files"]["depth"]["file"] = "../secret"
    (frozen / "config.json").write_text(json.dumps(config))
    before = content(tmp_path)
    with pytest.raises(
        BadInput, match=r"files\.depth\.file must be the name of a file in the folder, not '\.\./secret'"
    ):
        module._write(run, state(1.0).ema, tmp_path / "deeper" / "model", "float16")
    assert content(tmp_path) == before
