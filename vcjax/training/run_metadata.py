"""Metadata of a run: its configuration as `run.json`, so that a folder of checkpoints says what it holds."""

import dataclasses
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import check_target, locked, replacing
from vcjax.input_files import read_json
from vcjax.training.config import Run, run_from_config

RUN_FILE = "run.json"
FORMAT = 2  # of run.json and of the checkpoints beside it
FIXED = ("task", "model", "seed", "frozen_from")  # keys that must be the same when a run is resumed


def check_folder(folder: Path) -> None:
    """Check that a run could be written to a folder, before anything is computed.

    Raises:
        BadInput: it cannot.
    """
    check_target(folder / RUN_FILE)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this run inside the context; the first process of several hosts holds it for all.

    Raises:
        BadInput: another run is in progress in the folder.
    """
    if jax.process_index() > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "run"):
        yield


def check_metadata(run: Run, folder: Path) -> None:
    """Warn where a run's folder holds the metadata of a run with other settings.

    Raises:
        BadInput: the folder belongs to a run with another task, model or seed.
    """
    if not (folder / RUN_FILE).is_file():
        return
    table, before = _table(run), _table(read_metadata(folder))
    changed = [key for key in table if table[key] != before[key] and key != "out"]
    fixed = [key for key in changed if key in FIXED]
    if fixed:
        raise BadInput(
            f"{folder} holds a run with another {fixed[0]}: give config.out a new folder, or that run's {fixed[0]}"
        )
    if changed:
        warnings.warn(
            f"{folder} is resumed with changed settings: {', '.join(changed)}", VcjaxWarning, stacklevel=2
        )


def write_metadata(run: Run, folder: Path) -> None:
    """Write the configuration of a run into its folder.

    Raises:
        BadInput: the folder cannot be written to.
    """
    if jax.process_index() == 0:
        with replacing(folder / RUN_FILE) as unfinished:
            table = {"format": FORMAT, **_table(run)}
            unfinished.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def read_metadata(folder: Path) -> Run:
    """Return the configuration of the run in a folder.

    Raises:
        BadInput: there is none, it cannot be read, or another version of vcjax wrote it.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise BadInput(f"{folder} is not the folder of a run: it has no {RUN_FILE}")
    table = read_json(path)
    found = table.pop("format", 1) if isinstance(table, dict) else None
    if found != FORMAT:
        raise BadInput(
            f"{folder} holds a run of format {found}, whose configuration and checkpoints have other names: "
            f"this version of vcjax reads format {FORMAT}; finish or export it with the version that began it"
        )
    return run_from_config(table)


def _table(run: Run) -> dict[str, Any]:
    """Return the configuration as JSON holds it: tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(run)))
