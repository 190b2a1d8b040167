"""`Request`: everything that determines a generated video, as a value that can be written as JSON and read back."""

import base64
import dataclasses
import io
import json
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from vcjax.composer.model import LoadedModel
from vcjax.conditions.base import ClipShape, Condition, SourceVideo
from vcjax.conditions.strokes import Strokes
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.errors import BadInput
from vcjax.settings import check_seed, finite, integer, typed

ARRAY = "npy"  # key of an array in JSON: the bytes of a .npy file in base64
Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionInput:
    """A condition of a request: a finished one, or a source video that it is extracted from.

    Attributes:
        value: finished condition, see `Condition.accepts`; None where it is extracted.
        source: source video, a path or a clip in memory; None where it is finished.
        extract_options: further arguments of the extraction.
        strength: factor of the encoding of a map, and of the difference of text and style from their null embedding.
    """

    value: Any = None
    source: Any = None
    extract_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    strength: float = 1.0

    def __post_init__(self) -> None:
        if (self.value is None) == (self.source is None):
            raise BadInput("a condition must have either value or source")

    @property
    def input(self) -> Any:
        """The condition as the composer reads it: a finished value, or a `SourceVideo`."""
        return self.value if self.source is None else SourceVideo(self.source, self.extract_options)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """Description of a generation. Attributes that are None have the model's default, see `complete_request`.

    Attributes:
        model: built-in model or path of a model folder.
        conditions: conditions by name.
        positive: names of the conditions of the positive branch of guidance. Default: all.
        negative: names of the conditions of the negative branch. Default: all but text and style, as in the released
            model.
        branches: names of the conditions of each branch, from the first, c_0, on, for a chain of guidance: in place of
            negative (c_0) and positive (c_1).
        negative_text: text of the first branch, instead of the empty string.
        guidance: weights w_i of out(c_0) + sum_i w_i (out(c_i) - out(c_(i-1))), one fewer than branches.
        guidance_interval: least and largest noise level, sigma / alpha, with guidance; the last branch alone is evaluated at
            other levels (arXiv 2404.07724). Default: all levels.
        guidance_rescale: share, from 0 to 1, of the prediction with the std of the last branch (arXiv 2305.08891, section
            3.4).
        guidance_every: in one of so many steps all branches are evaluated; between them what guidance added is reused.
        reuse_every: in one of so many steps the whole UNet is evaluated; between them its deep features are reused
            (DeepCache, arXiv 2312.00858).
        sampler: a key of `vcjax.diffusion.samplers.SAMPLERS`.
        spacing: spacing of the timesteps, see `vcjax.diffusion.timesteps`.
        steps: number of sampling steps.
        eta: noise of the sampler, from 0 (deterministic) to 1.
        seeds: seed of the initial noise of each video.
        frames: number of frames.
        size: height and width in pixels.
    """

    model: str = "tiny"
    conditions: Mapping[str, ConditionInput] = dataclasses.field(default_factory=dict)
    positive: Names | None = None
    negative: Names | None = None
    branches: tuple[Names, ...] | None = None
    negative_text: str = ""
    guidance: tuple[float, ...] | None = None
    guidance_interval: tuple[float, ...] | None = None
    guidance_rescale: float = 0.0
    guidance_every: int = 1
    reuse_every: int = 1
    sampler: str | None = None
    spacing: str | None = None
    steps: int | None = None
    eta: float = 0.0
    seeds: tuple[int, ...] = (0,)
    frames: int | None = None
    size: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the request in JSON's types; keys that are None are left out.

        Raises:
            BadInput: a condition is an object in memory that JSON cannot hold, such as a clip.
        """
        table = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        table["conditions"] = {name: _input_to_json(name, x) for name, x in self.conditions.items()}
        return json.loads(json.dumps({key: value for key, value in table.items() if value is not None}))

    @classmethod
    def from_json(cls, table: Any) -> "Request":
        """Return the request that `to_json` gave.

        Raises:
            BadInput: an unknown key, or a value of the wrong type; the message names the key.
        """
        request: Request = typed(cls, table, "request")
        conditions = {
            name: dataclasses.replace(
                given, value=_from_json(f"request.conditions.{name}.value", given.value)
            )
            for name, given in request.conditions.items()
        }
        return dataclasses.replace(request, conditions=conditions)


def request_from_arguments(
    model: str = "tiny",
    *,
    positive: Collection[str] | None = None,
    negative: Collection[str] | None = None,
    branches: Sequence[Collection[str]] | None = None,
    negative_text: str = "",
    guidance: float | int | Sequence[float | int] | None = None,
    guidance_interval: Sequence[float | int] | None = None,
    guidance_rescale: float | int = 0.0,
    guidance_every: int = 1,
    reuse_every: int = 1,
    strength: Mapping[str, float | int] | None = None,
    sampler: str | None = None,
    spacing: str | None = None,
    steps: int | None = None,
    eta: float | int = 0.0,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    frames: int | None = None,
    size: Sequence[int] | None = None,
    **conditions: Any,
) -> Request:
    """Return a request from the arguments of a call.

    Args:
        model: see `Request`, as the arguments that are not described here.
        guidance: guidance weight, or the weights of a chain.
        strength: strength of conditions, by name; the default is 1.
        seed: seed of the initial noise, and of randomly drawn conditions.
        seeds: seeds of several videos; excludes seed.
        **conditions: conditions by name: a finished condition (see `Condition.accepts`) or
            `vcjax.extract(source_video)`; None is no condition.

    Raises:
        BadInput: arguments exclude each other, or name a condition that the call does not pass.
    """
    given = {name: value for name, value in conditions.items() if value is not None}
    for name in strength or {}:
        if name not in given:
            raise BadInput(f"strength names condition {name!r}, but the request has no such condition")
    if seeds is not None and seed:
        raise BadInput("seed and seeds exclude each other: give one of them")
    weights = guidance if isinstance(guidance, Sequence) or guidance is None else (guidance,)
    return Request(
        model=model,
        conditions={
            name: _input(value, finite(f"strength of {name}", (strength or {}).get(name, 1.0)))
            for name, value in given.items()
        },
        positive=_names("positive", positive),
        negative=_names("negative", negative),
        branches=None if branches is None else tuple(_names("branches", names) or () for names in branches),
        negative_text=negative_text,
        guidance=None if weights is None else tuple(finite("guidance", weight) for weight in weights),
        guidance_interval=None
        if guidance_interval is None
        else tuple(finite("guidance_interval", level) for level in guidance_interval),
        guidance_rescale=finite("guidance_rescale", guidance_rescale),
        guidance_every=integer("guidance_every", guidance_every),
        reuse_every=integer("reuse_every", reuse_every),
        sampler=sampler,
        spacing=spacing,
        steps=None if steps is None else integer("steps", steps),
        eta=finite("eta", eta),
        seeds=(seed,) if seeds is None else tuple(seeds),
        frames=frames,
        size=None if size is None else _size(size),
    )


def complete_request(request: Request, model: LoadedModel) -> Request:
    """Validate a request and complete it with a model's defaults.

    Branches that are equal are merged, since their difference is 0; the first is left out where the second has weight 1,
    which cancels it.

    Raises:
        BadInput: an unknown condition or name, or a number out of range.
    """
    conditions = {name: model.condition(name) for name in request.conditions}
    for seed in request.seeds:
        check_seed(seed)
    if not request.seeds:
        raise BadInput("seeds must hold at least one")
    for name, given in request.conditions.items():
        finite(f"strength of {name}", given.strength)
    branches, guidance = _completed_branches(request, conditions, model.defaults.guidance)
    first_text = request.negative_text
    if guidance and guidance[0] == 1.0:  # out(c_0) + 1 (out(c_1) - out(c_0)) + ... is without c_0
        branches, guidance, first_text = branches[1:], guidance[1:], ""
    _check_passes(request)
    shape = request_shape(request, model)
    name = request.sampler or model.defaults.sampler
    sampler = sampler_named(name)
    spacing = request.spacing or sampler.spacing(model.schedule)
    steps = integer("steps", model.defaults.steps if request.steps is None else request.steps)
    sampling_steps(  # raises where steps, eta or spacing are out of range
        sampler, model.schedule, steps, prediction=model.prediction, eta=request.eta, spacing=spacing
    )
    return dataclasses.replace(
        request,
        positive=None,
        negative=None,
        branches=branches,
        negative_text=first_text,
        guidance=guidance,
        sampler=name,
        spacing=spacing,
        steps=steps,
        frames=shape.frames,
        size=(shape.height, shape.width),
    )


def request_shape(request: Request, model: LoadedModel) -> ClipShape:
    """Return the shape of a request's videos.

    Raises:
        BadInput: see `LoadedModel.clip_shape`.
    """
    return model.clip_shape(request.frames, None if request.size is None else _size(request.size))


def _completed_branches(
    request: Request, conditions: Mapping[str, Condition], default: float
) -> tuple[tuple[Names, ...], tuple[float, ...]]:
    """Return the branches of guidance and their weights."""
    if request.branches is None:
        maps = tuple(name for name, condition in conditions.items() if condition.kind != "tokens")
        negative = maps if request.negative is None else request.negative
        positive = tuple(conditions) if request.positive is None else request.positive
        branches, where = (negative, positive), ("negative", "positive")
    elif request.positive is None and request.negative is None:
        branches, where = request.branches, ("branches",) * len(request.branches)
    else:
        raise BadInput("branches exclude positive and negative: give the branches alone")
    if not branches:
        raise BadInput("branches must hold at least one set of conditions")
    for key, names in zip(where, branches, strict=True):
        for name in names:
            if name not in conditions:
                raise BadInput(f"{key} names condition {name!r}, but the request has no such condition")
    weights = (default,) * (len(branches) - 1) if request.guidance is None else request.guidance
    if len(weights) != len(branches) - 1:
        raise BadInput(
            f"guidance must have one weight fewer than branches, {len(branches) - 1}, not {len(weights)}"
        )
    for weight in weights:
        finite("guidance", weight)
    if request.negative_text and any(conditions[name].absent_is_null for name in branches[0]):
        raise BadInput(
            "negative_text needs a first branch without text: it takes the place of the text there"
        )
    merged: list[Names] = [branches[0]]
    merged_weights: list[float] = []
    for names, weight in zip(branches[1:], weights, strict=True):
        other_text = len(merged) == 1 and request.negative_text  # that of the first branch differs
        if set(names) != set(merged[-1]) or other_text:
            merged.append(names)
            merged_weights.append(weight)
    return tuple(merged), tuple(merged_weights)


def _check_passes(request: Request) -> None:
    """Raise BadInput for settings of guidance and reuse that are out of range."""
    interval = request.guidance_interval
    if interval is not None and not (len(interval) == 2 and 0 <= interval[0] < interval[1]):
        raise BadInput(
            "guidance_interval must be two noise levels sigma / alpha, the lower first, such as (0.3, 5), "
            f"not {', '.join(f'{level:g}' for level in interval)}"
        )
    if not 0 <= request.guidance_rescale <= 1:
        raise BadInput(f"guidance_rescale must be from 0 to 1, not {request.guidance_rescale:g}")
    for name in ("guidance_every", "reuse_every"):
        if getattr(request, name) < 1:
            raise BadInput(f"{name} must be at least 1, not {getattr(request, name)}")
    if 1 < request.guidance_every != request.reuse_every > 1:
        raise BadInput(
            f"guidance_every and reuse_every must be equal where both are above 1, not {request.guidance_every} and "
            f"{request.reuse_every}"
        )


def _names(key: str, names: Collection[str] | None) -> Names | None:
    if isinstance(names, str):
        raise BadInput(f"{key} must be a list of names, such as [{names!r}], not {names!r}")
    return None if names is None else tuple(names)


def _size(size: Any) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise BadInput(f"size must be height and width, such as (64, 96), not {size!r}")
    return integer("height", size[0]), integer("width", size[1])


def _input(value: Any, strength: float) -> ConditionInput:
    if isinstance(value, SourceVideo):
        return ConditionInput(
            source=value.source, extract_options=dict(value.extract_options), strength=strength
        )
    return ConditionInput(value=value, strength=strength)


def _input_to_json(name: str, given: ConditionInput) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if given.source is None:
        table["value"] = _to_json(name, given.value)
    else:
        table["source"] = _to_json(name, given.source)
    if given.extract_options:
        table["extract_options"] = {key: _to_json(name, x) for key, x in given.extract_options.items()}
    if given.strength != 1:
        table["strength"] = given.strength
    return table


def _to_json(name: str, value: Any) -> Any:
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, Strokes):
        return dataclasses.asdict(value)
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return {ARRAY: base64.b64encode(buffer.getvalue()).decode("ascii")}
    try:
        json.dumps(value)
    except TypeError as error:
        raise BadInput(
            f"condition {name} is a {type(value).__name__} in memory, which a request in JSON cannot hold: give a file"
        ) from error
    return value


def _from_json(where: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or set(value) != {ARRAY}:
        return value
    try:
        return np.load(io.BytesIO(base64.b64decode(value[ARRAY], validate=True)), allow_pickle=False)
    except (ValueError, TypeError, EOFError) as error:
        raise BadInput(f"{where}.{ARRAY} must be a .npy file in base64: {error}") from error
