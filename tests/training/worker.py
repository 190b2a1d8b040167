"""A training run in a process of its own, to be killed: `python -m tests.training.worker config.json`."""

import json
import sys
from pathlib import Path

from vcjax.training.assemble import task_of
from vcjax.training.config import run_from
from vcjax.training.loop import train

if __name__ == "__main__":
    run = run_from(json.loads(Path(sys.argv[1]).read_text()))
    print(train(run, task_of(run)))
