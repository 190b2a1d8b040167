"""Training on one of several hosts in a separate process: `python -m tests.parallel.worker config.json`."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from jax.experimental import mesh_utils

from tests.training.runs import LineTask
from vcjax.parallel import hosts
from vcjax.parallel.batches import process_shard
from vcjax.parallel.mesh import make_mesh
from vcjax.training.config import run_from_config
from vcjax.training.loop import train

hosts.HEARTBEAT = 5  # seconds, to keep the tests short
SCATTERED = "VCJAX_TEST_SCATTERED"  # set: devices of the hosts alternate in the mesh


class SharedLineTask(LineTask):
    """Fit a line at ten steps per second; each host loads its shard of a batch."""

    def __init__(self, mesh):
        self.mesh = mesh

    def batches(self, stage, begin, first):
        shard = process_shard(self.mesh)
        for batch in super().batches(stage, begin, first):
            time.sleep(0.1)
            yield {name: rows[shard.indices(len(rows))] for name, rows in batch.items()}


def alternating_mesh(sizes, devices, **_):
    """Replace JAX's device order of a mesh by one in which the devices of the hosts alternate."""
    positions = {}
    for device in devices:
        positions[device] = sum(other.process_index == device.process_index for other in positions)
    ordered = sorted(devices, key=lambda device: (positions[device], device.process_index))
    return np.array(ordered).reshape(sizes)


if __name__ == "__main__":
    if SCATTERED in os.environ:
        mesh_utils.create_device_mesh = alternating_mesh
    if hosts.is_multi_host() and hosts.CHILD not in os.environ:
        sys.exit(hosts.supervise([sys.executable, "-m", "tests.parallel.worker", *sys.argv[1:]]))
    if hosts.is_multi_host():
        hosts.join()
    run = run_from_config(json.loads(Path(sys.argv[1]).read_text()))
    print(train(run, SharedLineTask(make_mesh(run.mesh))))
