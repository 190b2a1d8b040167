"""The record of a run: its configuration as `run.json`, so that a folder of checkpoints says what it is."""

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import jax

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import replacing
from vcjax.training.config import Run, run_from

RECORD = "run.json"


def check_record(run: Run, folder: Path) -> None:
    """Where a run's folder holds the configuration of another, say what has changed.

    Raises:
        BadInput: what is there belongs to another task, model or seed.
    """
    if not (folder / RECORD).is_file():
        return
    table, before = _table(run), _table(read_record(folder))
    changed = [key for key in table if table[key] != before[key] and key != "out"]
    fixed = [key for key in changed if key in ("task", "model", "seed", "parts")]
    if fixed:
        raise BadInput(
            f"{folder} holds a run with another {fixed[0]}: give config.out a new folder, or that one's {fixed[0]}"
        )
    if changed:
        warnings.warn(f"{folder} goes on with other {', '.join(changed)}", VcjaxWarning, stacklevel=2)


def record(run: Run, folder: Path) -> None:
    """Write the configuration of a run, whose checkpoint is known to fit it, into its folder.

    Raises:
        BadInput: the folder cannot be written to.
    """
    if jax.process_index() == 0:
        with replacing(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(_table(run), indent=1) + "\n", "utf-8")


def read_record(folder: Path) -> Run:
    """The configuration of the run in a folder.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        raise BadInput(f"{folder} is not the folder of a run: it has no {RECORD}")
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as json: {error}") from error
    return run_from(table)


def _table(run: Run) -> dict[str, Any]:
    """The configuration as json holds it: tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(run)))
