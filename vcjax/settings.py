"""What comes from outside (a model's config.json, a run's configuration, a caller's numbers) as typed values, or one sentence why not."""

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from vcjax.errors import BadInput


def typed(kind: Any, value: Any, where: str, *, leave_out: Collection[str] = ()) -> Any:
    """A value of a type from what a table of json or ml_collections holds.

    ```python
    schedule = typed(Schedule, {"kind": "cosine"}, "config.json: schedule")
    ```

    Args:
        kind: a dataclass (a Flax module is one), `tuple[T, ...]`, `Mapping[str, T]`, `Literal[...]`, `T | None`, or a
            plain type.
        value: what the table holds.
        where: how to call it.
        leave_out: fields of the dataclass that cannot be set.

    Raises:
        BadInput: an unknown or missing key or a value of another type; it names the key and says what would be right.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(value, "to_dict"):  # an ml_collections table
        value = value.to_dict()
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, leave_out)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return typed(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise BadInput(f"{where} must be a list, not {value!r}")
        return tuple(typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        if value not in arguments:
            raise BadInput(f"{where} must be one of {', '.join(map(str, arguments))}, not {value!r}")
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {
            key: typed(arguments[1], item, f"{where}.{key}") for key, item in _table(value, where).items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInput(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value


def _dataclass(kind: Any, value: Any, where: str, leave_out: Collection[str]) -> Any:
    table = _table(value, where)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in leave_out}
    for key in table:
        if key not in fields:
            raise BadInput(f"{where} has no setting {key!r}: it has {', '.join(fields) or 'none'}")
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if not optional and name not in table:
            raise BadInput(f"{where} lacks {name!r}")
    return kind(**{key: typed(hints[key], item, f"{where}.{key}") for key, item in table.items()})


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{where} must be a table, not {value!r}")
    return value


def whole(name: str, value: Any) -> int:
    """The value, if it is a whole number; BadInput that names it otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise BadInput(f"{name} must be a whole number, not {value!r}")
    return int(value)


def finite(name: str, value: Any) -> float:
    """The value, if it is a finite number; BadInput that names it otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise BadInput(f"{name} must be a finite number, not {value!r}")
    return float(value)


def check_seed(seed: Any) -> None:
    """Raise BadInput where a seed is not a whole number of 32 bits: others would be taken for one another."""
    if not 0 <= whole("seed", seed) < 2**32:
        raise BadInput(f"seed must be from 0 to {2**32 - 1}, not {seed}")
