"""A run on one of several hosts, in a process of its own: `python -m tests.parallel.worker config.json`."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from jax.experimental import mesh_utils

from tests.training.runs import LineTask
from vcjax.parallel import hosts
from vcjax.parallel.batches import share
from vcjax.parallel.mesh import make_mesh
from vcjax.training.config import run_from
from vcjax.training.loop import train

hosts.HEARTBEAT = 5  # seconds, so that tests need not wait long
SCATTERED = "VCJAX_TEST_SCATTERED"  # the mesh takes a device of each host in turn


class SharedLineTask(LineTask):
    """Fits a line at ten steps a second; every host makes its share of a batch."""

    def __init__(self, mesh):
        self.mesh = mesh

    def batches(self, stage, begin, first):
        ours = share(self.mesh)
        for batch in super().batches(stage, begin, first):
            time.sleep(0.1)
            yield {name: rows[ours.places(len(rows))] for name, rows in batch.items()}


def in_turn(sizes, devices, **_):
    """In place of JAX's own order of the devices of a mesh."""
    places = {}
    for device in devices:
        places[device] = sum(other.process_index == device.process_index for other in places)
    turns = sorted(devices, key=lambda device: (places[device], device.process_index))
    return np.array(turns).reshape(sizes)


if __name__ == "__main__":
    if SCATTERED in os.environ:
        mesh_utils.create_device_mesh = in_turn
    if hosts.several() and hosts.CHILD not in os.environ:
        sys.exit(hosts.supervise([sys.executable, "-m", "tests.parallel.worker", *sys.argv[1:]]))
    if hosts.several():
        hosts.join()
    run = run_from(json.loads(Path(sys.argv[1]).read_text()))
    print(train(run, SharedLineTask(make_mesh(run.mesh))))
