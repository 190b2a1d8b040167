"""Launch scripts can be read by their shells, and a dry run prints what they would do and does nothing."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vcjax.training import __main__ as trainer

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted(LAUNCH.rglob("*.sh"))
SETTINGS = {
    "DRY_RUN": "1", "TYPE": "v5p-128", "ZONE": "us-east5-a", "BUCKET": "runs", "IMAGE": "registry/vcjax",
    "CLAIM": "runs", "HOSTS": "4", "MASTER": "http://flink:8081",
}  # fmt: skip
READING = ("bash", "cat", "dirname")  # all that a dry run may call
ARGUMENTS = ["configs/smoke.py", '--config.out=runs/two "words"']


def dry_run(script, tmp_path, arguments=ARGUMENTS):
    """What a dry run prints, on a machine where no other command than those that read can be found."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in READING:
        (tools / name).symlink_to(shutil.which(name))
    environment = {**SETTINGS, "PATH": str(tools), "HOME": str(tmp_path)}
    command = [shutil.which("bash"), str(script), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def commands(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_there_is_a_script_for_each_place():
    places = {script.parent.name for script in SCRIPTS}
    assert {"local", "slurm", "tpu", "kubernetes"} <= places


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(LAUNCH)))
def test_a_script_is_one_says_how_it_is_used_and_runs_dry(script, tmp_path):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert f"launch/{script.relative_to(LAUNCH)}" in text
    assert "DRY_RUN=1" in text
    assert commands(dry_run(script, tmp_path))


@pytest.mark.parametrize("place", ["local", "slurm", "tpu", "kubernetes"])
def test_a_dry_run_prints_its_commands_and_does_nothing(place, tmp_path):
    before = sorted(ROOT.glob("*"))
    printed = commands(dry_run(LAUNCH / place / "train.sh", tmp_path))
    assert sorted(ROOT.glob("*")) == before
    assert "configs/smoke.py" in printed
    expected = {
        "local": ["vcjax train --config=configs/smoke.py"],
        "slurm": ["srun", "vcjax train --config=configs/smoke.py", "scontrol requeue"],
        "tpu": ["queued-resources create", "scp", "VCJAX_HOSTS=auto", "queued-resources delete"],
        "kubernetes": ["docker build", "docker push", "kubectl apply"],
    }[place]
    places = [printed.index(text) for text in expected]
    assert places == sorted(places)
    assert "SIGTERM" in (LAUNCH / place / "train.sh").read_text()  # what becomes of it is told


@pytest.mark.parametrize("place", ["local", "slurm", "tpu", "kubernetes"])
def test_without_a_configuration_a_script_says_how_to_use_it(place, tmp_path):
    done = dry_run(LAUNCH / place / "train.sh", tmp_path, [])
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert done.stdout == ""


def test_arguments_arrive_as_they_were_given(tmp_path):
    for place in ("local", "slurm"):
        (tmp_path / place).mkdir()
        printed = commands(dry_run(LAUNCH / place / "train.sh", tmp_path / place))
        (line,) = [line for line in printed.splitlines() if "vcjax train" in line]
        assert shlex.split(line)[-2:] == ["--config=configs/smoke.py", ARGUMENTS[1]]
    (tmp_path / "tpu").mkdir()
    printed = commands(dry_run(LAUNCH / "tpu" / "train.sh", tmp_path / "tpu"))
    (line,) = [line for line in printed.splitlines() if "vcjax\\ train" in line]
    remote = shlex.split(shlex.split(line)[-1].removeprefix("--command="))
    assert remote[remote.index("train") + 1 :][:2] == ["--config=configs/smoke.py", ARGUMENTS[1]]


def test_the_job_of_kubernetes_is_filled_in(tmp_path):
    printed = commands(dry_run(LAUNCH / "kubernetes" / "train.sh", tmp_path))
    documents = printed[printed.index("# A training job") :]
    assert "$" not in documents.split("\n", 1)[1]
    service, job = yaml.safe_load_all(documents)
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    spec = job["spec"]
    assert spec["completions"] == spec["parallelism"] == 4
    pod = spec["template"]["spec"]
    (trainer,) = pod["containers"]
    assert trainer["args"] == ["train", "--config=configs/smoke.py", ARGUMENTS[1]]
    variables = {variable["name"]: variable.get("value") for variable in trainer["env"]}
    assert variables["JAX_NUM_PROCESSES"] == "4"
    assert variables["JAX_COORDINATOR_ADDRESS"].startswith(f"{job['metadata']['name']}-0.{pod['subdomain']}:")
    assert pod["subdomain"] == service["metadata"]["name"]
    again = [r for r in spec["podFailurePolicy"]["rules"] if r["action"] == "Ignore" and "onExitCodes" in r]
    assert {3, 75} <= set(again[0]["onExitCodes"]["values"])


def test_slurm_warns_the_trainer_and_queues_it_again():
    """`#SBATCH` lines are heeded only above the first command."""
    lines = (LAUNCH / "slurm" / "train.sh").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = {line.removeprefix("#SBATCH ") for line in lines[:first] if line.startswith("#SBATCH ")}
    assert {"--requeue", "--signal=TERM@120", "--open-mode=append"} <= options


def test_a_run_that_a_signal_ended_asks_to_be_started_again(monkeypatch, capsys):
    """By the exit code that the job of Kubernetes, Slurm's and the TPU's script know from being finished."""
    left = {"steps": 1}
    monkeypatch.setattr(trainer, "task_of", lambda run: None)
    monkeypatch.setattr(trainer, "train", lambda run, task: run.steps - left["steps"])
    assert trainer.main(["--config=configs/smoke.py"]) == trainer.UNFINISHED == 75
    left["steps"] = 0
    assert trainer.main(["--config=configs/smoke.py"]) == 0
    assert "160 of 160 steps are done" in capsys.readouterr().out
