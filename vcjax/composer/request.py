"""`Request`: everything that determines a generated video, as a value that can be written as JSON and read back."""

import base64
import dataclasses
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np

from vcjax.composer.strength import Strength, strength_of
from vcjax.composer.tiling import WindowSettings
from vcjax.conditions.base import SourceVideo
from vcjax.conditions.keyframes import Keyframe, Keyframes
from vcjax.conditions.strokes import Strokes
from vcjax.errors import BadInput
from vcjax.input_files import array_from_bytes
from vcjax.settings import finite, integer, typed

ARRAY = "npy"  # key of an array in JSON: the bytes of a .npy file in base64
Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionInput:
    """A condition of a request: a finished one, or a source video that it is extracted from.

    Attributes:
        value: finished condition, see `Condition.accepts`; None where it is extracted.
        source: source video, a path or a clip in memory; None where it is finished.
        extract_options: further arguments of the extraction.
        strength: a number, or what it is a product of.
    """

    value: Any = None
    source: Any = None
    extract_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    strength: float | Strength = 1.0

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
        frames: number of frames; `all` is as many as the first source video has at the frame rate.
        size: height and width in pixels.
        fps: frame rate, of the video and of the frames that are taken from source videos.
        windows: windows of clips that are longer or larger than those of training.
        loop: whether the first frame follows the last one.
        composite: whether what the mask condition shows is copied to the video, pixel by pixel.
        audio: file whose sound the video gets.
        adapters: strengths of adapters of the UNet (LoRA), by their files; see `vcjax.weights.adapters`.
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
    frames: int | Literal["all"] | None = None
    size: tuple[int, ...] | None = None
    fps: float | None = None
    windows: WindowSettings = dataclasses.field(default_factory=WindowSettings)
    loop: bool = False
    composite: bool = False
    audio: str | None = None
    adapters: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the request in JSON's types; keys that are None are left out.

        Raises:
            BadInput: a condition is an object in memory that JSON cannot hold, such as a clip.
        """
        table = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        table["conditions"] = {name: _input_to_json(name, x) for name, x in self.conditions.items()}
        windows = dataclasses.asdict(self.windows)
        table["windows"] = {key: value for key, value in windows.items() if value is not None}
        return json.loads(json.dumps({key: value for key, value in table.items() if value is not None}))

    @classmethod
    def from_json(cls, table: Any) -> "Request":
        """Return the request that `to_json` gave.

        Raises:
            BadInput: an unknown key, or a value of the wrong type; the message names the key.
        """
        request: Request = typed(cls, table, "request")
        conditions = {
            name: _input_from_json(f"request.conditions.{name}", given)
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
    strength: Mapping[str, float | int | Strength | Mapping[str, Any]] | None = None,
    sampler: str | None = None,
    spacing: str | None = None,
    steps: int | None = None,
    eta: float | int = 0.0,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    frames: int | Literal["all"] | None = None,
    size: Sequence[int] | None = None,
    fps: float | int | None = None,
    windows: WindowSettings | Mapping[str, Any] | None = None,
    loop: bool = False,
    composite: bool = False,
    audio: str | None = None,
    adapters: Mapping[str, float | int] | None = None,
    **conditions: Any,
) -> Request:
    """Return a request from the arguments of a call.

    Args:
        model: see `Request`, as the arguments that are not described here.
        guidance: guidance weight, or the weights of a chain.
        strength: strength of conditions, by name: numbers, `Strength`, or tables of its attributes; the default is 1.
        seed: seed of the initial noise, and of randomly drawn conditions.
        seeds: seeds of several videos; excludes seed.
        windows: `WindowSettings`, or a table of its attributes.
        **conditions: conditions by name: a finished condition (see `Condition.accepts`) or
            `vcjax.extract(source_video)`; None is no condition.

    Raises:
        BadInput: arguments exclude each other, or name a condition that the call does not pass.
    """
    arguments = locals()
    numbers = {name: arguments[name] for name in NUMBERS if arguments[name] is not None}
    return Request(
        **{name: arguments[name] for name in UNCHANGED},
        **{name: NUMBERS[name](name, value) for name, value in numbers.items()},
        conditions=_inputs(conditions, strength or {}),
        positive=_names("positive", positive),
        negative=_names("negative", negative),
        branches=None if branches is None else tuple(_names("branches", names) or () for names in branches),
        guidance=_floats("guidance", guidance),
        guidance_interval=_floats("guidance_interval", guidance_interval),
        seeds=_seeds(seed, seeds),
        size=None if size is None else check_size(size),
        windows=_windows(windows),
        adapters=adapters
        and {str(file): finite(f"the strength of {file}", x) for file, x in adapters.items()},
    )


UNCHANGED = ("model", "negative_text", "sampler", "spacing", "frames", "loop", "composite", "audio")
NUMBERS: dict[str, Callable[[str, Any], Any]] = {
    "guidance_rescale": finite,
    "guidance_every": integer,
    "reuse_every": integer,
    "steps": integer,
    "eta": finite,
    "fps": finite,
}


def _floats(key: str, values: Any) -> tuple[float, ...] | None:
    """Return a number or numbers as a tuple."""
    if values is None:
        return None
    return tuple(finite(key, value) for value in (values if isinstance(values, Sequence) else (values,)))


def _seeds(seed: int, seeds: Sequence[int] | None) -> tuple[int, ...]:
    if seeds is not None and seed:
        raise BadInput("seed and seeds exclude each other: give one of them")
    return (seed,) if seeds is None else tuple(seeds)


def _windows(windows: WindowSettings | Mapping[str, Any] | None) -> WindowSettings:
    return windows if isinstance(windows, WindowSettings) else typed(WindowSettings, windows or {}, "windows")


def _names(key: str, names: Collection[str] | None) -> Names | None:
    if isinstance(names, str):
        raise BadInput(f"{key} must be a list of names, such as [{names!r}], not {names!r}")
    return None if names is None else tuple(names)


def check_size(size: Any) -> tuple[int, int]:
    """Return height and width, or raise BadInput."""
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise BadInput(f"size must be height and width, such as (64, 96), not {size!r}")
    return integer("height", size[0]), integer("width", size[1])


def _inputs(conditions: Mapping[str, Any], strengths: Mapping[str, Any]) -> dict[str, ConditionInput]:
    """Return the conditions of a call; those that are None are left out."""
    given = {name: value for name, value in conditions.items() if value is not None}
    for name in strengths:
        if name not in given:
            raise BadInput(f"strength names condition {name!r}, but the request has no such condition")
    return {name: _input(value, _strength(name, strengths.get(name, 1.0))) for name, value in given.items()}


def _strength(name: str, given: Any) -> float | Strength:
    strength = strength_of(name, given)
    number = strength.to_json()
    return number if isinstance(number, float) else strength


def _input(value: Any, strength: float | Strength) -> ConditionInput:
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
    if isinstance(given.strength, Strength):
        parts = given.strength.to_json()
        if given.strength.area is not None:
            parts["area"] = _to_json(name, given.strength.area)
        table["strength"] = parts
    elif given.strength != 1:
        table["strength"] = given.strength
    return table


def _input_from_json(where: str, given: ConditionInput) -> ConditionInput:
    strength = given.strength
    if isinstance(strength, Strength):
        strength = dataclasses.replace(strength, area=_from_json(f"{where}.strength.area", strength.area))
    return dataclasses.replace(given, value=_from_json(f"{where}.value", given.value), strength=strength)


def _to_json(name: str, value: Any) -> Any:
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, Strokes):
        return dataclasses.asdict(value)
    if isinstance(value, Keyframes | Keyframe):
        parts = {f.name: _to_json(name, getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {key: x for key, x in parts.items() if x is not None}
    if isinstance(value, list | tuple):
        return [_to_json(name, each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _to_json(name, x) for key, x in value.items()}
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
        data = base64.b64decode(value[ARRAY], validate=True)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where}.{ARRAY} must be a .npy file in base64: {error}") from error
    return array_from_bytes(data, f"{where}.{ARRAY}")
