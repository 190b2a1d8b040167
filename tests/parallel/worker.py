"""A run on one of several hosts, in a process of its own: `python -m tests.parallel.worker config.json`."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from tests.training.runs import LineTask
from vcjax.parallel import hosts
from vcjax.parallel.batches import share
from vcjax.parallel.mesh import make_mesh
from vcjax.training.config import run_from
from vcjax.training.loop import train

hosts.HEARTBEAT = 5  # seconds, so that tests need not wait long


class SharedLineTask(LineTask):
    """Fits a line at ten steps a second; every host makes its share of a batch."""

    def __init__(self, mesh):
        self.mesh = mesh

    def batches(self, stage, begin, first):
        index, count = share(self.mesh)
        for batch in super().batches(stage, begin, first):
            time.sleep(0.1)
            yield {name: np.split(rows, count)[index] for name, rows in batch.items()}


if __name__ == "__main__":
    if hosts.several() and hosts.CHILD not in os.environ:
        sys.exit(hosts.supervise([sys.executable, "-m", "tests.parallel.worker", *sys.argv[1:]]))
    if hosts.several():
        hosts.join()
    run = run_from(json.loads(Path(sys.argv[1]).read_text()))
    print(train(run, SharedLineTask(make_mesh(run.mesh))))
