"""`python -m vcjax.training --config=configs/sprites.py --config.seed=1` trains, or goes on training."""

import os
import sys
import warnings

from absl import flags
from ml_collections import config_flags

from vcjax.errors import BadInput
from vcjax.parallel import hosts
from vcjax.training.assemble import task_of
from vcjax.training.config import run_from
from vcjax.training.loop import train

UNFINISHED = 75  # "try again", as in sysexits.h: a signal ended the run, with a checkpoint; see launch/


def main(arguments: list[str]) -> int:
    """Read the configuration, make its task, train; returns the exit code."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    if hosts.several() and hosts.CHILD not in os.environ:
        return hosts.supervise([sys.executable, "-m", "vcjax.training", *arguments])
    try:
        if hosts.several():
            hosts.join()
        run = run_from(read_configuration(arguments))
        done = train(run, task_of(run))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{done} of {run.steps} steps are done: {run.out}")
    return 0 if done >= run.steps else UNFINISHED


def read_configuration(arguments: list[str]):
    """The configuration that `--config=FILE` and `--config.KEY=VALUE` name.

    Raises:
        BadInput: no such file or key, or a value of another type.
    """
    # A file in configs/ may import another; the path of the installed command lacks the working folder.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    command, values = ["vcjax.training", *arguments], flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "A file in configs/.", lock_config=True, flag_values=values, sys_argv=command
    )
    try:
        rest = values(command)
        config = values["config"].value
        getattr(
            config, "to_dict", None
        )  # a file that could not be loaded is only told of when it is looked at
    except (
        flags.Error, OSError, AttributeError, LookupError, ImportError, SyntaxError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise BadInput(f"configuration: {_reason(error)}") from error
    if rest[1:] or config is None:
        raise BadInput(
            f"training takes --config=FILE, such as configs/sprites.py, and --config.KEY=VALUE, not {rest[1:]}"
        )
    return config


def _reason(error: Exception) -> str:
    """A sentence, where the error's own text is only a name or speaks of no option."""
    text = " ".join(str(error).split())
    name = text.strip("\"'")
    if isinstance(error, AttributeError | KeyError) and name.isidentifier():
        return f"there is no key {name}; --config.KEY=VALUE changes what the file has, a new key is written into it"
    if isinstance(error, IndexError):
        return f"{text}; in --config.KEY[N]=VALUE, N counts from 0"
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
