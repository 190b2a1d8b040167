"""Export of checkpoints to model folders: EMA parameters of trained components, and the frozen components."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.composer.loading import folder_of
from vcjax.errors import BadInput
from vcjax.files import replacing_all
from vcjax.parallel.mesh import one_device
from vcjax.settings import typed
from vcjax.training.build import build_task
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import Run
from vcjax.training.run_metadata import read_metadata
from vcjax.training.setup import set_up
from vcjax.training.state import TrainState
from vcjax.weights.folder import CONFIG, copy_frozen, read_config, write_component, write_config
from vcjax.weights.trees import flatten

# Keys of config.json that must agree if the exported components replace those of an existing model folder.
FIXED_KEYS = ("prediction", "schedule", "conditions", "clip")
DTYPES = ("float16", "bfloat16", "float32")


def export(run_folder: Path, out: Path, *, step: int | None = None, dtype: str = "float16") -> int:
    """Write the EMA parameters of a checkpoint, and the frozen components of the run, to a model folder.

    ```python
    export(Path("runs/sprites"), Path("models/sprites"))
    composer = vcjax.load("models/sprites")
    ```

    Args:
        run_folder: folder of the run.
        out: model folder to create or update; an update replaces the trained components only.
        step: step of the checkpoint; the latest if None.
        dtype: type that the trained parameters are stored in: float16, bfloat16 or float32.

    Returns:
        Step of the exported checkpoint.

    Raises:
        BadInput: there is no such run or checkpoint, the existing model folder is incompatible, or the folder
            cannot be written.
    """
    if dtype not in DTYPES:
        raise BadInput(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    run, mesh = read_metadata(run_folder), one_device()
    setup = set_up(run, build_task(run, mesh), mesh)
    with Checkpoints(run_folder / "checkpoints", run.keep_checkpoints) as checkpoints:
        if not checkpoints.steps:
            raise BadInput(f"{run_folder} has no checkpoint yet")
        step = checkpoints.steps[-1] if step is None else step
        if step not in checkpoints.steps:
            raise BadInput(f"{run_folder} has checkpoints of steps {checkpoints.steps}, not of {step}")
        state = checkpoints.restore(step, setup.shapes_at(step))
    _write(run, state, out, dtype)
    return step


def _write(run: Run, state: TrainState, out: Path, dtype: str) -> None:
    """Write the components of a state to a model folder."""
    frozen_folder = folder_of(run.frozen_from)
    exists = (out / CONFIG).is_file()
    if exists:
        config = read_config(out)
        _check_compatible(run, config, state, out)
    else:
        config = {**read_config(frozen_folder), **run.model}
    # A model without style has no parameters in `tokens`.
    trained = {component: tree for component, tree in state.ema.items() if flatten(tree)}
    with replacing_all(out, last=CONFIG) as staging:
        if not exists:
            copy_frozen(frozen_folder, config, staging, without=trained)
        files = dict(config.get("files", {}))
        for component, tree in trained.items():
            files[component] = write_component(staging, component, jax.tree.map(np.asarray, tree), dtype)
        write_config(staging, {**config, "files": files})


def _check_compatible(run: Run, config: Mapping[str, Any], state: TrainState, out: Path) -> None:
    """Raise BadInput if an existing model folder has other `FIXED_KEYS` or networks of other sizes."""
    existing = typed(Mapping[str, Any], config.get("networks"), f"{out / CONFIG}: networks")
    trained = _json_types(run.model["networks"])
    networks = [name for name in state.ema if _json_types(existing.get(name)) != trained.get(name)]
    keys = [key for key in FIXED_KEYS if _json_types(config.get(key)) != _json_types(run.model.get(key))]
    if networks or keys:
        raise BadInput(f"{out} holds a model with another {(networks + keys)[0]}: give a new folder")


def _json_types(value: Any) -> Any:
    """Return a value in JSON types: tuples as lists."""
    return json.loads(json.dumps(value))
