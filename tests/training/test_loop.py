"""The training loop: stages, resumption, NaN, metadata of a run, checkpoints, export to a model folder."""

import json
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from tests.training.runs import MODEL, LineTask, SickTask, same, small_parts, table
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.training.build import build_task
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import run_from_config
from vcjax.training.export import export
from vcjax.training.loop import _read_parameters, initial_state, train
from vcjax.training.monitor import TrainingMonitor
from vcjax.training.setup import set_up
from vcjax.weights.networks import random_parameters


def line_run(folder, **changes):
    stages = [{"name": "first", "steps": 6, "batch_size": 4}, {"name": "second", "steps": 4, "batch_size": 4}]
    return run_from_config(
        {
            "task": "line",
            "model": MODEL,
            "out": str(folder),
            "save_every": 3,
            "log_every": 1,
            "optimizer": {"learning_rate": 0.1},
            "stages": stages,
            **changes,
        }
    )


def lines(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def last_state(run, task, out=None):
    """The state in the last checkpoint of a run, or of one that differs from it in its folder alone."""
    setup = set_up(run, task)
    with Checkpoints(Path(out or run.out) / "checkpoints", run.keep_checkpoints) as checkpoints:
        return checkpoints.restore(checkpoints.latest, setup.shapes_at(checkpoints.latest))


def test_stages_follow_one_another_and_every_step_has_metrics(tmp_path):
    run = line_run(tmp_path)
    assert train(run, LineTask()) == 10
    metrics = lines(tmp_path)
    assert [line["step"] for line in metrics] == list(range(1, 11))
    assert [line["stage"] for line in metrics] == ["first"] * 6 + ["second"] * 4
    for key in (
        "learning_rate", "gradient_norm", "error", "samples_per_second", "mfu", "data_wait",
        "memory_gb", "gflop_per_step",
    ):  # fmt: skip
        assert all(np.isfinite(line[key]) for line in metrics), key
    assert any((tmp_path / "tensorboard").iterdir())
    assert int(last_state(run, LineTask()).step) == 10


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = line_run(tmp_path / "whole")
    train(whole, LineTask())
    halves = line_run(tmp_path / "halves")
    first = line_run(tmp_path / "halves", stages=[{"name": "first", "steps": 6, "batch_size": 4}])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VcjaxWarning)  # about the changed stages
        train(first, LineTask())
        train(halves, LineTask())
    assert same(last_state(whole, LineTask()), last_state(halves, LineTask()))
    assert [a["loss"] for a in lines(whole.out)] == [b["loss"] for b in lines(halves.out)]
    assert train(whole, LineTask()) == 10  # and a complete run does nothing


def test_a_loss_of_nan_stops_the_run_and_names_the_step(tmp_path):
    run = line_run(tmp_path, seed=7)
    with pytest.raises(
        FloatingPointError, match=r"step 7 \(seed 7\) is nan.*last good checkpoint is step 6's"
    ):
        train(run, SickTask())
    state = last_state(run, SickTask())
    assert int(state.step) == 6
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.parameters))


def test_the_latest_checkpoints_and_the_best_are_kept(tmp_path):
    run = line_run(
        tmp_path, save_every=1, keep_checkpoints=2, optimizer={"learning_rate": 1.0, "name": "sgd"}
    )
    train(run, LineTask())
    best = min(lines(tmp_path), key=lambda line: line["loss"])["step"]
    with Checkpoints(tmp_path / "checkpoints", 2) as checkpoints:
        assert checkpoints.steps == sorted({best, 9, 10})


def test_an_incomplete_checkpoint_is_ignored(tmp_path):
    run = line_run(tmp_path)
    train(run, LineTask())
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, 2) as checkpoints:
        before = checkpoints.steps
    half = folder / f"11.orbax-checkpoint-tmp-{0}"
    shutil.copytree(folder / "10", half)
    with Checkpoints(folder, 2) as checkpoints:
        assert checkpoints.steps == before


def test_a_folder_belongs_to_its_run(tmp_path):
    train(line_run(tmp_path), LineTask())
    with pytest.raises(BadInput, match="another seed"):
        train(line_run(tmp_path, seed=1), LineTask())
    with pytest.warns(VcjaxWarning, match="is resumed with changed settings: log_every"):
        train(line_run(tmp_path, log_every=2), LineTask())


def test_a_run_of_an_earlier_format_is_refused(tmp_path):
    run = line_run(tmp_path)
    train(run, LineTask())
    path = tmp_path / "run.json"
    table = json.loads(path.read_text())
    del table["format"]  # as format 1 was written
    path.write_text(json.dumps(table))
    with pytest.raises(
        BadInput, match="holds a run of format 1, whose configuration and checkpoints have other"
    ):
        train(run, LineTask())


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path):
    class WiderTask(LineTask):
        def init(self, key):
            return {**super().init(key), "more": {"kernel": np.zeros(3, np.float32)}}

    train(line_run(tmp_path), LineTask())
    before = (tmp_path / "run.json").read_bytes()
    with (
        pytest.warns(VcjaxWarning, match="is resumed with changed settings: log_every"),
        pytest.raises(BadInput, match="does not fit this configuration"),
    ):
        train(line_run(tmp_path, log_every=2), WiderTask())
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_checkpoint_that_was_removed_meanwhile_is_an_error_that_says_so(tmp_path):
    run = line_run(tmp_path)
    train(run, LineTask())
    setup = set_up(run, LineTask())
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, 2) as checkpoints:
        step = checkpoints.latest
        shutil.rmtree(folder / str(step))
        with pytest.raises(BadInput, match=f"step {step} .* was deleted"):
            checkpoints.restore(step, setup.shapes_at(step))


def test_a_run_of_fewer_steps_than_are_done_is_refused(tmp_path):
    train(line_run(tmp_path), LineTask())
    fewer = line_run(tmp_path, stages=[{"name": "first", "steps": 6, "batch_size": 4}])
    with (
        pytest.warns(VcjaxWarning, match="changed settings: stages"),
        pytest.raises(BadInput, match=r"checkpoint of step 10, but config\.stages have 6 steps"),
    ):
        train(fewer, LineTask())


def test_each_stage_reports_its_own_flops(tmp_path):
    """The second stage has batches of the first one's shape, and trains less."""
    stages = [
        {"name": "whole", "steps": 2, "batch_size": 4},
        {"name": "less", "steps": 2, "batch_size": 4, "trainable": ["other/"]},
    ]
    train(line_run(tmp_path, stages=stages), LineTask())
    flops = {line["stage"]: line["gflop_per_step"] for line in lines(tmp_path)}
    assert flops["less"] < flops["whole"]


def test_compilation_is_not_timed(tmp_path, monkeypatch):
    """A step that takes long to compile is timed from its first result on."""
    run = line_run(tmp_path)
    real, slept = TrainingMonitor.prepare, []

    def slow(self, *arguments):
        if not slept:
            slept.append(time.sleep(2))
        real(self, *arguments)

    monkeypatch.setattr(TrainingMonitor, "prepare", slow)
    train(run, LineTask())
    assert lines(tmp_path)[0]["samples_per_second"] > 4 / 2


def test_a_signal_during_the_last_checkpoint_does_not_kill_the_run(tmp_path, monkeypatch):
    """Until everything is closed, a signal to stop does not kill the run."""
    heard, close = [], Checkpoints.__exit__

    def interrupted(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        heard.append(True)
        close(self, *arguments)

    monkeypatch.setattr(Checkpoints, "__exit__", interrupted)
    assert train(line_run(tmp_path), LineTask()) == 10
    assert heard


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small diffusion run of one step, with one map of another size than the clip (as the released model's depth)."""
    tmp_path = tmp_path_factory.mktemp("trained")
    model = {
        **MODEL,
        "conditions": {"text": {}, "style": {"embed_dim": 16, "image_size": 16}, "depth": {"scale": 1.5}},
    }
    run = run_from_config(table(tmp_path, model=model, stages=[{"name": "all", "steps": 1, "batch_size": 2}]))
    task = build_task(run)
    assert train(run, task) == 1
    return tmp_path, run, task


def test_a_checkpoint_becomes_a_model_folder(trained):
    tmp_path, run, task = trained
    assert export(Path(run.out), tmp_path / "model") == 1
    composer = vcjax.load(tmp_path / "model", verify=True)
    average = last_state(run, task).ema
    for component in ("unet", "tokens"):
        for a, b in zip(
            jax.tree.leaves(composer.parameters(component)), jax.tree.leaves(average[component]), strict=True
        ):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b).astype(np.float16).astype(np.float32))
    clip = composer(text="a red circle", seed=1)
    assert clip.frames.shape == (3, 16, 16, 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"schedule": {"zero_terminal_snr": False}}, "schedule"), ({"prediction": "epsilon"}, "prediction")],
)
def test_a_model_of_another_kind_is_not_renewed(trained, tmp_path, changes, named):
    _, run, _ = trained
    model = tmp_path / "model"
    export(Path(run.out), model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(BadInput, match=f"another {named}: give a new folder"):
        export(Path(run.out), model)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_samples_use_maps_of_another_size_than_the_clip(trained):
    _, _, task = trained
    parameters = random_parameters(jax.eval_shape(task.init, jax.random.key(0)), 0)
    (clip,) = task.samples(parameters, task.frozen()).values()
    assert clip.frames.shape[0] == 3


def test_a_run_can_begin_with_stage_two_and_with_a_new_condition(trained):
    """The second stage alone, from the first one's model folder, with an encoder that the folder lacks."""
    tmp_path, run, _ = trained
    export(Path(run.out), tmp_path / "start")
    model = {**run.model, "conditions": {**run.model["conditions"], "sketch": {}}}
    small_parts(tmp_path / "wider", model)
    changes = {
        "model": model,
        "frozen_from": str(tmp_path / "wider"),
        "init_from": str(tmp_path / "start"),
        "first_stage": 1,
    }
    stages = [{"name": "first", "steps": 1, "batch_size": 2}, {"name": "second", "steps": 1, "batch_size": 2}]
    again = run_from_config(table(tmp_path, out=str(tmp_path / "again"), stages=stages, **changes))
    task = build_task(again)
    with Checkpoints(tmp_path / "none", 1) as nothing:
        state, done = initial_state(set_up(again, task), task, nothing)
    assert done == 1
    stc = task._networks.stc
    sketch = jax.random.uniform(jax.random.key(0), (1, 3, 16, 16, 1))
    assert not np.asarray(stc.apply({"params": state.parameters["stc"]["sketch"]}, sketch, (4, 4))).any()
    assert np.asarray(stc.apply({"params": state.parameters["stc"]["depth"]}, sketch, (4, 4))).any()


def test_a_component_without_parameters_needs_no_file_to_begin_with(trained):
    """A model without style has nothing in `tokens`, and its folder no such file."""
    tmp_path, _, _ = trained
    assert _read_parameters(str(tmp_path / "parts"), {"tokens": {}}, (), dict) == {"tokens": {}}


def test_nothing_is_initialised_for_a_run_that_starts_from_a_complete_model(trained):
    tmp_path, run, _ = trained
    export(Path(run.out), tmp_path / "start")
    task = build_task(run)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    read = _read_parameters(str(tmp_path / "start"), shapes, task.allow_missing, lambda: pytest.fail("drawn"))
    assert jax.tree.map(jnp.shape, read) == jax.tree.map(jnp.shape, shapes)


@pytest.mark.parametrize("step", [1, 99])
def test_what_cannot_be_exported_is_one_sentence(trained, step):
    tmp_path, run, _ = trained
    with pytest.raises(BadInput):
        export(Path(run.out), tmp_path / "never", step=step, dtype="float8")
    with pytest.raises(BadInput, match="not the folder of a run"):
        export(tmp_path, tmp_path / "never")
    if step == 99:
        with pytest.raises(BadInput, match="not of 99"):
            export(Path(run.out), tmp_path / "never", step=step)
    assert not (tmp_path / "never").exists()
