"""Partition rules: a list of (pattern, spec) pairs that defines how parameters are sharded over the mesh."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import keystr

from vcjax.errors import BadInput
from vcjax.parallel.mesh import AXES, replicated

# A spec applies to the last axes of a parameter, so that one rule fits kernels of convolutions and of linear
# layers. Parameters without a matching rule are replicated: norms, biases, first and last layers, the small
# STC-encoders.
RULES = (
    ("unet/.*(residual|spatial|temporal|sample)/.*kernel", ("fsdp",)),
    ("(text|vision)/.*kernel", ("fsdp",)),
)


def partition(mesh: Mesh, rules: Sequence[Any], shapes: Any) -> Any:
    """Return the sharding of each parameter by the first matching rule; replicated without a match.

    ```python
    shardings = partition(mesh, [("conv_out", ()), ("kernel", ("fsdp",))], parameters)
    ```

    Args:
        mesh: mesh of the devices.
        rules: pairs of a regular expression, searched in the parameter name, and a spec; see `check_rules`.
        shapes: tree of arrays or shapes; the name of a parameter is its path joined by `/`.

    Raises:
        BadInput: a rule splits an axis whose length is not divisible, or has more axes than the parameter.
    """

    def sharding_of(path: Any, leaf: Any) -> NamedSharding:
        name = keystr(path, simple=True, separator="/")
        for pattern, spec in rules:
            if re.search(pattern, name):
                return NamedSharding(mesh, _full_spec(mesh, name, leaf.shape, pattern, spec))
        return replicated(mesh)

    return jax.tree.map_with_path(sharding_of, shapes)


def partition_like(mesh: Mesh, tree: Any, parameters: Any, shardings: Any) -> Any:
    """Return shardings of a tree that contains copies of the parameters, such as an optimiser state.

    A leaf whose path ends with the path of a parameter, and which has its shape, is sharded like the
    parameter. All other leaves are replicated.

    Args:
        mesh: mesh of the devices.
        tree: tree of arrays or shapes to shard.
        parameters: parameters as arrays or shapes.
        shardings: shardings of the parameters.
    """
    paths = [tuple(map(str, path)) for path, _ in jax.tree.leaves_with_path(parameters)]
    leaves = zip(jax.tree.leaves(parameters), jax.tree.leaves(shardings), strict=True)
    known = dict(zip(paths, leaves, strict=True))

    def sharding_of(path: Any, leaf: Any) -> NamedSharding:
        keys = tuple(map(str, path))
        for start in range(len(keys)):
            parameter, sharding = known.get(keys[start:], (None, None))
            if sharding is not None and parameter.shape == leaf.shape:
                return sharding
        return replicated(mesh)

    return jax.tree.map_with_path(sharding_of, tree)


def with_shardings(shapes: Any, shardings: Any) -> Any:
    """Return a tree of `jax.ShapeDtypeStruct` with shardings, to compile for or to restore checkpoints to."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def check_rules(rules: Any, where: str) -> None:
    """Check that rules are pairs of a regular expression and a spec.

    A spec is a list with one entry for each of the last axes of a parameter: the name of a mesh axis, a list
    of mesh axes to split over all of them, or `None` to leave the axis unsplit.

    Args:
        rules: the rules to check.
        where: name of the rules, for error messages.

    Raises:
        BadInput: a rule has another form, or names an unknown mesh axis or one axis twice.
    """
    example = '("unet/.*kernel", ("fsdp",))'
    for i, rule in enumerate(rules):
        name = f"{where}[{i}]"
        if not (isinstance(rule, list | tuple) and len(rule) == 2 and isinstance(rule[1], list | tuple)):
            raise BadInput(
                f"{name} must be a pattern and a list of mesh axes, such as {example}, not {rule!r}"
            )
        pattern, spec = rule
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise BadInput(f"{name}: {pattern!r} is not a regular expression: {error}") from error
        axes = [axis for entry in spec for axis in _axes(entry)]
        unknown = [axis for axis in axes if axis not in AXES]
        if unknown or len(set(axes)) < len(axes):
            raise BadInput(
                f"{name} must name each of the mesh axes {', '.join(AXES)} at most once, not {spec!r}"
            )


def _full_spec(
    mesh: Mesh, name: str, shape: tuple[int, ...], pattern: str, spec: Sequence[Any]
) -> PartitionSpec:
    """Extend a spec for the last axes of a parameter to all axes."""
    if len(spec) > len(shape):
        raise BadInput(f"rule {pattern!r} names {len(spec)} axes, but {name} has {len(shape)}: {list(shape)}")
    entries = [None] * (len(shape) - len(spec)) + [_axes(entry) or None for entry in spec]
    for length, axes in zip(shape, entries, strict=True):
        num_shards = math.prod(mesh.shape[axis] for axis in axes or ())
        if length % num_shards:
            raise BadInput(
                f"rule {pattern!r} splits an axis of {length} of {name} {list(shape)} over {num_shards} devices "
                f"({' x '.join(axes or ())}), which do not divide it: add a rule for it before, or change the mesh"
            )
    return PartitionSpec(*entries)


def _axes(entry: Any) -> tuple[str, ...]:
    """Return the mesh axes in one entry of a spec."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)
