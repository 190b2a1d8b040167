"""Two processes over loopback are one machine: they learn what one learns, stop together, and end when one is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.parallel.worker import SCATTERED
from vcjax.conditions.base import ClipShape
from vcjax.errors import BadInput
from vcjax.parallel import hosts
from vcjax.parallel.batches import WHOLE, Share
from vcjax.training.sources import SpriteSource

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds: a loaded machine compiles slowly
STEPS = 60


def configuration(tmp_path, name, steps=STEPS, mesh=None):
    """A run whose parameters are split over two devices, as a file."""
    table = {
        "task": "line",
        "model": {},
        "out": str(tmp_path / name),
        "save_every": 10,
        "log_every": 1,
        "mesh": mesh or {"fsdp": 2},
        "rules": [["other/kernel", ["fsdp"]]],
        "optimizer": {"learning_rate": 0.1},
        "stages": [{"name": "only", "steps": steps, "batch": 8}],
    }
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(table))
    return path


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def start(path, devices=1, **environment):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.parallel.worker", str(path)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(path, devices=1, **environment):
    port = free_port()
    shared = {hosts.COORDINATOR: f"localhost:{port}", hosts.COUNT: "2", **environment}
    return [start(path, devices, **shared, **{hosts.INDEX: str(index)}) for index in range(2)]


def ends(processes):
    """Exit codes and what was printed."""
    try:
        printed = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], printed


def losses(tmp_path, name):
    lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}


def wait_until_told(tmp_path, name, step, processes):
    path, until = tmp_path / name / "metrics.jsonl", time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text().count("\n") >= step):
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Losses of one process with two devices."""
    tmp_path = tmp_path_factory.mktemp("alone")
    codes, printed = ends([start(configuration(tmp_path, "alone"), devices=2)])
    assert codes == [0], printed
    return losses(tmp_path, "alone")


def close(a, b):
    """Equal but for float32 sums in another order, and what 60 steps make of them (3e-6 was seen)."""
    return a.keys() == b.keys() and np.allclose(list(a.values()), list(b.values()), rtol=1e-5, atol=1e-9)


def test_two_processes_learn_what_one_does(tmp_path, alone):
    codes, printed = ends(start_two(configuration(tmp_path, "two")))
    assert codes == [0, 0], printed
    assert [out.split()[-1] for out, _ in printed] == [str(STEPS)] * 2
    assert len(alone) == STEPS
    assert close(losses(tmp_path, "two"), alone)


@pytest.mark.slow
def test_parts_of_a_host_need_not_lie_together(tmp_path, alone):
    """The torus of a TPU slice deals them so; here an environment variable does."""
    processes = start_two(
        configuration(tmp_path, "scattered", mesh={"data": 2, "fsdp": 2}), devices=2, **{SCATTERED: "1"}
    )
    codes, printed = ends(processes)
    assert codes == [0, 0], printed
    assert close(losses(tmp_path, "scattered"), alone)


def test_a_checkpoint_goes_from_any_mesh_to_any_other(tmp_path, alone):
    """From eight devices to two and back: the run is the one undisturbed."""
    for steps, devices, mesh in ((20, 8, {"fsdp": 2}), (40, 2, {"fsdp": 2}), (STEPS, 8, {"data": 8})):
        codes, printed = ends([start(configuration(tmp_path, "moved", steps, mesh), devices)])
        assert codes == [0], printed
        assert printed[0][0].split()[-1] == str(steps)
    assert close(losses(tmp_path, "moved"), alone)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_host_ends_the_other_and_both_go_on(tmp_path, alone, killed):
    path = configuration(tmp_path, "killed")
    processes = start_two(path)
    wait_until_told(tmp_path, "killed", 25, processes)
    processes[killed].send_signal(signal.SIGKILL)
    began = time.monotonic()
    (code,), ((_, error),) = ends([processes[1 - killed]])
    assert time.monotonic() - began < 60
    processes[killed].communicate()
    assert code == hosts.GONE
    assert error.strip().splitlines()[-1].startswith("error: another host of this run is gone")
    assert "Traceback" not in error
    assert "Check failure" not in error
    kept = [
        int(name.name) for name in (tmp_path / "killed" / "checkpoints").iterdir() if name.name.isdecimal()
    ]
    assert max(kept) in (20, 30)  # nothing is lost but the steps since the last checkpoint
    codes, printed = ends(start_two(path))
    assert codes == [0, 0], printed
    assert close(losses(tmp_path, "killed"), alone)


def test_sigterm_to_one_host_stops_both_after_the_same_step(tmp_path):
    path = configuration(tmp_path, "stopped")
    processes = start_two(path)
    wait_until_told(tmp_path, "stopped", 12, processes)
    processes[1].send_signal(signal.SIGTERM)
    codes, printed = ends(processes)
    assert codes == [0, 0], printed
    (done,) = {int(out.split()[-1]) for out, _ in printed}
    assert 12 <= done < STEPS
    assert (tmp_path / "stopped" / "checkpoints" / str(done)).is_dir()


def test_half_an_address_is_told(monkeypatch):
    monkeypatch.setenv(hosts.COORDINATOR, "localhost:1")
    monkeypatch.delenv(hosts.COUNT, raising=False)
    assert hosts.several()
    with pytest.raises(BadInput, match=f"needs {hosts.COUNT} and {hosts.INDEX}"):
        hosts.join()


@pytest.mark.parametrize("fixed", [0, 5])
def test_shares_of_a_batch_make_the_batch(fixed):
    def ids(caption):
        return np.frombuffer(caption.encode().ljust(200)[:200], np.uint8)

    def batch(share):
        shape = ClipShape(frames=2, height=16, width=16, fps=8.0)
        return SpriteSource(shape, ids, 0, fixed, None, share).batch(3, 6, 2)

    whole, scattered = batch(WHOLE), ((0, 3, 4), (1, 2, 5))
    for shares in (Share((0,), 2), Share((1,), 2)), [Share(parts, 6) for parts in scattered]:
        places = np.concatenate([share.places(6) for share in shares])
        for name in ("indices", "ids"):
            made = np.concatenate([getattr(batch(share), name) for share in shares])
            np.testing.assert_array_equal(made, getattr(whole, name)[places])
    with pytest.raises(BadInput, match="multiple of the 4"):
        batch(Share((0,), 4))
