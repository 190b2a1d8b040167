"""Conversion between parameter trees and flat names: `{"a": {"b": x}}` and `{"a/b": x}`."""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

Tree = dict[str, Any]


def flatten(tree: Tree) -> dict[str, Any]:
    """Flatten a nested dictionary to one with keys joined by `/`."""
    return flatten_dict(tree, sep="/")


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """Return the nested dictionary of a flat one: the inverse of `flatten`."""
    return unflatten_dict(dict(flat), sep="/")


def first_difference(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Describe the first difference in names or shapes between two sets of tensors; None if there is none.

    Args:
        actual: tensors, or other objects with a shape, by flat name.
        expected: the same for the names and shapes that `actual` should have.

    Returns:
        A clause that names the first tensor that is missing, unknown or of the wrong shape.
    """
    for name in sorted(expected.keys() - actual.keys()):
        return f"{name} is missing"
    for name in sorted(actual.keys() - expected.keys()):
        return f"{name} is unknown"
    for name, tensor in expected.items():
        if tuple(actual[name].shape) != tuple(tensor.shape):
            return f"{name} is {list(actual[name].shape)} and must be {list(tensor.shape)}"
    return None
