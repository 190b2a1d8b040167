"""Two processes over loopback train like one, stop together, and end when one of them is killed."""

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
from tests.training.runs import MODEL
from vcjax.conditions.base import ClipShape
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.errors import BadInput
from vcjax.parallel import hosts
from vcjax.parallel.batches import FULL_BATCH, ProcessShard
from vcjax.training.sprite_source import SpriteSource

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 300  # seconds: compilation is slow on a loaded machine
STEPS = 60


def configuration(tmp_path, name, steps=STEPS, mesh=None):
    """Write the configuration of a run with parameters sharded over two devices."""
    table = {
        "task": "line",
        "model": MODEL,
        "out": str(tmp_path / name),
        "save_every": 10,
        "log_every": 1,
        "mesh": mesh or {"fsdp": 2},
        "rules": [["other/kernel", ["fsdp"]]],
        "optimizer": {"learning_rate": 0.1},
        "stages": [{"name": "only", "steps": steps, "batch_size": 8}],
    }
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(table))
    return path


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


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


def wait_for(processes):
    """Return the exit codes and outputs of processes once they have ended."""
    try:
        outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], outputs


def losses(tmp_path, name):
    lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}


def wait_until_logged(tmp_path, name, step, processes):
    path, deadline = tmp_path / name / "metrics.jsonl", time.monotonic() + TIMEOUT
    while not (path.exists() and path.read_text().count("\n") >= step):
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Losses of one process with two devices."""
    tmp_path = tmp_path_factory.mktemp("single")
    codes, outputs = wait_for([start(configuration(tmp_path, "single"), devices=2)])
    assert codes == [0], outputs
    return losses(tmp_path, "single")


def close(a, b):
    """Return whether losses agree up to float32 rounding, amplified over 60 steps (3e-6 was observed)."""
    return a.keys() == b.keys() and np.allclose(list(a.values()), list(b.values()), rtol=1e-5, atol=1e-9)


def test_two_processes_train_like_one(tmp_path, single):
    codes, outputs = wait_for(start_two(configuration(tmp_path, "two")))
    assert codes == [0, 0], outputs
    assert [out.split()[-1] for out, _ in outputs] == [str(STEPS)] * 2
    assert len(single) == STEPS
    assert close(losses(tmp_path, "two"), single)


@pytest.mark.slow
def test_shards_of_a_host_need_not_be_contiguous(tmp_path, single):
    """They are not on the torus of a TPU slice; here an environment variable selects such a mesh."""
    processes = start_two(
        configuration(tmp_path, "scattered", mesh={"data": 2, "fsdp": 2}), devices=2, **{SCATTERED: "1"}
    )
    codes, outputs = wait_for(processes)
    assert codes == [0, 0], outputs
    assert close(losses(tmp_path, "scattered"), single)


def test_a_checkpoint_is_restored_on_another_mesh(tmp_path, single):
    """From eight devices to two and back, the losses are those of the uninterrupted run."""
    for steps, devices, mesh in ((20, 8, {"fsdp": 2}), (40, 2, {"fsdp": 2}), (STEPS, 8, {"data": 8})):
        codes, outputs = wait_for([start(configuration(tmp_path, "moved", steps, mesh), devices)])
        assert codes == [0], outputs
        assert outputs[0][0].split()[-1] == str(steps)
    assert close(losses(tmp_path, "moved"), single)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_host_ends_the_other_and_both_resume(tmp_path, single, killed):
    path = configuration(tmp_path, "killed")
    processes = start_two(path)
    wait_until_logged(tmp_path, "killed", 25, processes)
    processes[killed].send_signal(signal.SIGKILL)
    start_time = time.monotonic()
    (code,), ((_, error),) = wait_for([processes[1 - killed]])
    assert time.monotonic() - start_time < 60
    processes[killed].communicate()
    assert code == hosts.EXIT_HOST_LOST
    assert error.strip().splitlines()[-1].startswith("error: another host of this run was lost")
    assert "Traceback" not in error
    assert "Check failure" not in error
    saved = [
        int(name.name) for name in (tmp_path / "killed" / "checkpoints").iterdir() if name.name.isdecimal()
    ]
    assert max(saved) in (20, 30)  # only the steps since the last checkpoint are lost
    codes, outputs = wait_for(start_two(path))
    assert codes == [0, 0], outputs
    assert close(losses(tmp_path, "killed"), single)


def test_sigterm_to_one_host_stops_both_after_the_same_step(tmp_path):
    path = configuration(tmp_path, "stopped")
    processes = start_two(path)
    wait_until_logged(tmp_path, "stopped", 12, processes)
    processes[1].send_signal(signal.SIGTERM)
    codes, outputs = wait_for(processes)
    assert codes == [0, 0], outputs
    (done,) = {int(out.split()[-1]) for out, _ in outputs}
    assert 12 <= done < STEPS
    assert (tmp_path / "stopped" / "checkpoints" / str(done)).is_dir()


def test_an_incomplete_address_is_reported(monkeypatch):
    monkeypatch.setenv(hosts.COORDINATOR, "localhost:1")
    monkeypatch.delenv(hosts.COUNT, raising=False)
    assert hosts.is_multi_host()
    with pytest.raises(BadInput, match=f"needs {hosts.COUNT} and {hosts.INDEX}"):
        hosts.join()


@pytest.mark.parametrize("fixed", [0, 5])
def test_shards_of_a_batch_make_up_the_batch(fixed):
    def ids(caption):
        return np.frombuffer(caption.encode().ljust(200)[:200], np.uint8)

    def batch(shard):
        shape = ClipShape(frames=2, height=16, width=16, fps=8.0)
        return SpriteSource(shape, ids, 0, SpriteSelection(fixed_clips=fixed), None, shard).batch(3, 6, 2)

    full, scattered = batch(FULL_BATCH), ((0, 3, 4), (1, 2, 5))
    for shards in (
        (ProcessShard((0,), 2), ProcessShard((1,), 2)),
        [ProcessShard(indices, 6) for indices in scattered],
    ):
        indices = np.concatenate([shard.indices(6) for shard in shards])
        for name in ("indices", "ids"):
            loaded = np.concatenate([getattr(batch(shard), name) for shard in shards])
            np.testing.assert_array_equal(loaded, getattr(full, name)[indices])
    with pytest.raises(BadInput, match="multiple of the 4 shards"):
        batch(ProcessShard((0,), 4))
