"""Catalogue of the conditions, by name, and their configuration."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np

from vcjax.conditions.base import Condition, Drawing, Kind, MapCondition, VectorCondition
from vcjax.conditions.depth import Depth
from vcjax.conditions.image import Image
from vcjax.conditions.mask import Mask
from vcjax.conditions.motion import Motion
from vcjax.conditions.sketch import SingleSketch, Sketch
from vcjax.conditions.storage import ImageFileCondition
from vcjax.conditions.style import Style
from vcjax.conditions.text import Text
from vcjax.errors import BadInput
from vcjax.settings import check_numbers, import_object, typed

CATALOGUE: dict[str, type[Condition]] = {
    family.name: family for family in (Text, Style, Image, SingleSketch, Motion, Depth, Mask, Sketch)
}

IMAGE_CHANNELS = (1, 3)

# Names of the map conditions, and of those with one map per clip (spatial) or one per frame (temporal).
MAPS = tuple(name for name, family in CATALOGUE.items() if issubclass(family, MapCondition))
SPATIAL = tuple(name for name in MAPS if CATALOGUE[name].kind == "spatial")
TEMPORAL = tuple(name for name in MAPS if CATALOGUE[name].kind == "temporal")


def map_channels(conditions: Mapping[str, Condition | type[Condition]]) -> dict[str, int]:
    """Return the channels of each map condition, by name."""
    return {name: c.channels for name, c in conditions.items() if c.kind != "tokens"}


def vector_dims(conditions: Mapping[str, Condition]) -> dict[str, int]:
    """Return the embedding size of each vector condition, by name."""
    return {name: c.embed_dim for name, c in conditions.items() if isinstance(c, VectorCondition)}


def conditions_from_config(settings: Mapping[str, Any]) -> dict[str, Condition]:
    """Return a model's conditions from its configuration: in the order of the catalogue, custom ones last.

    Args:
        settings: settings of each condition, by name. A custom condition names its class as
            `"class": "package.module:Class"` beside its settings.

    Raises:
        BadInput: an unknown condition or setting, or a class that cannot be imported.
    """
    known = [name for name in CATALOGUE if name in settings]
    custom = sorted(settings.keys() - set(known))  # so that the order in the file has no effect
    return {name: _from_settings(name, settings[name]) for name in (*known, *custom)}


def conditions_to_config(conditions: Mapping[str, Condition]) -> dict[str, dict[str, Any]]:
    """Return all settings of each condition, JSON-serialisable; the inverse of `conditions_from_config`."""
    return {name: _settings(condition) for name, condition in conditions.items()}


def _settings(condition: Condition) -> dict[str, Any]:
    family = type(condition)
    custom = (
        {}
        if CATALOGUE.get(condition.name) is family
        else {"class": f"{family.__module__}:{family.__qualname__}"}
    )
    return custom | dataclasses.asdict(condition)


def _from_settings(name: str, fields: Any) -> Condition:
    where = f"condition {name}"
    path = fields.get("class") if isinstance(fields, Mapping) else None
    family = import_condition(path) if path else CATALOGUE.get(name)
    if family is None:
        raise BadInput(
            f"unknown condition {name!r}: known are {', '.join(CATALOGUE)}; a custom condition needs a class"
        )
    if family.name != name:
        raise BadInput(f"{where}: {path} is condition {family.name!r}")
    condition = typed(family, {k: v for k, v in fields.items() if k != "class"} if path else fields, where)
    if not path:  # what the numbers of a custom condition mean is its own affair
        check_numbers(condition, f"conditions.{name}", from_zero=("gop", "bit_rate"))
    return condition


def import_condition(path: Any) -> type[Condition]:
    """Import the class of a custom condition.

    Args:
        path: MODULE:CLASS; the module is installed, or in the working directory.

    Raises:
        BadInput: there is no such class, or it is no condition.
    """
    family = import_object(path, "the class of a condition")
    if not (isinstance(family, type) and issubclass(family, Condition) and hasattr(family, "name")):
        raise BadInput(f"{path} must be a subclass of vcjax.conditions.base.Condition with a name")
    for problem in _problems(family):
        raise BadInput(f"{path}: {problem}")
    return family


def _problems(family: type[Condition]) -> Iterator[str]:
    """Yield what is wrong with the class attributes of a custom condition."""
    declared = {field.name for field in dataclasses.fields(family)}
    for name in inspect.get_annotations(Condition):
        if name in declared:
            yield f"{name} is a class attribute: annotate it with ClassVar"
        elif not hasattr(family, name):
            yield f"the class attribute {name} is missing"
    if family.kind not in get_args(Kind):
        yield f"kind must be one of {', '.join(get_args(Kind))}, not {family.kind!r}"
    if family.drawing not in get_args(Drawing):
        yield f"drawing must be one of {', '.join(map(repr, get_args(Drawing)))}, not {family.drawing!r}"
    accepted = inspect.signature(family.extract).parameters
    any_option = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for option in family.extract_options:
        if option not in accepted and not any_option:
            yield f"extract_options names {option!r}, but extract has no such argument"
    if not issubclass(family, MapCondition):
        return
    if family.channels < 1:
        yield f"channels must be at least 1, not {family.channels}"
    low, high = family.limits
    if not low < high:
        yield f"limits must be a smaller and a larger number, not {low} and {high}"
    if issubclass(family, ImageFileCondition):
        if family.encode is ImageFileCondition.encode and family.channels not in IMAGE_CHANNELS:
            yield f"channels of an ImageFileCondition must be 1 or 3, not {family.channels}"
        if not hasattr(family, "bits"):
            yield "the class attribute bits is missing"
        if family.encode is ImageFileCondition.encode and not np.isfinite(family.limits).all():
            yield "limits of an ImageFileCondition must be finite: they are black and white"
