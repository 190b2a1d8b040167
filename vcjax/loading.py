"""`load`: from a model's name or folder to a composer; parameters follow when they are first asked for."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vcjax.composer import Composer, Defaults
from vcjax.conditions.base import ClipShape, Condition, MapCondition, VectorCondition
from vcjax.conditions.catalogue import from_settings
from vcjax.conditions.tokenizer import Tokenizer
from vcjax.diffusion.objective import Prediction, check_prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.parallel.compilation import enable_cache
from vcjax.parallel.mesh import MeshShape, make_mesh
from vcjax.parallel.stored import Stored
from vcjax.settings import typed
from vcjax.weights.folder import CONFIG, FORMAT, TOKENIZER, check_file, file_of, read_component, read_config
from vcjax.weights.networks import FROZEN, Networks, networks_from_settings, random_parameters
from vcjax.weights.trees import Tree

BUILT_IN = ("tiny",)
COMPUTE_TYPES = ("float32", "bfloat16")


def load(
    model: str | PathLike[str] = "tiny",
    *,
    dtype: Any = None,
    verify: bool = False,
    mesh: Mesh | MeshShape | None = None,
    programs: str | PathLike[str] | None = None,
) -> Composer:
    """A composer for a built-in model or a model folder.

    ```python
    composer = vcjax.load("tiny")
    composer = vcjax.load("models/videocomposer", dtype="bfloat16")
    ```

    Only what a call needs is read: parameters are loaded at the first use of their component, and of the condition
    encoders only those of the conditions that are given. Compiled programs are kept in the cache folder.

    Args:
        model: `tiny`, or the path of a model folder.
        dtype: type to compute and to hold parameters in; bfloat16 on an accelerator and float32 on a CPU without it.
        verify: compare the checksums of large files too.
        mesh: the devices that share the work, or how many along each axis; without it, one does it.
        programs: folder to keep compiled programs in, and to start from without tracing them; see
            `vcjax.parallel.stored`. They are machine code: name only a folder that you trust.

    Raises:
        BadInput: no such model, a damaged or unknown configuration, or a mesh that the devices do not make.
    """
    enable_cache()
    folder = folder_of(model)
    table = read_config(folder)
    config: ModelConfig = typed(ModelConfig, table, str(folder / CONFIG))
    check_prediction(config.prediction, config.schedule)
    networks = networks_from_settings(config.networks).with_dtype(_compute_type(dtype))
    if config.untrained is None:  # a model has the networks of extraction that it has weights of
        networks = dataclasses.replace(networks, **dict.fromkeys(FROZEN.keys() - config.files.keys()))
    conditions = from_settings(config.conditions)
    _check_conditions(folder, conditions)
    composer = Composer(
        name=config.name,
        networks=networks,
        conditions=conditions,
        schedule=config.schedule,
        prediction=config.prediction,
        shape=config.clip,
        defaults=config.defaults,
        parameters=_parameters(folder, table, config.untrained, networks, conditions, verify),
        tokenize=Tokenizer(folder / TOKENIZER, networks.text.length, networks.text.vocabulary),
    )
    if programs is not None:
        composer = dataclasses.replace(
            composer, programs=functools.cache(partial(Stored, folder=Path(programs)))
        )
    if mesh is None:
        return composer
    return composer.on(make_mesh(mesh) if isinstance(mesh, MeshShape) else mesh)


def model_table(model: str | PathLike[str]) -> dict[str, Any]:
    """What a model's config.json says of the model, without its weight files: a place to start a configuration from.

    Raises:
        BadInput: no such model, or a damaged configuration.
    """
    return {
        key: value
        for key, value in read_config(folder_of(model)).items()
        if key not in ("format", "files", "untrained")
    }


def fingerprint(model: str | PathLike[str]) -> dict[str, str]:
    """Name of a model and checksum of its config.json, which holds those of its weights.

    Raises:
        BadInput: no such model, or a damaged configuration.
    """
    folder = folder_of(model)
    name = read_config(folder)["name"]
    return {"name": name, "sha256": hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model folder's config.json holds.

    Attributes:
        format: version of the layout.
        name: of the model.
        networks: settings of its networks, by component; the released sizes where nothing is said.
        conditions: settings of its conditions, by name.
        schedule: forward process.
        prediction: what the UNet predicts.
        clip: shape of the clips that it was trained on.
        defaults: of sampling.
        files: weight files by component.
        untrained: seed of random weights for the components that `files` does not name; without it they are missing.
    """

    format: int = FORMAT
    name: str
    networks: Mapping[str, Any]
    conditions: Mapping[str, Any]
    schedule: Schedule
    prediction: Prediction
    clip: ClipShape
    defaults: Defaults
    files: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    untrained: int | None = None


def _parameters(
    folder: Path,
    config: Mapping[str, Any],
    untrained: int | None,
    networks: Networks,
    conditions: Mapping[str, Condition],
    verify: bool,
) -> Callable[..., Tree]:
    """A function that gives a component's parameters, or those of one encoder in it, and reads each once."""
    dtype = networks.unet.dtype

    @functools.cache
    def random() -> Mapping[str, Tree]:
        channels = {name: c.channels for name, c in conditions.items() if isinstance(c, MapCondition)}
        vectors = {name: c.width for name, c in conditions.items() if isinstance(c, VectorCondition)}
        drawn = random_parameters(networks.shapes(channels, vectors), untrained or 0)
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), drawn)

    @functools.cache
    def checked(component: str) -> None:
        entry = file_of(folder, config, component)
        check_file(folder / entry.file, entry, verify=verify)

    @functools.cache
    def parameters(component: str, encoder: str | None = None) -> Tree:
        if untrained is not None and component not in config.get("files", {}):
            tree = random()[component]
        else:
            checked(component)
            prefixes = ("",) if encoder is None else (f"{encoder}/",)
            tree = read_component(folder, config, component, prefixes=prefixes, dtype=dtype)
        return tree if encoder is None else tree[encoder]

    return parameters


def _compute_type(dtype: Any) -> Any:
    """The type asked for, or what suits the device.

    Raises:
        BadInput: it is not a floating-point type of 16 or 32 bits.
    """
    name = str(dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16"))
    if name not in COMPUTE_TYPES:
        raise BadInput(f"dtype must be {' or '.join(COMPUTE_TYPES)}, not {name!r}")
    return jnp.dtype(name)


def _check_conditions(folder: Path, conditions: Mapping[str, Condition]) -> None:
    if not any(condition.kind == "tokens" and condition.absent_is_null for condition in conditions.values()):
        raise BadInput(
            f"{folder / CONFIG}: conditions must hold one that is heard even when absent, such as text"
        )


def folder_of(model: str | PathLike[str]) -> Path:
    """The folder of a built-in model, or the model folder itself; BadInput where there is none."""
    if str(model) in BUILT_IN:
        return Path(str(resources.files("vcjax") / "builtin" / str(model)))
    folder = Path(model)
    if not folder.is_dir():
        raise BadInput(
            f"no model {str(model)!r}: built in is {', '.join(BUILT_IN)}; else give a model folder"
        )
    return folder
