"""The catalogue: every condition there is, by name. Model, data, training, command line and evaluation go through it."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from vcjax.conditions.base import Condition
from vcjax.conditions.depth import Depth
from vcjax.conditions.image import Image
from vcjax.conditions.lines import SingleSketch, Sketch
from vcjax.conditions.mask import Mask
from vcjax.conditions.motion import Motion
from vcjax.conditions.style import Style
from vcjax.conditions.text import Text
from vcjax.errors import BadInput
from vcjax.settings import typed

CATALOGUE: dict[str, type[Condition]] = {
    family.name: family for family in (Text, Style, Image, SingleSketch, Motion, Depth, Mask, Sketch)
}


def from_settings(settings: Mapping[str, Any]) -> dict[str, Condition]:
    """A model's conditions from its configuration, `{name: settings}`: in the catalogue's order, then custom ones by name.

    A custom condition names its class as `"class": "package.module:Class"` beside its settings.

    Raises:
        BadInput: an unknown condition or setting, or a class that cannot be imported.
    """
    known = [name for name in CATALOGUE if name in settings]
    custom = sorted(settings.keys() - set(known))  # files of configuration have an order of their own
    return {name: _condition(name, settings[name]) for name in (*known, *custom)}


def to_settings(conditions: Mapping[str, Condition]) -> dict[str, dict[str, Any]]:
    """The inverse of `from_settings`: every setting of each condition, as json takes them."""
    return {name: _settings(condition) for name, condition in conditions.items()}


def _settings(condition: Condition) -> dict[str, Any]:
    family = type(condition)
    own = (
        {}
        if CATALOGUE.get(condition.name) is family
        else {"class": f"{family.__module__}:{family.__qualname__}"}
    )
    return own | dataclasses.asdict(condition)


def _condition(name: str, fields: Any) -> Condition:
    where = f"condition {name}"
    path = fields.get("class") if isinstance(fields, Mapping) else None
    family = _imported(name, path) if path else CATALOGUE.get(name)
    if family is None:
        raise BadInput(
            f"unknown condition {name!r}: known are {', '.join(CATALOGUE)}, or name a class for it"
        )
    return typed(family, {k: v for k, v in fields.items() if k != "class"} if path else fields, where)


def _imported(name: str, path: Any) -> type[Condition]:
    module, _, attribute = str(path).partition(":")
    try:
        family = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise BadInput(f"condition {name}: class {path!r} must be package.module:Class ({error})") from error
    if not (isinstance(family, type) and issubclass(family, Condition) and family.name == name):
        raise BadInput(f"condition {name}: {path!r} must be a Condition whose name is {name!r}")
    return family
