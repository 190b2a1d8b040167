"""Export: a checkpoint becomes a model folder, with what was trained in 16 bits and what was held frozen beside it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.loading import folder_of
from vcjax.parallel.mesh import one_device
from vcjax.training.assemble import task_of
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import Run
from vcjax.training.plan import plan
from vcjax.training.record import read_record
from vcjax.training.state import TrainState
from vcjax.weights.folder import CONFIG, TOKENIZER, read_config, write_component, write_config
from vcjax.weights.trees import flatten

# Keys of config.json that what was trained depends on.
SAME = ("prediction", "schedule", "conditions", "clip")
TYPES = ("float16", "bfloat16", "float32")


def export(run_folder: Path, out: Path, *, step: int | None = None, dtype: str = "float16") -> int:
    """Write the averaged parameters of a checkpoint, and the run's frozen parts, as a model folder.

    ```python
    export(Path("runs/sprites"), Path("models/sprites"))
    composer = vcjax.load("models/sprites")
    ```

    Args:
        run_folder: of the run.
        out: the model folder to make, or to renew: its components that the run did not train stay as they are.
        step: of the checkpoint; the last one without it.
        dtype: type to store what was trained in.

    Returns:
        The step that was exported.

    Raises:
        BadInput: no run there, no such checkpoint, or a folder that cannot be written to.
    """
    if dtype not in TYPES:
        raise BadInput(f"dtype must be one of {', '.join(TYPES)}, not {dtype!r}")
    run, mesh = read_record(run_folder), one_device()
    planned = plan(run, task_of(run, mesh), mesh)
    with Checkpoints(run_folder / "checkpoints", run.keep) as checkpoints:
        if not checkpoints.steps:
            raise BadInput(f"{run_folder} has no checkpoint yet")
        step = checkpoints.steps[-1] if step is None else step
        if step not in checkpoints.steps:
            raise BadInput(f"{run_folder} has checkpoints of steps {checkpoints.steps}, not of {step}")
        state = checkpoints.restore(step, planned.shapes_at(step))
    _write(run, state, out, dtype)
    return step


def _write(run: Run, state: TrainState, out: Path, dtype: str) -> None:
    parts = folder_of(run.parts)
    if (out / CONFIG).is_file():
        config = read_config(out)
        _check_same(run, config, state, out)
    else:
        config = {**read_config(parts), **run.model}
        for name in (TOKENIZER, *(entry["file"] for entry in config.get("files", {}).values())):
            with replacing(out / name) as unfinished:
                shutil.copyfile(parts / name, unfinished)
    files = dict(config.get("files", {}))
    for component, tree in state.average.items():
        if flatten(tree):  # a model without style has no parameters in `tokens`
            files[component] = write_component(out, component, jax.tree.map(np.asarray, tree), dtype)
    write_config(out, {**config, "files": files})


def _check_same(run: Run, config: Mapping[str, Any], state: TrainState, out: Path) -> None:
    """Raise BadInput where a model folder that is to be renewed is of another kind, or has networks of other sizes."""
    before, trained = config["networks"], _plain(run.model["networks"])
    other = [name for name in state.average if _plain(before.get(name)) != trained.get(name)]
    kinds = [key for key in SAME if _plain(config.get(key)) != _plain(run.model.get(key))]
    if other or kinds:
        raise BadInput(f"{out} holds a model with another {(other + kinds)[0]}: give a new folder")


def _plain(value: Any) -> Any:
    """As json holds it: tuples as lists."""
    return json.loads(json.dumps(value))
