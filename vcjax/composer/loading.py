"""Loading of models: `load` returns a composer whose parameters are read at their first use."""

import dataclasses
import functools
import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vcjax.composer.composer import Composer
from vcjax.composer.model_config import model_from_config
from vcjax.conditions.base import Condition
from vcjax.conditions.catalogue import map_channels, vector_dims
from vcjax.conditions.tokenizer import Tokenizer
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.parallel.compilation import enable_cache
from vcjax.parallel.mesh import MeshShape, make_mesh
from vcjax.parallel.placement import place
from vcjax.weights.adapters import Adapter, add_terms, terms_of
from vcjax.weights.folder import CONFIG, TOKENIZER, check_file, file_of, read_component, read_config
from vcjax.weights.networks import FROZEN, Networks, random_parameters
from vcjax.weights.trees import Tree, first_difference, flatten

BUILT_IN = ("tiny",)
COMPUTE_DTYPES = ("float32", "bfloat16")


def load(
    model: str | PathLike[str] = "tiny",
    *,
    dtype: Any = None,
    verify: bool = False,
    mesh: Mesh | MeshShape | None = None,
) -> Composer:
    """Return a composer for a built-in model or a model folder.

    ```python
    composer = vcjax.load("tiny")
    composer = vcjax.load("models/videocomposer", dtype="bfloat16")
    ```

    Parameters of a component are read at its first use, and STC-encoders one by one. Compiled programs are
    stored in the compilation cache.

    Args:
        model: name of a built-in model, such as "tiny", or path of a model folder.
        dtype: type of computation and parameters; if None, float32 on a CPU and bfloat16 on accelerators.
        verify: verify the checksums of large files too, and that each tensor is one of the network.
        mesh: device mesh, or its shape; a single device if None.

    Raises:
        BadInput: the model does not exist, its configuration is damaged or unknown, or the devices do not fit
            the mesh.
    """
    enable_cache()
    folder = folder_of(model)
    table = read_config(folder)
    spec = model_from_config(table, str(folder / CONFIG))
    networks = spec.networks.with_dtype(compute_dtype(dtype))
    if table.get("untrained") is None:  # extraction networks without weights are absent
        missing = FROZEN.keys() - table.get("files", {}).keys()
        networks = dataclasses.replace(networks, **dict.fromkeys(missing))
    read_unet = partial(_read_unet, folder, table, networks, spec.conditions)
    composer = Composer(
        name=spec.name,
        networks=networks,
        conditions=spec.conditions,
        schedule=spec.schedule,
        prediction=spec.prediction,
        shape=spec.clip,
        defaults=spec.defaults,
        latent_colours=spec.latent_colours,
        parameters=_parameters(folder, table, networks, spec.conditions, verify, place),
        tokenize=Tokenizer(folder / TOKENIZER, networks.text.context_length, networks.text.vocab_size),
        read_unet=partial(read_unet, place),
    )
    if mesh is None:
        return composer
    mesh = make_mesh(mesh) if isinstance(mesh, MeshShape) else mesh
    on_mesh = partial(place, mesh=mesh)
    parameters = _parameters(folder, table, networks, spec.conditions, verify, on_mesh)
    return composer.with_mesh(mesh, parameters, partial(read_unet, on_mesh))


def load_model_config(model: str | PathLike[str]) -> dict[str, Any]:
    """Return the configuration of a model without its list of files, as a base for training configurations.

    Raises:
        BadInput: the model does not exist, or its configuration is damaged.
    """
    return {
        key: value
        for key, value in read_config(folder_of(model)).items()
        if key not in ("format", "files", "untrained")
    }


def fingerprint(model: str | PathLike[str]) -> dict[str, str]:
    """Return the name of a model and the checksum of its config.json, which contains those of its weights.

    Raises:
        BadInput: the model does not exist, or its configuration is damaged.
    """
    folder = folder_of(model)
    name = read_config(folder)["name"]
    return {"name": name, "sha256": hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()}


def _parameters(
    folder: Path,
    config: Mapping[str, Any],
    networks: Networks,
    conditions: Mapping[str, Condition],
    verify: bool,
    place: Callable[[str, Any], Any],
) -> Callable[..., Tree]:
    """Return a cached function that reads the parameters of a component, or of one of its encoders."""
    dtype, untrained = networks.unet.dtype, config.get("untrained")

    @functools.cache
    def random() -> Mapping[str, Tree]:
        drawn = random_parameters(
            networks.shapes(map_channels(conditions), vector_dims(conditions)), untrained or 0
        )
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), drawn)

    @functools.cache
    def checked(component: str) -> None:
        entry = file_of(folder, config, component)
        check_file(folder / entry.file, entry, verify=verify)

    def _check_names(tree: Tree, component: str, encoder: str | None) -> None:
        shapes = networks.shapes(map_channels(conditions), vector_dims(conditions), [component])[component]
        expected = flatten(shapes if encoder is None else {encoder: shapes[encoder]})
        if difference := first_difference(flatten(tree), expected):
            raise BadInput(
                f"{component} in {folder} is not the network that {CONFIG} describes: {difference}"
            )

    @functools.cache
    def parameters(component: str, encoder: str | None = None) -> Tree:
        if untrained is not None and component not in config.get("files", {}):
            tree = random()[component]
        else:
            checked(component)
            prefixes = ("",) if encoder is None else (f"{encoder}/",)
            tree = read_component(folder, config, component, prefixes=prefixes, dtype=dtype, place=place)
            if verify:
                _check_names(tree, component, encoder)
        return tree if encoder is None else tree[encoder]

    return parameters


def _read_unet(
    folder: Path,
    config: Mapping[str, Any],
    networks: Networks,
    conditions: Mapping[str, Condition],
    place: Callable[[str, Any], Any],
    adapters: Sequence[tuple[Adapter, float]],
) -> Tree:
    """Return the parameters of the UNet with adapters merged in float32, before they get the compute type."""
    shapes = networks.shapes(map_channels(conditions), vector_dims(conditions))["unet"]
    terms = terms_of(shapes, adapters)

    def merged(name: str, kernel: np.ndarray) -> Any:
        return place(name, add_terms(terms, name.removeprefix("unet/"), kernel).astype(networks.unet.dtype))

    ours = fingerprint(folder)
    for adapter, _ in adapters:
        if adapter.base.get("sha256") != ours["sha256"]:
            warnings.warn(
                f"an adapter was trained on model {adapter.base.get('name')} "
                f"({str(adapter.base.get('sha256'))[:12]}), and this is {ours['name']} ({ours['sha256'][:12]})",
                VcjaxWarning,
                stacklevel=2,
            )
    if "unet" not in config.get("files", {}):
        raise BadInput(f"model {config['name']} has no trained UNet, which adapters are for")
    return read_component(folder, config, "unet", dtype="float32", place=merged)


def compute_dtype(dtype: Any) -> Any:
    """Return the compute type; if `dtype` is None, float32 on a CPU and bfloat16 on accelerators.

    Raises:
        BadInput: the type is not in `COMPUTE_DTYPES`.
    """
    name = str(dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16"))
    if name not in COMPUTE_DTYPES:
        raise BadInput(f"dtype must be {' or '.join(COMPUTE_DTYPES)}, not {name!r}")
    return jnp.dtype(name)


def folder_of(model: str | PathLike[str]) -> Path:
    """Return the path of a model folder.

    Args:
        model: name of a built-in model, or path of a model folder.

    Raises:
        BadInput: there is no such model.
    """
    if str(model) in BUILT_IN:
        return Path(str(resources.files("vcjax") / "builtin" / str(model)))
    folder = Path(model)
    if not os.path.isdir(folder):  # unlike Path.is_dir, False for a text that no path can be
        raise BadInput(
            f"there is no model {str(model)!r}: "
            f"give a model folder, or the name of a built-in model ({', '.join(BUILT_IN)})"
        )
    return folder
