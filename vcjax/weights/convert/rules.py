"""Conversion rules between PyTorch tensors and Flax parameters: names and permutation of axes.

The rules are data and define an exact bijection, so one list of entries serves both directions.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vcjax.errors import BadInput

Flat = Mapping[str, np.ndarray]

# Permutation from PyTorch's axes, after removal of its axes of length one, to Flax's. PyTorch puts output
# channels first.
AXES = {
    "same": None,
    "linear": (1, 0),  # (O, I) <-> (I, O)
    "conv1": (1, 0),  # (O, I, 1) <-> (I, O)
    "conv1x1": (1, 0),  # (O, I, 1, 1) <-> (I, O)
    "conv": (2, 3, 1, 0),  # (O, I, h, w) <-> (h, w, I, O)
    "temporal": (2, 3, 1, 0),  # (O, I, 3, 1, 1) <-> (3, 1, I, O)
    "transposed": (2, 3, 0, 1),  # (I, O, h, w) <-> (h, w, I, O)
    "transposed1x1": (0, 1),  # (I, O, 1, 1) <-> (I, O)
    "rows": (0, 1),  # (1, N, D) <-> (N, D)
    "vector": (0,),  # (1, 1, D) <-> (D,)
}
# Numbers of axes of length one that only PyTorch's tensors have: at the end, and at the beginning.
TRAILING_ONES = {"conv1": 1, "conv1x1": 2, "temporal": 1, "transposed1x1": 2}
LEADING_ONES = {"rows": 1, "vector": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """Correspondence between one PyTorch tensor and one or more Flax parameters.

    Attributes:
        torch: name of the tensor in the PyTorch file.
        flax: flat names of the Flax parameters; several if PyTorch fuses equal parts along the output axis.
        layout: key of `AXES` that says how the axes are permuted.
    """

    torch: str
    flax: tuple[str, ...]
    layout: str = "same"


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Tensors of released files that have no counterpart in Flax and are skipped.

    Attributes:
        pattern: regular expression that must match the full name.
        reason: what the tensors are, that is, why they are skipped.
    """

    pattern: str
    reason: str


def weight_and_bias(torch: str, flax: str, layout: str) -> list[Entry]:
    """Return the entries of a linear layer or a convolution."""
    return [
        Entry(f"{torch}.weight", (f"{flax}/kernel",), layout),
        Entry(f"{torch}.bias", (f"{flax}/bias",)),
    ]


def norm(torch: str, flax: str) -> list[Entry]:
    """Return the entries of a normalisation layer."""
    return [Entry(f"{torch}.weight", (f"{flax}/scale",)), Entry(f"{torch}.bias", (f"{flax}/bias",))]


def with_prefixes(torch: str, flax: str, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries with prefixes added to their PyTorch and Flax names."""
    return [Entry(torch + e.torch, tuple(flax + name for name in e.flax), e.layout) for e in entries]


def to_flax(
    entries: Sequence[Entry],
    tensors: Flat,
    shapes: Mapping[str, tuple[int, ...]],
    ignored: Sequence[Ignored] = (),
    source: str = "the file",
) -> dict[str, np.ndarray]:
    """Convert PyTorch tensors to Flax parameters by flat name; the results are views, nothing is copied.

    Args:
        entries: the conversion rules.
        tensors: PyTorch tensors by name.
        shapes: shapes of all Flax parameters, by flat name.
        ignored: further tensors that `tensors` may contain.
        source: where the tensors come from, for error messages.

    Raises:
        BadInput: a tensor is missing, unknown, of the wrong shape or not finite; the message names it.
    """
    _check_names(entries, tensors, ignored, source)
    flat = {}
    for entry in entries:
        tensor, expected = tensors[entry.torch], torch_shape(entry, shapes)
        if tensor.shape != expected:
            raise BadInput(f"{source}: {entry.torch} is {list(tensor.shape)} and must be {list(expected)}")
        if not _is_finite(tensor):
            raise BadInput(f"{source}: {entry.torch} holds NaN or infinity; give the released file")
        parts = [tensor] if len(entry.flax) == 1 else np.split(tensor, len(entry.flax))
        for name, part in zip(entry.flax, parts, strict=True):
            flat[name] = from_torch(part, entry.layout)
    return flat


def _is_finite(tensor: np.ndarray) -> bool:
    return tensor.dtype.kind in "iub" or bool(np.isfinite(tensor).all())


def to_torch(entries: Sequence[Entry], flat: Flat) -> dict[str, np.ndarray]:
    """Convert Flax parameters to PyTorch tensors by name: the exact inverse of `to_flax`."""
    tensors = {}
    for entry in entries:
        parts = [_to_torch(flat[name], entry.layout) for name in entry.flax]
        tensors[entry.torch] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return tensors


def torch_shape(entry: Entry, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of an entry's PyTorch tensor, given the shapes of the Flax parameters."""
    part = _to_torch(np.broadcast_to(np.zeros((), np.int8), shapes[entry.flax[0]]), entry.layout).shape
    return part if len(entry.flax) == 1 else (part[0] * len(entry.flax), *part[1:])


def _check_names(entries: Sequence[Entry], tensors: Flat, ignored: Sequence[Ignored], source: str) -> None:
    expected = {entry.torch for entry in entries}
    missing = [entry.torch for entry in entries if entry.torch not in tensors]
    patterns = [re.compile(i.pattern) for i in ignored]
    unknown = [
        name for name in tensors if name not in expected and not any(p.fullmatch(name) for p in patterns)
    ]
    for names, what in ((missing, "missing"), (unknown, "unknown")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise BadInput(
                f"{source} does not hold this network: {names[0]}{more} is {what}; give the released file"
            )


def from_torch(tensor: np.ndarray, layout: str) -> np.ndarray:
    """Return a tensor of a layout in the order of Flax's axes; see `AXES`."""
    axes = AXES[layout]
    if axes is None:
        return tensor
    shape = tensor.shape[LEADING_ONES.get(layout, 0) : tensor.ndim - TRAILING_ONES.get(layout, 0)]
    return tensor.reshape(shape).transpose(axes)


def _to_torch(tensor: np.ndarray, layout: str) -> np.ndarray:
    axes = AXES[layout]
    if axes is None:
        return tensor
    tensor = tensor.transpose(np.argsort(axes))
    leading, trailing = LEADING_ONES.get(layout, 0), TRAILING_ONES.get(layout, 0)
    return tensor.reshape(*[1] * leading, *tensor.shape, *[1] * trailing)
