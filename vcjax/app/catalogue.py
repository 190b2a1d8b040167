"""What the page is made from: models, their conditions and defaults, samplers, limits."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vcjax.app.limits import Limits
from vcjax.composer.composer import Composer
from vcjax.conditions.base import Condition
from vcjax.conditions.drawing import EASINGS
from vcjax.diffusion.samplers import SAMPLERS
from vcjax.diffusion.timesteps import SPACINGS


def catalogue(composers: Mapping[str, Composer], limits: Limits) -> dict[str, Any]:
    """Return a description of models and settings in JSON's types."""
    return {
        "models": [_model(name, composer) for name, composer in composers.items()],
        "samplers": list(SAMPLERS),
        "spacings": list(SPACINGS),
        "easings": list(EASINGS),
        "limits": dataclasses.asdict(limits),
    }


def _model(name: str, composer: Composer) -> dict[str, Any]:
    return {
        "name": name,
        "shape": dataclasses.asdict(composer.shape),
        "size_multiple": composer.networks.size_multiple,
        "defaults": dataclasses.asdict(composer.defaults),
        "estimates": composer.latent_colours is not None,
        "conditions": [_condition(condition, composer) for condition in composer.conditions.values()],
    }


def _condition(condition: Condition, composer: Composer) -> dict[str, Any]:
    return {
        "name": condition.name,
        "kind": condition.kind,
        "summary": condition.summary,
        "accepts": condition.accepts,
        "extractable": condition.extractable,
        "lacks": condition.missing_networks(composer.functions),
        "extract_options": dict(condition.extract_options),
        "words": list(condition.words),
        "drawing": condition.drawing,
        "composites": condition.composites,
        "drawn_over": condition.drawn_over,
    }
