"""Extension of a model by a condition of one's own: a model folder with a new STC-encoder."""

import dataclasses
import inspect
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.composer.loading import folder_of
from vcjax.composer.model_config import model_from_config, model_to_config
from vcjax.composer.request import request_from_arguments
from vcjax.conditions.base import MapCondition
from vcjax.conditions.catalogue import import_condition, map_channels, vector_dims
from vcjax.errors import BadInput
from vcjax.files import replacing_all
from vcjax.weights.folder import (
    CONFIG,
    copy_frozen,
    read_component,
    read_config,
    write_component,
    write_config,
)


def extend(model: str | PathLike[str], condition: str, out: Path) -> Any:
    """Write a model folder with one condition more, whose encoder is not trained yet.

    The output of the new encoder is zero, so the model's predictions are unchanged until it is trained.

    ```python
    extend("tiny", "examples.canny:Canny", Path("models/canny"))
    ```

    Args:
        model: built-in model or path of a model folder.
        condition: MODULE:CLASS of a subclass of `MapCondition`; the module is installed, or in the working directory.
        out: model folder to create.

    Returns:
        The new condition.

    Raises:
        BadInput: there is no such model or class, the class is no map condition or cannot be made without settings, its
            name is taken, or the folder exists.
    """
    folder = folder_of(model)
    config = read_config(folder)
    if config.get("untrained") is not None:
        raise BadInput(f"model {config['name']} is not trained: name the condition in its {CONFIG}")
    spec = model_from_config(config, str(folder / CONFIG))
    added = _new_condition(condition)
    _check_name(added.name, spec.conditions)
    if out.exists():
        raise BadInput(f"{out} exists: give a new folder")
    conditions = {**spec.conditions, added.name: added}
    files = dict(config["files"])
    encoders = read_component(folder, config, "stc") if "stc" in files else {}
    channels = map_channels({added.name: added})
    stc = dataclasses.replace(spec.networks, stc=spec.networks.stc.clone(zero=True))
    new = stc.init(jax.random.key(0), "stc", channels, vector_dims(conditions))
    dtype = np.result_type(*(leaf.dtype for leaf in jax.tree.leaves(encoders or new)))
    extended = dataclasses.replace(spec, name=out.name, conditions=conditions)
    with replacing_all(out, last=CONFIG) as staging:
        copy_frozen(folder, config, staging, without=("stc",))
        files["stc"] = write_component(staging, "stc", jax.tree.map(np.asarray, {**encoders, **new}), dtype)
        write_config(staging, {**config, **model_to_config(extended), "files": files})
    return added


def _new_condition(path: str) -> MapCondition:
    family = import_condition(path)
    if not issubclass(family, MapCondition):
        raise BadInput(f"{path} must be a MapCondition: an STC-encoder takes maps")
    try:
        return family()
    except TypeError as error:
        raise BadInput(f"{path} must have a default for each of its settings ({error})") from error


def _check_name(name: str, conditions: Any) -> None:
    """Raise BadInput where a name is taken, or cannot be an argument of the composer."""
    reserved = inspect.signature(request_from_arguments).parameters
    if name in conditions:
        raise BadInput(f"the model has a condition {name!r} already")
    if not name.isidentifier() or name in reserved:
        raise BadInput(f"a condition cannot be named {name!r}: its name is an argument of the composer")
