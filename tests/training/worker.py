"""A training run in a process of its own, to be killed: `python -m tests.training.worker config.json`."""

import json
import sys
from pathlib import Path

from vcjax.training.build import build_task
from vcjax.training.config import run_from_config
from vcjax.training.loop import train

if __name__ == "__main__":
    run = run_from_config(json.loads(Path(sys.argv[1]).read_text()))
    print(train(run, build_task(run)))
