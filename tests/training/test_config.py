"""Configurations: every file in configs/ is a run, and what is wrong with one is told in a sentence before compiling."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.runs import MODEL, table
from vcjax.errors import BadInput
from vcjax.training.__main__ import read_configuration
from vcjax.training.assemble import task_of
from vcjax.training.config import run_from
from vcjax.training.plan import plan

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(f for f in (ROOT / "configs").rglob("*.py") if f.name != "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT / "configs")))
def test_every_configuration_is_a_run_and_says_how_to_start_it(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    relative = file.relative_to(ROOT)
    assert f"--config={relative}" in file.read_text()
    run = run_from(read_configuration([f"--config={relative}"]))
    assert run.steps > 0
    if run.parts == "tiny":
        assert plan(run, task_of(run)).shapes


def test_the_command_line_changes_single_values(monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = [
        "--config=configs/sprites.py",
        "--config.optimizer.learning_rate=3e-4",
        "--config.stages[1].steps=7",
    ]
    run = run_from(read_configuration(arguments))
    assert [stage.optimizer.learning_rate for stage in run.stages] == [3e-4, 3e-4]
    assert run.stages[1].steps == 7
    assert run.stages[1].optimizer.decay == "cosine"  # what the stage says stands above what the run says


def with_stage(**changes):
    return {"stages": [{"name": "only", "steps": 4, "batch": 2, **changes}]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": 1}, "'colour'"),
        ({"seed": -1}, "config.seed"),
        ({"seed": 1.5}, "config.seed"),
        ({"ema": 1.0}, "config.ema"),
        ({"stages": []}, "config.stages"),
        ({"keep": 0}, "config.keep"),
        ({"first_stage": 1}, "config.start must name a model folder"),
        ({"first_stage": 2}, "config.first_stage"),
        ({"weighting": "snr"}, "plain, clean, min_snr"),
        ({"optimizer": {"decay": "step"}}, "constant, cosine, linear"),
        ({"optimizer": 3}, "optimizer"),
        (with_stage(steps=0), "config.stages[0].steps"),
        (with_stage(batch=3, accumulate=2), "multiple of accumulate = 2"),
        (with_stage(images_every=3), "belong together"),
        (with_stage(image_scenes="easy"), "all, simple"),
        (with_stage(image_lowest_t=-1), "image_lowest_t"),
        (with_stage(image_conditions=["text"]), "set images_every and images too"),
        (with_stage(dropout={"all_dropped": 0.6, "all_kept": 0.6}), "at most 1"),
        (with_stage(dropout={"few": 0.8, "all_kept": 0.3}), "at most 1"),
        (with_stage(dropout={"each": {"depth": 1.5}}), "probabilities"),
        (with_stage(optimizer={"clip": -1.0}), "0 or more"),
    ],
)
def test_bad_values_are_named(tmp_path, changes, said):
    with pytest.raises(BadInput) as error:
        run_from(table(tmp_path, **changes))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "painting"}, "autoencoder, clip, depth, sketch, diffusion"),
        ({"parts": "nowhere"}, "nowhere"),
        ({"model": {**MODEL, "networks": {"unit": {}}}}, "unit"),
        ({"model": {**MODEL, "clip": {**MODEL["clip"], "width": 24}}}, "square"),
        (with_stage(conditions=["smell"]), "smell"),
        (with_stage(images_every=2, images=2, image_lowest_t=1000), "image_lowest_t must be below 1000"),
        (with_stage(dropout={"each": {"smell": 0.5}}), "smell"),
        (with_stage(train=["unet/nothing"]), "unet/nothing"),
        ({**with_stage(frames=2), "fixed_clips": 4}, "frames must be 0, 1 or 3"),
        (with_stage(optimizer={"name": "steepest"}), "steepest"),
        (with_stage(optimizer={"name": "sgd", "weight_decay": 0.1}), "weight decay"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is_compiled(tmp_path, changes, said):
    run = run_from(table(tmp_path, **changes))
    with pytest.raises(BadInput) as error:
        plan(run, task_of(run))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config=configs/nothing.py"], "nothing.py"),
        (["--config=configs/smoke.py", "--config.colour=1"], "no key colour"),
        (["--config=configs/smoke.py", "--config.optimizer.colour=1"], "no key colour"),
        (["--config=configs/smoke.py", "--config.seed=red"], "'red'"),
        (["--config=configs/smoke.py", "--config.stages[2].steps=1"], "N counts from 0"),
        (["--confg=configs/smoke.py"], "confg"),
        ([], "--config=FILE"),
    ],
)
def test_a_wrong_command_line_ends_with_one_sentence_and_code_2(arguments, said):
    command = [sys.executable, "-m", "vcjax.training", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_state_belongs_to_the_stage_whose_steps_it_ends(tmp_path):
    run = run_from(table(tmp_path))
    assert [run.stage_of(done) for done in (0, 4, 5, 6, 10)] == [0, 0, 0, 1, 1]
    later = run_from(table(tmp_path, first_stage=1, start="folder"))
    assert [later.stage_of(done) for done in (5, 6)] == [1, 1]
