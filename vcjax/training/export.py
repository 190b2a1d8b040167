"""Export of checkpoints to model folders: EMA parameters of trained components, and the frozen components."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.composer.loading import fingerprint, folder_of
from vcjax.errors import BadInput
from vcjax.files import replacing_all
from vcjax.parallel.mesh import one_device
from vcjax.settings import typed
from vcjax.training.adapter_task import ADAPTERS, adapter_of
from vcjax.training.build import build_task
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import Run
from vcjax.training.run_metadata import read_metadata
from vcjax.training.setup import set_up
from vcjax.training.state import TrainState
from vcjax.weights.adapters import SUFFIX, write_adapter
from vcjax.weights.adapters import merge as merge_adapters
from vcjax.weights.folder import (
    CONFIG,
    copy_frozen,
    read_component,
    read_config,
    write_component,
    write_config,
)
from vcjax.weights.trees import Tree, flatten

# Keys of config.json that must agree if the exported components replace those of an existing model folder.
FIXED_KEYS = ("prediction", "schedule", "conditions", "clip")
DTYPES = ("float16", "bfloat16", "float32")


def export(
    run_folder: Path, out: Path, *, step: int | None = None, dtype: str = "float16", merge: bool = False
) -> int:
    """Write the EMA parameters of a checkpoint, and the frozen components of the run, to a model folder.

    Of a run of task adapters the adapters are written to one file, unless they are to be merged.

    ```python
    export(Path("runs/sprites"), Path("models/sprites"))
    composer = vcjax.load("models/sprites")
    ```

    Args:
        run_folder: folder of the run.
        out: model folder to create or update; an update replaces the trained components only.
        step: step of the checkpoint; the latest if None.
        dtype: type that the trained parameters are stored in: float16, bfloat16 or float32.
        merge: write a model folder with the adapters merged into the UNet.

    Returns:
        Step of the exported checkpoint.

    Raises:
        BadInput: there is no such run or checkpoint, the existing model folder is incompatible, or the folder
            cannot be written.
    """
    if dtype not in DTYPES:
        raise BadInput(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    run, mesh = read_metadata(run_folder), one_device()
    adapters = run.task == "adapters"
    if merge and not adapters:
        raise BadInput(f"{run_folder} has trained no adapters that could be merged: its task is {run.task}")
    if adapters and not merge and out.suffix != SUFFIX:
        raise BadInput(f"adapters are written to a file, such as look{SUFFIX}, not {out}; or give --merge")
    setup = set_up(run, build_task(run, mesh), mesh)
    with Checkpoints(run_folder / "checkpoints", run.keep_checkpoints) as checkpoints:
        if not checkpoints.steps:
            raise BadInput(f"{run_folder} has no checkpoint yet")
        step = checkpoints.steps[-1] if step is None else step
        if step not in checkpoints.steps:
            raise BadInput(f"{run_folder} has checkpoints of steps {checkpoints.steps}, not of {step}")
        state = checkpoints.restore(step, setup.shapes_at(step))
    if adapters:
        _write_adapters(run, state, out, dtype, merge)
    else:
        _write(run, state.ema, out, dtype)
    return step


def _write_adapters(run: Run, state: TrainState, out: Path, dtype: str, merged: bool) -> None:
    """Write the adapters of a state to a file, or a model folder with them merged."""
    adapter = adapter_of(state.ema[ADAPTERS], run.adapters, fingerprint(run.frozen_from))
    if not merged:
        write_adapter(out, adapter)
        return
    folder = folder_of(run.frozen_from)
    unet = read_component(folder, read_config(folder), "unet", dtype="float32")
    _write(run, {"unet": merge_adapters(unet, [(adapter, 1.0)])}, out, dtype)


def _write(run: Run, parameters: Tree, out: Path, dtype: str) -> None:
    """Write trained components to a model folder."""
    frozen_folder = folder_of(run.frozen_from)
    exists = (out / CONFIG).is_file()
    if exists:
        config = read_config(out)
        _check_compatible(run, config, parameters, out)
    else:
        config = {**read_config(frozen_folder), **run.model}
    # A model without style has no parameters in `tokens`.
    trained = {component: tree for component, tree in parameters.items() if flatten(tree)}
    with replacing_all(out, last=CONFIG) as staging:
        if not exists:
            copy_frozen(frozen_folder, config, staging, without=trained)
        files = dict(config.get("files", {}))
        for component, tree in trained.items():
            files[component] = write_component(staging, component, jax.tree.map(np.asarray, tree), dtype)
        write_config(staging, {**config, "files": files})


def _check_compatible(run: Run, config: Mapping[str, Any], parameters: Tree, out: Path) -> None:
    """Raise BadInput if an existing model folder has other `FIXED_KEYS` or networks of other sizes."""
    existing = typed(Mapping[str, Any], config.get("networks"), f"{out / CONFIG}: networks")
    trained = _json_types(run.model["networks"])
    networks = [name for name in parameters if _json_types(existing.get(name)) != trained.get(name)]
    keys = [key for key in FIXED_KEYS if _json_types(config.get(key)) != _json_types(run.model.get(key))]
    if networks or keys:
        raise BadInput(f"{out} holds a model with another {(networks + keys)[0]}: give a new folder")


def _json_types(value: Any) -> Any:
    """Return a value in JSON types: tuples as lists."""
    return json.loads(json.dumps(value))
