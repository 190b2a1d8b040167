"""A run that is killed anywhere and resumed ends bit-equal to an uninterrupted one."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.runs import same, table
from tests.training.test_loop import last_state, lines
from vcjax.training.build import build_task
from vcjax.training.config import run_from_config

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600  # seconds: a loaded machine compiles slowly


def start(path):
    command = [sys.executable, "-m", "tests.training.worker", str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(path):
    with start(path) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, err
    return int(out)


def wait_for(process, condition):
    """Wait until the condition holds; the process must still run."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.0005)


def logged_steps(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def last_logged_step(folder):
    """Return the step of the last complete line."""
    whole = (
        (folder / "metrics.jsonl").read_text().splitlines()[: logged_steps(folder)]
        if logged_steps(folder)
        else []
    )
    return json.loads(whole[-1])["step"] if whole else 0


def checkpoints(folder):
    """Return the names in the folder of checkpoints."""
    inside = folder / "checkpoints"
    return [path.name for path in inside.iterdir()] if inside.exists() else []


def being_written(folder):
    return [name for name in checkpoints(folder) if "tmp" in name]


def written(folder):
    return [name for name in checkpoints(folder) if name.isdecimal()]


@pytest.mark.slow
def test_a_run_killed_several_times_equals_an_uninterrupted_one(tmp_path):
    """Each kill hits a run that was resumed after the one before."""
    stages = [
        {
            "name": "first",
            "steps": 6,
            "batch_size": 2,
            "images_every": 3,
            "image_batch_size": 4,
            "conditions": ["text"],
        },
        {"name": "second", "steps": 8, "batch_size": 2},
    ]
    settings = table(tmp_path, stages=stages, save_every=4)

    def config(name):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**settings, "out": str(tmp_path / name)}))
        return path, tmp_path / name

    path, whole = config("whole")
    assert finish(path) == 14
    run = run_from_config(json.loads(path.read_text()))
    task = build_task(run)
    truth = last_state(run, task)

    path, folder = config("disturbed")
    kills = {
        "in a step": lambda: logged_steps(folder) >= 2,
        "during a save": lambda: being_written(folder),
        "after a save": lambda: written(folder),
        "in a step of stage two": lambda: last_logged_step(folder) >= 9,
    }
    for name, moment in kills.items():
        process = start(path)
        wait_for(process, moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert last_logged_step(folder) < 14, name

    process = start(path)
    before = logged_steps(folder)
    wait_for(process, lambda: logged_steps(folder) > before)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert str(out).strip() in written(folder)  # no step is lost
    assert 8 < int(out) < 14
    assert finish(path) == 14

    assert same(truth, last_state(run, task, folder))
    losses = {line["step"]: line["loss"] for line in lines(folder)}
    assert losses == {line["step"]: line["loss"] for line in lines(whole)}
