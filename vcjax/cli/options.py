"""Options of the command line: those that commands share, and those that the catalogue of conditions makes."""

import inspect
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal

import typer

from vcjax.conditions.base import SourceVideo
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.diffusion.samplers import SAMPLERS
from vcjax.errors import BadInput, brief

_TINY = json.loads((resources.files("vcjax") / "builtin" / "tiny" / "config.json").read_text("utf-8"))


def model_default(*keys: str) -> str:
    """Return how help shows a default that is the model's, with the value of the built-in model."""
    return f"the model's; tiny: {'x'.join(str(_default(key)) for key in keys)}"


def _default(key: str) -> Any:
    table, name = key.split(".")
    value = _TINY[table][name]
    return f"{value:g}" if isinstance(value, float) else value


Model = Annotated[str, typer.Option(help="Built-in model (tiny) or path of a model folder.")]
Frames = Annotated[
    int | None, typer.Option(help="Number of frames.", show_default=model_default("clip.frames"))
]
Size = Annotated[
    str | None,
    typer.Option(
        help="HEIGHTxWIDTH of the video in pixels.", show_default=model_default("clip.height", "clip.width")
    ),
]
Steps = Annotated[
    int | None, typer.Option(help="Sampling steps.", show_default=model_default("defaults.steps"))
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance weight.", show_default=model_default("defaults.guidance"))
]
SamplerName = Annotated[
    str | None,
    typer.Option(help=f"Sampler: {', '.join(SAMPLERS)}.", show_default=model_default("defaults.sampler")),
]
NameList = list[str] | None  # of an option that takes names by comma, repeated, or both
Interval = Annotated[
    NameList,
    typer.Option(
        help="Noise levels sigma/alpha with guidance, as LOW,HIGH; at others the last branch alone is evaluated.",
        show_default="all",
    ),
]
Rescale = Annotated[
    float,
    typer.Option(help="Share, 0 to 1, of the prediction without the contrast that guidance adds."),
]
GuidanceEvery = Annotated[
    int,
    typer.Option(
        help="Steps of which one evaluates all branches of guidance, and the others the last alone."
    ),
]
ReuseEvery = Annotated[
    int,
    typer.Option(
        help="Steps of which one evaluates the whole UNet, and the others its outermost blocks alone."
    ),
]

LIST_HINT = "by comma or repeated"
CONDITION, CONDITION_FROM, EXTRACT_OPTION = "--condition", "--condition-from", "--extract-option"
GIVEN, NAMED = "NAME=VALUE", "NAME.OPTION=VALUE"


def condition_options() -> list[inspect.Parameter]:
    """Return an option for each way that a condition of the catalogue can be given, and those for any other one."""
    options = []
    for name, family in CATALOGUE.items():
        options.append(_option(name, _flag(name), f"{family.summary}: {family.accepts}."))
        if family.extractable:
            options.append(
                _option(
                    f"{name}_from",
                    f"{_flag(name)}-from",
                    f"Source video to extract the {name.replace('_', ' ')} from.",
                )
            )
    return [
        *options,
        *_extract_option_flags(),
        _option("condition", CONDITION, "A condition of the model by its name, such as a custom one.", GIVEN),
        _option("condition_from", CONDITION_FROM, "Source video to extract it from.", GIVEN),
        _option("extract_option", EXTRACT_OPTION, "An option of its extraction.", NAMED),
    ]


def extract_command_options() -> list[inspect.Parameter]:
    """Return an option for each condition that cannot be extracted, and for each further input of extraction."""
    finished = [
        _option(name, _flag(name), f"{family.summary}: {family.accepts}.")
        for name, family in CATALOGUE.items()
        if not family.extractable
    ]
    further = _option(
        "extract_option", EXTRACT_OPTION, "An option of the extraction of any condition.", NAMED
    )
    return [*finished, *_extract_option_flags(""), further]


def _extract_option_flags(prefix: str = "With {flag}-from: ") -> list[inspect.Parameter]:
    """Return an option for each further input of the catalogue's extractions."""
    return [
        _option(f"{name}_{option}", f"{_flag(name)}-{option}", f"{prefix.format(flag=_flag(name))}{summary}.")
        for name, family in CATALOGUE.items()
        for option, summary in family.extract_options.items()
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option(name: str, flag: str, text: str, form: str = "<str>") -> inspect.Parameter:
    # A list, so that an option that is given twice can be refused instead of the first one ignored.
    option = typer.Option(flag, help=text[0].upper() + text[1:], metavar=form, rich_help_panel="Conditions")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def condition_values(options: Mapping[str, list[str] | None]) -> dict[str, Any]:
    """Return the values of the condition options as the composer takes them.

    Raises:
        BadInput: a condition is given twice, or a further input of extraction without its source video.
    """
    finished = pairs(CONDITION, options["condition"])
    sources = pairs(CONDITION_FROM, options["condition_from"])
    for name in CATALOGUE:
        for flag, values, table in (
            (_flag(name), options[name], finished),
            (f"{_flag(name)}-from", options.get(f"{name}_from"), sources),
        ):
            if values:
                _add(table, name, single(flag, values), flag)
    further = extract_options(options)
    for name, inputs in further.items():
        if name not in sources:
            flag = f"{_flag(name)}-" if name in CATALOGUE else f"{EXTRACT_OPTION} {name}."
            needed = f"{_flag(name)}-from" if name in CATALOGUE else f"{CONDITION_FROM} {name}=FILE"
            raise BadInput(f"{flag}{next(iter(inputs))} needs {needed}")
    for name in finished.keys() & sources.keys():
        raise BadInput(f"{name} is given finished and as a source video: give one of them")
    videos = {name: SourceVideo(source, further.get(name, {})) for name, source in sources.items()}
    values = finished | videos
    order = dict.fromkeys([*CATALOGUE, *values])  # whatever the order of the options
    return {name: values[name] for name in order if name in values}


def extract_options(options: Mapping[str, list[str] | None]) -> dict[str, dict[str, Any]]:
    """Return the further inputs of extraction that are given, by condition.

    Raises:
        BadInput: one is given twice.
    """
    further: dict[str, dict[str, Any]] = {}
    for name, family in CATALOGUE.items():
        for key in family.extract_options:
            if values := options[f"{name}_{key}"]:
                further.setdefault(name, {})[key] = single(f"{_flag(name)}-{key}", values)
    for named, value in pairs(EXTRACT_OPTION, options["extract_option"], NAMED).items():
        name, dot, key = named.partition(".")
        if not (name and dot and key):
            raise BadInput(f"{EXTRACT_OPTION} must be {NAMED}, such as mask.hide=hide.png, not {named!r}")
        _add(further.setdefault(name, {}), key, _number(value), f"{EXTRACT_OPTION} {named}")
    return further


def finished_values(options: Mapping[str, list[str] | None]) -> dict[str, str]:
    """Return the finished conditions among the options of `extract_command_options`.

    Raises:
        BadInput: one is given twice.
    """
    return {name: single(_flag(name), values) for name in CATALOGUE if (values := options.get(name))}


def pairs(flag: str, values: list[str] | None, form: str = GIVEN) -> dict[str, str]:
    """Return the values of a repeated option of the form NAME=VALUE, by name."""
    table: dict[str, str] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise BadInput(f"{flag} must be {form}, not {text!r}")
        _add(table, name, value, f"{flag} {name}")
    return table


def _add(table: dict[str, Any], name: str, value: Any, flag: str) -> None:
    if name in table:
        raise BadInput(f"{flag} is given more than once: give it once")
    table[name] = value


def single(flag: str, values: list[str]) -> str:
    """Return the value of an option that is given once."""
    if len(values) > 1:
        raise BadInput(f"{flag} is given {len(values)} times: give it once")
    return values[0]


def _number(text: str) -> Any:
    """Return the number that a text is, or else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def mesh(devices: int | None) -> Any:
    """Return the mesh whose devices share the frames of one clip."""
    import jax

    from vcjax.parallel.mesh import MeshShape, make_mesh

    if devices is None:
        return None
    if not 1 <= devices <= len(jax.devices()):
        raise BadInput(
            f"--devices must be from 1 to {len(jax.devices())}, the devices of this machine, not {devices}"
        )
    return make_mesh(MeshShape(data=1, frames=devices), jax.devices()[:devices])


def names(values: NameList) -> list[str] | None:
    """Return the names of a list option: given by comma, repeated, or both; None where it is not given."""
    if not values:
        return None
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def number_list(flag: str, values: NameList, kind: type) -> list[Any] | None:
    """Return the numbers of a list option; None where it is not given."""
    words = names(values)
    if words is None:
        return None
    try:
        return [kind(word) for word in words]
    except ValueError as error:
        what = "integers" if kind is int else "numbers"
        raise BadInput(f"{flag} must be {what}, {LIST_HINT}, not {','.join(words)!r}") from error


def guidance_settings(interval: NameList, rescale: float, every: int, reuse_every: int) -> dict[str, Any]:
    """Return the settings of a request that differ from their defaults."""
    settings = {
        "guidance_interval": number_list("--guidance-interval", interval, float),
        "guidance_rescale": rescale or None,
        "guidance_every": every if every != 1 else None,
        "reuse_every": reuse_every if reuse_every != 1 else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def size(text: str | None, flag: str = "--size") -> tuple[int, int] | None:
    """Return height and width of HEIGHTxWIDTH."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if not found:
        raise BadInput(f"{flag} must be HEIGHTxWIDTH, such as 64x96, not {brief(text)}")
    return int(found[1]), int(found[2])


def frame_count(text: str | None) -> int | Literal["all"] | None:
    """Return a number of frames, or `all`."""
    if text is None:
        return None
    if text == "all":
        return "all"
    if not re.fullmatch(r"-?\d{1,12}", text):
        raise BadInput(f"--frames must be a number of frames or all, not {brief(text)}")
    return int(text)
