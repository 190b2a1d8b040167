"""Launch scripts have valid syntax, and a dry run prints their commands without running them."""

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
ALLOWED = ("bash", "cat", "dirname")  # commands that a dry run may call
ARGUMENTS = ["smoke", '--config.out=runs/two "words"']


def dry_run(script, tmp_path, arguments=ARGUMENTS):
    """Run a script with DRY_RUN=1 and only the allowed commands on the path."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ALLOWED:
        (tools / name).symlink_to(shutil.which(name))
    environment = {**SETTINGS, "PATH": str(tools), "HOME": str(tmp_path)}
    command = [shutil.which("bash"), str(script), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def output(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_there_is_a_script_for_each_platform():
    platforms = {script.parent.name for script in SCRIPTS}
    assert {"local", "slurm", "tpu", "kubernetes"} <= platforms


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(LAUNCH)))
def test_a_script_is_valid_documents_its_use_and_supports_dry_runs(script, tmp_path):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert f"launch/{script.relative_to(LAUNCH)}" in text
    assert "DRY_RUN=1" in text
    assert output(dry_run(script, tmp_path))


@pytest.mark.parametrize("platform", ["local", "slurm", "tpu", "kubernetes"])
def test_a_dry_run_prints_its_commands_and_changes_nothing(platform, tmp_path):
    before = sorted(ROOT.glob("*"))
    printed = output(dry_run(LAUNCH / platform / "train.sh", tmp_path))
    assert sorted(ROOT.glob("*")) == before
    assert "smoke" in printed
    expected = {
        "local": ["vcjax train --config=smoke"],
        "slurm": ["srun", "vcjax train --config=smoke", "scontrol requeue"],
        "tpu": ["queued-resources create", "scp", "VCJAX_HOSTS=auto", "queued-resources delete"],
        "kubernetes": ["docker build", "docker push", "kubectl apply"],
    }[platform]
    positions = [printed.index(text) for text in expected]
    assert positions == sorted(positions)
    assert "SIGTERM" in (LAUNCH / platform / "train.sh").read_text()


@pytest.mark.parametrize("platform", ["local", "slurm", "tpu", "kubernetes"])
def test_without_a_configuration_a_script_prints_its_usage(platform, tmp_path):
    done = dry_run(LAUNCH / platform / "train.sh", tmp_path, [])
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert done.stdout == ""


def test_arguments_are_passed_unchanged(tmp_path):
    for platform in ("local", "slurm"):
        (tmp_path / platform).mkdir()
        printed = output(dry_run(LAUNCH / platform / "train.sh", tmp_path / platform))
        (line,) = [line for line in printed.splitlines() if "vcjax train" in line]
        assert shlex.split(line)[-2:] == ["--config=smoke", ARGUMENTS[1]]
    (tmp_path / "tpu").mkdir()
    printed = output(dry_run(LAUNCH / "tpu" / "train.sh", tmp_path / "tpu"))
    (line,) = [line for line in printed.splitlines() if "vcjax\\ train" in line]
    remote = shlex.split(shlex.split(line)[-1].removeprefix("--command="))
    assert remote[remote.index("train") + 1 :][:2] == ["--config=smoke", ARGUMENTS[1]]


def test_the_kubernetes_job_is_a_complete_manifest(tmp_path):
    printed = output(dry_run(LAUNCH / "kubernetes" / "train.sh", tmp_path))
    documents = printed[printed.index("# A training job") :]
    assert "$" not in documents.split("\n", 1)[1]
    service, job = yaml.safe_load_all(documents)
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    spec = job["spec"]
    assert spec["completions"] == spec["parallelism"] == 4
    pod = spec["template"]["spec"]
    (trainer,) = pod["containers"]
    assert trainer["args"] == ["train", "--config=smoke", ARGUMENTS[1]]
    variables = {variable["name"]: variable.get("value") for variable in trainer["env"]}
    assert variables["JAX_NUM_PROCESSES"] == "4"
    assert variables["JAX_COORDINATOR_ADDRESS"].startswith(f"{job['metadata']['name']}-0.{pod['subdomain']}:")
    assert pod["subdomain"] == service["metadata"]["name"]
    retried = [r for r in spec["podFailurePolicy"]["rules"] if r["action"] == "Ignore" and "onExitCodes" in r]
    assert {3, 75} <= set(retried[0]["onExitCodes"]["values"])


def test_slurm_sends_a_signal_before_the_limit_and_requeues():
    """Slurm reads `#SBATCH` lines only above the first command."""
    lines = (LAUNCH / "slurm" / "train.sh").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = {line.removeprefix("#SBATCH ") for line in lines[:first] if line.startswith("#SBATCH ")}
    assert {"--requeue", "--signal=TERM@120", "--open-mode=append"} <= options


def test_a_run_that_was_stopped_by_a_signal_has_its_own_exit_code(monkeypatch, capsys):
    """The scripts for Kubernetes, Slurm and TPU restart a run with this exit code."""
    left = {"steps": 1}
    monkeypatch.setattr(trainer, "build_task", lambda run: None)
    monkeypatch.setattr(trainer, "train", lambda run, task: run.steps - left["steps"])
    assert trainer.main(["--config=smoke"]) == trainer.UNFINISHED == 75
    left["steps"] = 0
    assert trainer.main(["--config=smoke"]) == 0
    assert "160 of 160 steps are done" in capsys.readouterr().out
