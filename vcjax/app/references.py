"""Files in requests from the network: `upload:ID` in place of paths, so that no path from a request reaches the disk."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from vcjax.app.errors import Refused
from vcjax.app.uploads import REFERENCE, Uploads
from vcjax.composer.request import ARRAY, Request
from vcjax.conditions.base import Condition
from vcjax.errors import BadInput

# Beginnings of sentences about settings that have another name in a request.
SYNONYMS = {
    "height": "size",
    "width": "size",
    "seed": "seeds",
    "unknown sampler": "sampler",
    "overlap of windows": "windows",
    "noise of windows": "windows",
    "offsets of windows": "windows",
    "a clip needs": "frames",
}

Replace = Callable[[str, str], str]  # from the place in the request and the string there to another string


def resolve(
    table: Mapping[str, Any], conditions: Mapping[str, Condition], uploads: Uploads
) -> dict[str, Any]:
    """Return a request in JSON with the paths of its uploads.

    Args:
        table: request with `upload:ID` wherever a file stands.
        conditions: the model's conditions.
        uploads: files that may be named.

    Raises:
        Refused: a string is a path, or names no upload.
    """

    def path_of(where: str, text: str) -> str:
        if not text.startswith(REFERENCE):
            raise Refused(
                400,
                f"{where} must name an uploaded file as {REFERENCE}ID, not {text[:80]!r}",
                field_of(where),
            )
        try:
            return str(uploads.path(text.removeprefix(REFERENCE)))
        except Refused as error:
            raise Refused(400, f"{where}: {error}", field_of(where)) from error

    return _replaced(table, conditions, path_of)


def unresolve(
    table: Mapping[str, Any], conditions: Mapping[str, Condition], uploads: Uploads
) -> tuple[dict[str, Any], list[str]]:
    """Return a request in JSON with `upload:ID` in place of paths, and a sentence for each path that is no upload.

    Conditions with such a path are left out.
    """
    missing: dict[str | None, str] = {}

    def reference_of(where: str, path: str) -> str:
        reference = path if path.startswith(REFERENCE) else uploads.reference(path)
        if reference is None:
            missing[field_of(where)] = (
                f"{where} was the file {path}, which this server does not have: give it again"
            )
        return reference or ""

    result = _replaced(table, conditions, reference_of)
    for field in missing:
        key, _, name = (field or "").partition(".")
        result[key] = {n: x for n, x in result[key].items() if n != name} if name else None
    return result, list(missing.values())


def used_uploads(table: Any) -> set[str]:
    """Return the ids of the uploads that a request names."""
    if isinstance(table, str):
        return {table.removeprefix(REFERENCE)} if table.startswith(REFERENCE) else set()
    values = (
        (*table, *table.values()) if isinstance(table, Mapping) else table if isinstance(table, list) else ()
    )
    return {name for value in values for name in used_uploads(value)}


def field_of_error(error: BadInput) -> str | None:
    """Return the part of a request that an error is about: what it says itself, or what its sentence begins with."""
    if error.field is not None:
        return field_of(error.field) if error.field.startswith("request") else error.field
    message = str(error)
    if found := re.match(r"request\.[\w.]+", message):
        return field_of(found[0])
    if found := re.match(r"strength (?:names condition '|of )(\w+)", message):
        return f"conditions.{found[1]}"
    names = SYNONYMS | {f.name: f.name for f in dataclasses.fields(Request)}
    return next((name for start, name in names.items() if re.match(rf"{start}\b", message)), None)


def field_of(where: str) -> str | None:
    """Return the part of a request that a place in it belongs to: a condition, or a setting."""
    parts = where.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "conditions" else 1]) if parts else None


def _replaced(
    table: Mapping[str, Any], conditions: Mapping[str, Condition], replace: Replace
) -> dict[str, Any]:
    result = dict(table)
    given = table.get("conditions")
    if isinstance(given, Mapping):
        result["conditions"] = {
            name: _of_condition(x, conditions, name, replace) for name, x in given.items()
        }
    if isinstance(table.get("adapters"), Mapping):
        result["adapters"] = {replace("request.adapters", name): x for name, x in table["adapters"].items()}
    if isinstance(table.get("audio"), str):
        result["audio"] = replace("request.audio", table["audio"])
    return result


def _of_condition(given: Any, conditions: Mapping[str, Condition], name: str, replace: Replace) -> Any:
    """Return a condition of a request with its strings replaced, except those that the condition says are words."""
    if name not in conditions:
        raise Refused(
            400,
            f"the model has no condition {name[:80]!r}: it has {', '.join(conditions)}",
            f"conditions.{name[:80]}",
        )
    words = {*conditions[name].words, ARRAY}

    def walk(where: str, key: str, value: Any) -> Any:
        if key in words:
            return value
        if isinstance(value, str):
            return replace(where, value)
        if isinstance(value, Mapping):
            return {k: walk(f"{where}.{k}", k, x) for k, x in value.items()}
        if isinstance(value, list):
            return [walk(f"{where}[{i}]", key, x) for i, x in enumerate(value)]
        return value

    where = f"request.conditions.{name}"
    return (
        {key: walk(f"{where}.{key}", key, x) for key, x in given.items()}
        if isinstance(given, Mapping)
        else given
    )
