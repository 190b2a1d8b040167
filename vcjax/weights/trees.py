"""Parameter trees and flat names: `{"a": {"b": x}}` is `{"a/b": x}`."""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

Tree = dict[str, Any]


def flatten(tree: Tree) -> dict[str, Any]:
    """Nested dictionaries to one of names joined by `/`."""
    return flatten_dict(tree, sep="/")


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """The inverse of `flatten`."""
    return unflatten_dict(dict(flat), sep="/")


def first_difference(have: Mapping[str, Any], want: Mapping[str, Any]) -> str | None:
    """How the tensors in `have` differ from those wanted, in a clause that names the first; None if they do not.

    Both map flat names to anything with a shape.
    """
    for name in sorted(want.keys() - have.keys()):
        return f"{name} is missing"
    for name in sorted(have.keys() - want.keys()):
        return f"{name} is unknown"
    for name, tensor in want.items():
        if tuple(have[name].shape) != tuple(tensor.shape):
            return f"{name} is {list(have[name].shape)} and must be {list(tensor.shape)}"
    return None
