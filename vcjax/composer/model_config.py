"""Configuration of a model: the content of config.json as typed values, checked for consistent sizes."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vcjax.composer.latent_colours import LatentColours
from vcjax.conditions.base import ClipShape, Condition, VectorCondition
from vcjax.conditions.catalogue import conditions_from_config, conditions_to_config
from vcjax.diffusion.objective import Prediction, check_prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.settings import typed
from vcjax.weights.folder import FORMAT
from vcjax.weights.networks import Networks, networks_from_config, networks_to_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defaults:
    """Sampling defaults of a model.

    Attributes:
        steps: number of sampling steps.
        guidance: guidance weight; 1 is none, and takes one branch.
        sampler: a key of `vcjax.diffusion.samplers.SAMPLERS`.
    """

    steps: int = 50
    guidance: float = 9.0
    sampler: str = "ddim"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The content of a model folder's config.json.

    Attributes:
        format: format number of the folder.
        name: name of the model.
        networks: fields of the networks, by component; missing fields have the released sizes.
        conditions: fields of the conditions, by name.
        schedule: noise schedule.
        prediction: prediction type of the UNet.
        clip: shape of the training clips.
        defaults: sampling defaults.
        latent_colours: map from latents to colours, for pictures while sampling; None if it has none.
        files: weight file of each component.
        untrained: seed of random weights for components without a file; None if such components are absent.
    """

    format: int = FORMAT
    name: str
    networks: Mapping[str, Any]
    conditions: Mapping[str, Any]
    schedule: Schedule
    prediction: Prediction
    clip: ClipShape
    defaults: Defaults
    latent_colours: LatentColours | None = None
    files: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    untrained: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Specification of a model without its weights: networks, conditions, diffusion and sampling defaults.

    Attributes:
        name: name of the model.
        networks: networks.
        conditions: conditions by name.
        schedule: noise schedule.
        prediction: prediction type of the UNet.
        clip: shape of the training clips.
        defaults: sampling defaults.
        latent_colours: map from latents to colours; None if it has none.
    """

    name: str
    networks: Networks
    conditions: Mapping[str, Condition]
    schedule: Schedule
    prediction: Prediction
    clip: ClipShape
    defaults: Defaults
    latent_colours: LatentColours | None = None


def model_from_config(table: Any, where: str) -> ModelSpec:
    """Parse a model's configuration and check it.

    Args:
        table: the content of config.json, or `config.model` of a training configuration.
        where: name of the table in error messages.

    Raises:
        BadInput: a key is unknown or missing, a value has the wrong type, or sizes are inconsistent.
    """
    config: ModelConfig = typed(ModelConfig, table, where)
    check_prediction(config.prediction, config.schedule)
    spec = ModelSpec(
        name=config.name,
        networks=networks_from_config(config.networks),
        conditions=conditions_from_config(config.conditions),
        schedule=config.schedule,
        prediction=config.prediction,
        clip=config.clip,
        defaults=config.defaults,
        latent_colours=config.latent_colours,
    )
    if not any(c.kind == "tokens" and c.absent_is_null for c in spec.conditions.values()):
        raise BadInput(f"{where}: conditions must hold text, whose empty string is the null condition")
    for problem in _size_conflicts(spec):
        raise BadInput(f"{where}: {problem}")
    return spec


def model_to_config(spec: ModelSpec) -> dict[str, Any]:
    """Return the complete configuration of a model in JSON types, the inverse of `model_from_config`."""
    table = {
        "name": spec.name,
        "networks": networks_to_config(spec.networks),
        "conditions": conditions_to_config(spec.conditions),
        "schedule": dataclasses.asdict(spec.schedule),
        "prediction": spec.prediction,
        "clip": dataclasses.asdict(spec.clip),
        "defaults": dataclasses.asdict(spec.defaults),
    }
    if spec.latent_colours is not None:
        table["latent_colours"] = dataclasses.asdict(spec.latent_colours)
    return json.loads(json.dumps(table))


def _size_conflicts(spec: ModelSpec) -> Iterator[str]:
    """Yield an error message for each pair of sizes that are inconsistent."""
    networks, clip = spec.networks, spec.clip
    unet, autoencoder, text, vision = networks.unet, networks.autoencoder, networks.text, networks.vision

    def equal(a: str, of_a: int, b: str, of_b: int) -> Iterator[str]:
        if of_a != of_b:
            yield f"{a} = {of_a} must equal {b} = {of_b}"

    def divides(a: str, of_a: int, b: str, of_b: int) -> Iterator[str]:
        if of_b % of_a:
            yield f"{b} = {of_b} must be a multiple of {a} = {of_a}"

    yield from equal(
        "networks.unet.latent_channels", unet.latent_channels,
        "networks.autoencoder.latent_channels", autoencoder.latent_channels,
    )  # fmt: skip
    yield from equal(
        "networks.tokens.token_dim", networks.tokens.token_dim, "networks.text.width", text.width
    )
    yield from divides("networks.text.heads", text.heads, "networks.text.width", text.width)
    yield from unet.size_conflicts("networks.unet")
    for level, multiplier in enumerate(autoencoder.channel_multipliers):
        channels = autoencoder.base_channels * multiplier
        name = f"channels of networks.autoencoder at level {level}"
        yield from divides("networks.autoencoder.norm_groups", autoencoder.norm_groups, name, channels)
    multiple = networks.size_multiple
    for side in ("height", "width"):
        yield from divides(
            "the downsampling of autoencoder and UNet", multiple, f"clip.{side}", getattr(clip, side)
        )
    if vision is not None:
        yield from divides("networks.vision.heads", vision.heads, "networks.vision.width", vision.width)
        yield from divides(
            "networks.vision.patch_size", vision.patch_size, "networks.vision.image_size", vision.image_size
        )
        for name, condition in spec.conditions.items():
            if isinstance(condition, VectorCondition) and "vision" in condition.networks:
                yield from equal(
                    f"conditions.{name}.embed_dim", condition.embed_dim,
                    "networks.vision.embed_dim", vision.embed_dim,
                )  # fmt: skip
                if (side := getattr(condition, "image_size", None)) is not None:
                    yield from equal(
                        f"conditions.{name}.image_size", side, "networks.vision.image_size", vision.image_size
                    )
        if networks.text_projection is not None:
            yield from equal(
                "networks.text_projection.embed_dim", networks.text_projection.embed_dim,
                "networks.vision.embed_dim", vision.embed_dim,
            )  # fmt: skip
