"""The rules of conversion: which PyTorch tensor is which of ours, and how its axes lie. An exact bijection as data."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vcjax.errors import BadInput

Flat = Mapping[str, np.ndarray]

# The axes of our tensor, as axes of PyTorch's once its axes of length one are dropped. PyTorch puts outputs first.
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
# Axes of length one that ours does not have: those behind, and those before the others.
ONES = {"conv1": 1, "conv1x1": 2, "temporal": 1, "transposed1x1": 2}
LEADING_ONES = {"rows": 1, "vector": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One PyTorch tensor and what it is here.

    Attributes:
        torch: its name in the PyTorch file.
        ours: flat names of ours; several where PyTorch fuses equal parts along the output axis.
        layout: how the axes lie; a key of `AXES`.
    """

    torch: str
    ours: tuple[str, ...]
    layout: str = "same"


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Tensors that released files are known to carry and that have no place here.

    Attributes:
        pattern: regular expression for the whole name.
        reason: why they are left out.
    """

    pattern: str
    reason: str


def weight_and_bias(torch: str, ours: str, layout: str) -> list[Entry]:
    """Entries of a linear layer or a convolution."""
    return [
        Entry(f"{torch}.weight", (f"{ours}/kernel",), layout),
        Entry(f"{torch}.bias", (f"{ours}/bias",)),
    ]


def norm(torch: str, ours: str) -> list[Entry]:
    """Entries of a norm."""
    return [Entry(f"{torch}.weight", (f"{ours}/scale",)), Entry(f"{torch}.bias", (f"{ours}/bias",))]


def under(torch: str, ours: str, entries: Iterable[Entry]) -> list[Entry]:
    """The same entries with a prefix before the names of either side."""
    return [Entry(torch + e.torch, tuple(ours + name for name in e.ours), e.layout) for e in entries]


def to_ours(
    entries: Sequence[Entry],
    tensors: Flat,
    shapes: Mapping[str, tuple[int, ...]],
    ignored: Sequence[Ignored] = (),
    source: str = "the file",
) -> dict[str, np.ndarray]:
    """PyTorch's tensors as ours, by flat name: views of them, nothing is copied.

    Args:
        entries: the bijection.
        tensors: PyTorch's tensors by name.
        shapes: shapes of all of ours, by flat name.
        ignored: what `tensors` may hold beyond the entries.
        source: how to call where the tensors come from.

    Raises:
        BadInput: a tensor is missing, unknown or misshapen; the sentence names it.
    """
    _check_names(entries, tensors, ignored, source)
    flat = {}
    for entry in entries:
        tensor, wanted = tensors[entry.torch], torch_shape(entry, shapes)
        if tensor.shape != wanted:
            raise BadInput(f"{source}: {entry.torch} is {list(tensor.shape)} and must be {list(wanted)}")
        parts = [tensor] if len(entry.ours) == 1 else np.split(tensor, len(entry.ours))
        for name, part in zip(entry.ours, parts, strict=True):
            flat[name] = _from_torch(part, entry.layout)
    return flat


def to_torch(entries: Sequence[Entry], flat: Flat) -> dict[str, np.ndarray]:
    """The exact inverse of `to_ours`: our tensors under PyTorch's names and in its layout."""
    tensors = {}
    for entry in entries:
        parts = [_to_torch(flat[name], entry.layout) for name in entry.ours]
        tensors[entry.torch] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return tensors


def torch_shape(entry: Entry, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of an entry's PyTorch tensor, from the shapes of ours."""
    part = _to_torch(np.broadcast_to(np.zeros((), np.int8), shapes[entry.ours[0]]), entry.layout).shape
    return part if len(entry.ours) == 1 else (part[0] * len(entry.ours), *part[1:])


def _check_names(entries: Sequence[Entry], tensors: Flat, ignored: Sequence[Ignored], source: str) -> None:
    wanted = {entry.torch for entry in entries}
    missing = [entry.torch for entry in entries if entry.torch not in tensors]
    patterns = [re.compile(i.pattern) for i in ignored]
    unknown = [
        name for name in tensors if name not in wanted and not any(p.fullmatch(name) for p in patterns)
    ]
    for names, what in ((missing, "missing"), (unknown, "unknown")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise BadInput(
                f"{source} does not hold this network: {names[0]}{more} is {what}; give the released file"
            )


def _from_torch(tensor: np.ndarray, layout: str) -> np.ndarray:
    axes = AXES[layout]
    if axes is None:
        return tensor
    kept = tensor.shape[LEADING_ONES.get(layout, 0) : tensor.ndim - ONES.get(layout, 0)]
    return tensor.reshape(kept).transpose(axes)


def _to_torch(tensor: np.ndarray, layout: str) -> np.ndarray:
    axes = AXES[layout]
    if axes is None:
        return tensor
    tensor = tensor.transpose(np.argsort(axes))
    before, behind = LEADING_ONES.get(layout, 0), ONES.get(layout, 0)
    return tensor.reshape(*[1] * before, *tensor.shape, *[1] * behind)
