"""Partition rules: a short list of (pattern, spec) says which axis of which parameter is split over which axis of the mesh."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import keystr

from vcjax.errors import BadInput
from vcjax.parallel.mesh import AXES, replicated

# A spec names mesh axes for a parameter's last axes, so that one serves kernels of convolutions and of linear layers. What
# no pattern is found in stays whole: norms, biases, the first and last layers, the small encoders of maps.
RULES = (
    ("unet/.*(residual|spatial|temporal|sample)/.*kernel", ("fsdp",)),
    ("(text|vision)/.*kernel", ("fsdp",)),
)


def partition(mesh: Mesh, rules: Sequence[Any], shapes: Any) -> Any:
    """The sharding of each parameter: that of the first rule whose pattern is found in its name; whole without one.

    ```python
    shardings = partition(mesh, [("head_conv", ()), ("kernel", ("fsdp",))], parameters)
    ```

    Args:
        mesh: the devices.
        rules: pairs of a regular expression and a spec, see `check_rules`.
        shapes: a tree of arrays or of their shapes; a name is its keys joined by `/`.

    Raises:
        BadInput: a rule splits an axis that the mesh does not divide, or more axes than there are.
    """

    def of(path: Any, leaf: Any) -> NamedSharding:
        name = keystr(path, simple=True, separator="/")
        for pattern, spec in rules:
            if re.search(pattern, name):
                return NamedSharding(mesh, _fitted(mesh, name, leaf.shape, pattern, spec))
        return replicated(mesh)

    return jax.tree.map_with_path(of, shapes)


def partition_like(mesh: Mesh, tree: Any, parameters: Any, shardings: Any) -> Any:
    """Shardings of a tree that holds copies of the parameters somewhere, such as an optimiser's.

    What has the shape of a parameter and lies at the end of its path lies as the parameter does; the rest is whole.

    Args:
        mesh: the devices.
        tree: arrays or shapes.
        parameters: arrays or shapes.
        shardings: of the parameters.
    """
    paths = [tuple(map(str, path)) for path, _ in jax.tree.leaves_with_path(parameters)]
    leaves = zip(jax.tree.leaves(parameters), jax.tree.leaves(shardings), strict=True)
    known = dict(zip(paths, leaves, strict=True))

    def of(path: Any, leaf: Any) -> NamedSharding:
        keys = tuple(map(str, path))
        for start in range(len(keys)):
            parameter, sharding = known.get(keys[start:], (None, None))
            if sharding is not None and parameter.shape == leaf.shape:
                return sharding
        return replicated(mesh)

    return jax.tree.map_with_path(of, tree)


def with_shardings(shapes: Any, shardings: Any) -> Any:
    """A tree of `jax.ShapeDtypeStruct` that say where their arrays lie: to compile for, and to restore into."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def check_rules(rules: Any, where: str) -> None:
    """Raise BadInput where these are not partition rules: pairs of a regular expression and a list of mesh axes.

    In that list, `None` keeps an axis of the parameter whole, and a list of several mesh axes splits it over all of them.
    """
    example = '("unet/.*kernel", ("fsdp",))'
    for i, rule in enumerate(rules):
        here = f"{where}[{i}]"
        if not (isinstance(rule, list | tuple) and len(rule) == 2 and isinstance(rule[1], list | tuple)):
            raise BadInput(
                f"{here} must be a pattern and a list of mesh axes, such as {example}, not {rule!r}"
            )
        pattern, spec = rule
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise BadInput(f"{here}: {pattern!r} is not a regular expression: {error}") from error
        named = [axis for entry in spec for axis in _axes(entry)]
        unknown = [axis for axis in named if axis not in AXES]
        if unknown or len(set(named)) < len(named):
            raise BadInput(
                f"{here} must name each of the mesh axes {', '.join(AXES)} once at most, not {spec!r}"
            )


def _fitted(
    mesh: Mesh, name: str, shape: tuple[int, ...], pattern: str, spec: Sequence[Any]
) -> PartitionSpec:
    """A spec of the last axes as one of all axes."""
    if len(spec) > len(shape):
        raise BadInput(f"rule {pattern!r} names {len(spec)} axes, but {name} has {len(shape)}: {list(shape)}")
    entries = [None] * (len(shape) - len(spec)) + [_axes(entry) or None for entry in spec]
    for length, axes in zip(shape, entries, strict=True):
        parts = math.prod(mesh.shape[axis] for axis in axes or ())
        if length % parts:
            raise BadInput(
                f"rule {pattern!r} splits an axis of {length} of {name} {list(shape)} over {parts} devices "
                f"({' x '.join(axes or ())}), which do not divide it: put a rule for it before, or change the mesh"
            )
    return PartitionSpec(*entries)


def _axes(entry: Any) -> tuple[str, ...]:
    """The mesh axes that one entry of a spec names."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)
