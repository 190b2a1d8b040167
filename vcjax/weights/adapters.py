"""Low-rank adapters of a UNet (LoRA, arXiv 2106.09685): which layers have one, their files, and merging into weights."""

import dataclasses
import fnmatch
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from vcjax.errors import BadInput
from vcjax.files import check_target
from vcjax.settings import finite
from vcjax.weights.safetensors_files import map_tensors, read_metadata, write_tensors
from vcjax.weights.trees import Tree, flatten, unflatten

FORMAT = "vcjax-adapter-1"
SUFFIX = ".safetensors"
KERNEL, DOWN, UP = "kernel", "down", "up"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Adapters of a training run.

    Attributes:
        rank: channels between A and B.
        alpha: the output of B is multiplied by alpha / rank.
        dropout: dropout rate of the inputs of A.
        layers: patterns of the names of layers that have an adapter, in which * is any text; see `adapter_shapes`.
    """

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    layers: tuple[str, ...] = ("*/self/*", "*/cross/*")

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1 or not np.isfinite(self.alpha):
            raise BadInput(
                f"adapters need a rank of at least 1, a dropout from 0 to below 1 and a finite alpha, not {self.rank}, "
                f"{self.dropout} and {self.alpha}"
            )

    @property
    def scale(self) -> float:
        """Factor of the output."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """Trained adapters.

    Attributes:
        layers: A and B of each layer by its name: `[..., C, r]` and `[r, D]`.
        scale: factor of B A.
        base: name and fingerprint of the model that they were trained on.
    """

    layers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    scale: float
    base: Mapping[str, str]


def adapter_shapes(
    parameters: Tree, settings: AdapterSettings
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the shapes of A and B of each layer whose name matches a pattern.

    Args:
        parameters: parameters of the UNet, or their shapes. A layer's name is that of its kernel without `/kernel`.
        settings: rank and patterns.

    Raises:
        BadInput: a pattern matches no layer.
    """
    kernels = {
        name.removesuffix(f"/{KERNEL}"): leaf.shape
        for name, leaf in flatten(parameters).items()
        if name.endswith(f"/{KERNEL}")
    }
    names: dict[str, None] = {}
    for pattern in settings.layers:
        found = fnmatch.filter(kernels, pattern)
        if not found:
            raise BadInput(
                f"adapters.layers: no layer has a name like {pattern!r}; names are such as {', '.join(list(kernels)[:40:8])}"
            )
        names |= dict.fromkeys(found)
    return {
        name: ((*shape[:-1], settings.rank), (settings.rank, shape[-1]))
        for name, shape in kernels.items()
        if name in names
    }


def init_adapters(key: PRNGKeyArray, parameters: Tree, settings: AdapterSettings) -> Tree:
    """Return initial adapters: A random with the variance of `nn.Dense`'s kernels, and B zero, so that nothing changes."""
    shapes = adapter_shapes(parameters, settings)
    initialise = jax.nn.initializers.lecun_normal()
    keys = jax.random.split(key, len(shapes))
    tree = {}
    for k, (name, (down, up)) in zip(keys, shapes.items(), strict=True):
        tree[f"{name}/{DOWN}"] = initialise(k, down, jnp.float32)
        tree[f"{name}/{UP}"] = jnp.zeros(up, jnp.float32)
    return unflatten(tree)


def as_variables(adapters: Tree, settings: AdapterSettings) -> Tree:
    """Return adapters as the layers read them: B multiplied by its scale, and the dropout rate of each layer."""
    table = flatten(adapters)
    scaled = {name: x * settings.scale if name.endswith(f"/{UP}") else x for name, x in table.items()}
    layers = [name.removesuffix(f"/{UP}") for name in table if name.endswith(f"/{UP}")]
    return unflatten(scaled | {f"{name}/dropout": jnp.float32(settings.dropout) for name in layers})


Terms = Mapping[
    str, Sequence[tuple[float, np.ndarray, np.ndarray]]
]  # factor, A and B of each kernel, by its name


def merge(parameters: Tree, adapters: Sequence[tuple[Adapter, float]]) -> Tree:
    """Return the parameters of a UNet with W + strength scale A B in place of W.

    The sum is computed in float32, and has the type and the placement of W.

    Args:
        parameters: parameters of the UNet.
        adapters: adapters with their strengths.

    Raises:
        BadInput: an adapter has a layer that the UNet lacks, or one of another shape.
    """
    terms, table = terms_of(parameters, adapters), flatten(parameters)
    merged = {name: add_terms(terms, name, table[name]).astype(table[name].dtype) for name in terms}
    placed = {name: jax.device_put(x, table[name].sharding) for name, x in merged.items()}
    return unflatten(table | placed)


def terms_of(parameters: Tree, adapters: Sequence[tuple[Adapter, float]]) -> Terms:
    """Return what adapters add to the kernels of a UNet, given its parameters or their shapes.

    Raises:
        BadInput: see `merge`.
    """
    table = flatten(parameters)
    terms: dict[str, list[tuple[float, np.ndarray, np.ndarray]]] = {}
    for adapter, strength in adapters:
        for name, (down, up) in adapter.layers.items():
            kernel, shape = table.get(f"{name}/{KERNEL}"), (*down.shape[:-1], up.shape[-1])
            if kernel is None or kernel.shape != shape:
                there = "no such layer" if kernel is None else f"one of shape {list(kernel.shape)}"
                raise BadInput(
                    f"the adapter of {adapter.base.get('name', 'another model')} has layer {name} of shape "
                    f"{list(shape)}, but the model has {there}"
                )
            terms.setdefault(f"{name}/{KERNEL}", []).append((strength * adapter.scale, down, up))
    return terms


def add_terms(terms: Terms, name: str, kernel: Any) -> Any:
    """Return a kernel, float32, with what adapters add to it; on the host for a host array."""
    on_host = isinstance(kernel, np.ndarray)
    total = kernel.astype(np.float32)
    for factor, down, up in terms.get(name, ()):
        product = down @ up if on_host else jnp.matmul(down, up, precision="highest")
        total = total + np.float32(factor) * product
    return total


def write_adapter(path: Path, adapter: Adapter) -> None:
    """Write adapters to a safetensors file, float32, with their scale and their base in its metadata.

    Raises:
        BadInput: the file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise BadInput(f"{path} must end in {SUFFIX}")
    check_target(path)
    tensors = {}
    for name, pair in adapter.layers.items():
        tensors |= {
            f"{name}/{part}": np.asarray(x, np.float32) for part, x in zip((DOWN, UP), pair, strict=True)
        }
    metadata = {"format": FORMAT, "scale": repr(adapter.scale), "base": json.dumps(dict(adapter.base))}
    write_tensors(path, tensors, metadata=metadata)


def read_adapter(path: Path) -> Adapter:
    """Read adapters.

    Raises:
        BadInput: the file is no file of adapters, or is damaged.
    """
    try:
        tensors, _ = map_tensors(path)
        metadata = read_metadata(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} is not a file of adapters: {reason}") from error
    if metadata.get("format") != FORMAT:
        raise BadInput(
            f"{path} is not a file of adapters that vcjax export has written: its format is not {FORMAT}"
        )
    layers = {}
    for name in sorted({name.rpartition("/")[0] for name in tensors}):
        down, up = (np.array(tensors.get(f"{name}/{part}", 0), np.float32) for part in (DOWN, UP))
        if down.ndim < 2 or up.ndim != 2 or down.shape[-1] != len(up):
            raise BadInput(
                f"{path} has no whole adapter of layer {name}: it must have {DOWN} [..., r] and {UP} [r, D]"
            )
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            raise BadInput(f"{path}: the adapter of layer {name} has numbers that are not finite")
        layers[name] = (down, up)
    try:
        scale, base = finite("scale", float(metadata["scale"])), json.loads(metadata["base"])
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path} lacks the scale or the base of its adapters: {error}") from error
    return Adapter(layers=layers, scale=scale, base=base)
