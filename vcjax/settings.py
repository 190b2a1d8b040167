"""Validation of configurations (config.json of a model, run configurations) and of arguments."""

import dataclasses
import importlib
import sys
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from vcjax.errors import BadInput, about, brief

MAX_SIZE = 2**24  # of anything that a model has: channels, layers, tokens, pixels, bits per second


def typed(kind: Any, value: Any, where: str, *, exclude: Collection[str] = ()) -> Any:
    """Convert a value from JSON or ml_collections to a type, with validation.

    ```python
    schedule = typed(Schedule, {"kind": "cosine"}, "config.json: schedule")
    ```

    Args:
        kind: target type: a dataclass (including Flax modules), `tuple[T, ...]`, `Mapping[str, T]`,
            `Literal[...]`, `T | None`, or a plain type.
        value: the value to convert; dataclasses are given as mappings.
        where: name of the value, for error messages.
        exclude: fields of the dataclass that cannot be set.

    Returns:
        A value of type `kind`.

    Raises:
        BadInput: a key is unknown or missing, or a value has the wrong type; the message names the key.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(value, "to_dict"):  # an ml_collections.ConfigDict
        value = value.to_dict()
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, exclude)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return typed(_member(arguments, value), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise BadInput(f"{where} must be a list, not {brief(value)}")
        return tuple(typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        if value not in arguments:
            raise BadInput(f"{where} must be one of {', '.join(map(str, arguments))}, not {brief(value)}")
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {
            key: typed(arguments[1], item, f"{where}.{key}") for key, item in _mapping(value, where).items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, where)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInput(f"{where} must be of type {kind.__name__}, not {brief(value)}")
    return value


def _float(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise BadInput(f"{where} must be a number below 1e308, not {brief(value)}") from error


def _member(arguments: tuple[Any, ...], value: Any) -> Any:
    """Return the member of a union that a value is meant for: a dataclass for a table, else the first that it fits."""
    members = [member for member in arguments if member is not type(None)]
    for member in members:
        if isinstance(value, Mapping) == dataclasses.is_dataclass(member) and _fits(member, value):
            return member
    return members[0]


def _fits(member: Any, value: Any) -> bool:
    """Return whether a value may be of a type, by what it is on the outside."""
    if typing.get_origin(member) is Literal:
        return value in typing.get_args(member)
    if member is float:
        return isinstance(value, int | float)
    return not isinstance(member, type) or dataclasses.is_dataclass(member) or isinstance(value, member)


def _dataclass(kind: Any, value: Any, where: str, exclude: Collection[str]) -> Any:
    table = _mapping(value, where)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in exclude}
    for key in table:
        if key not in fields:
            raise BadInput(f"{where} has no setting {brief(key)}: it has {', '.join(fields) or 'none'}")
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if not optional and name not in table:
            raise BadInput(f"{where} lacks {name!r}")
    values = {key: typed(hints[key], item, f"{where}.{key}") for key, item in table.items()}
    with about(where):
        return kind(**values)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{where} must be a table, not {brief(value)}")
    return value


def check_numbers(
    table: Any, where: str, *, from_zero: Collection[str] = (), any_sign: Collection[str] = ()
) -> None:
    """Check the numbers of a dataclass of sizes: integers from 1 to `MAX_SIZE`, floats finite and above 0, lists not empty.

    Args:
        table: the dataclass.
        where: its name in the error message.
        from_zero: fields that may be 0, and lists that may be empty.
        any_sign: fields that may be any finite number.

    Raises:
        BadInput: a number is out of range; the message names it.
    """
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        name, zero = f"{where}.{field.name}", field.name in from_zero
        if isinstance(value, tuple) and not value and not zero:
            raise BadInput(f"{name} must hold at least one number")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            most = MAX_SIZE if isinstance(number, int) else sys.float_info.max
            fits = field.name in any_sign or number > 0 or (zero and number == 0)
            if not (fits and abs(number) <= most):
                least = "finite" if field.name in any_sign else "0 or more" if zero else "above 0"
                limit = f" and at most {most}" if isinstance(number, int) else ""
                raise BadInput(f"{name} must be {least}{limit}, not {brief(number)}")


def integer(name: str, value: Any) -> int:
    """Return the value as int.

    Raises:
        BadInput: the value is not an integer; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise BadInput(f"{name} must be an integer, not {brief(value)}")
    return int(value)


def finite(name: str, value: Any) -> float:
    """Return the value as float.

    Raises:
        BadInput: the value is not a finite number; the message names it.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or (not isinstance(value, int) and not np.isfinite(value)):
        raise BadInput(f"{name} must be a finite number, not {brief(value)}")
    return _float(value, name)


def check_seed(seed: Any) -> None:
    """Check that a seed is an unsigned 32-bit integer.

    Larger seeds would be truncated, so that different seeds give the same results.

    Raises:
        BadInput: the seed is out of range.
    """
    if not 0 <= integer("seed", seed) < 2**32:
        raise BadInput(f"seed must be from 0 to {2**32 - 1}, not {seed}")


def defaults_of(kind: type) -> dict[str, Any]:
    """Return the defaults of a dataclass as a nested table; fields without a default are left out."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            value = field.default
        else:
            continue
        is_table = dataclasses.is_dataclass(value) and not isinstance(value, type)
        value = dataclasses.asdict(value) if is_table else value  # pyright: ignore[reportArgumentType]
        table[field.name] = value
    return table


def import_object(path: Any, where: str) -> Any:
    """Import what `MODULE:NAME` names; modules in the working directory are found too, as in a script.

    Raises:
        BadInput: there is no such module or name.
    """
    module, _, name = str(path).partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise BadInput(
            f"{where} must name MODULE:NAME, of a module that is installed or in the working directory, "
            f"not {brief(path)} ({error})"
        ) from error
    finally:
        sys.path.remove("")
