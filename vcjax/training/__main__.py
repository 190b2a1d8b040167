"""Command line of the trainer, for machines with JAX's family of packages alone: `python -m vcjax.training --config=sprites`.

`vcjax train` is the same command.
"""

import os
import sys
import warnings
from pathlib import Path

from vcjax.errors import BadInput
from vcjax.parallel import hosts
from vcjax.training.build import build_task
from vcjax.training.config import run_from_config
from vcjax.training.config_files import known_configs, override_lines, plain, read_config
from vcjax.training.loop import train
from vcjax.training.run_metadata import check_folder

UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: a signal ended the run, with a checkpoint; see launch/

USAGE = """\
usage: vcjax train --config=NAME [--config.KEY=VALUE ...] [--print-config]

Train a model, or resume a run from its last checkpoint.

options:
  --config=NAME        a configuration of the package, or the path of a .py file with get_config();
                       names: {names}
  --config.KEY=VALUE   override a key, such as --config.out=runs/mine or "--config.stages[0].steps=100";
                       tuples as "--config.remat=('spatial',)"
  --print-config       print every key with its resolved value, as arguments to paste, and stop
  -h, --help           print this text and stop

The folder of the run, config.out, holds run.json, checkpoints/, metrics.jsonl, TensorBoard files and sample videos.
SIGTERM ends the run after the current step with a checkpoint and exit code 75; start it again to resume.
"""


def main(arguments: list[str]) -> int:
    """Train the run that the arguments name, or print its configuration; return the exit code."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(names=", ".join(known_configs())), end="")
        return 0
    if hosts.is_multi_host() and hosts.CHILD not in os.environ:
        return hosts.supervise([sys.executable, "-m", "vcjax.training", *arguments])
    try:
        config, print_config = read_config(arguments)
        if print_config:
            print("\n".join(override_lines(config)))
            return 0
        if hosts.is_multi_host():
            hosts.join()
        run = run_from_config(plain(config))
        check_folder(Path(run.out))
        done = train(run, build_task(run))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{done} of {run.steps} steps are done: {run.out}")
    return 0 if done >= run.steps else UNFINISHED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
