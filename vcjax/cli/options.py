"""Options of the command line: those that commands share, and those that the catalogue of conditions makes."""

import inspect
import json
from importlib import resources
from typing import Annotated, Any

import typer

from vcjax.conditions.base import SourceVideo
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.errors import BadInput

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
NameList = list[str] | None  # of an option that takes names by comma, repeated, or both

LIST_HINT = "by comma or repeated"


def condition_options() -> list[inspect.Parameter]:
    """Return an option for each way that a condition of the catalogue can be given."""
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
    return options + _extract_option_flags()


def extract_command_options() -> list[inspect.Parameter]:
    """Return an option for each condition that cannot be extracted, and for each further input of extraction."""
    finished = [
        _option(name, _flag(name), f"{family.summary}: {family.accepts}.")
        for name, family in CATALOGUE.items()
        if not family.extractable
    ]
    return finished + _extract_option_flags("")


def _extract_option_flags(prefix: str = "With {flag}-from: ") -> list[inspect.Parameter]:
    """Return an option for each further input of the catalogue's extractions."""
    return [
        _option(f"{name}_{option}", f"{_flag(name)}-{option}", f"{prefix.format(flag=_flag(name))}{summary}.")
        for name, family in CATALOGUE.items()
        for option, summary in family.extract_options.items()
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def extract_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the further inputs of extraction that are given for a condition."""
    family = CATALOGUE.get(name)
    named = {} if family is None else {key: options[f"{name}_{key}"] for key in family.extract_options}
    return {key: value for key, value in named.items() if value is not None}


def _option(name: str, flag: str, text: str) -> inspect.Parameter:
    # A list, so that an option that is given twice can be refused instead of the first one ignored.
    option = typer.Option(
        flag, help=text[0].upper() + text[1:], metavar="<str>", rich_help_panel="Conditions"
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def once(options: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the options of conditions, each of which may be given once."""
    for name, values in options.items():
        if values is not None and len(values) > 1:
            raise BadInput(f"{_flag(name)} is given {len(values)} times: give it once")
    return {name: values[0] if values else None for name, values in options.items()}


def condition_values(options: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the condition options as the composer takes them."""
    values: dict[str, Any] = {}
    options = once(options)
    for name in CATALOGUE:
        finished, source = options[name], options.get(f"{name}_from")
        further, flag = extract_options(name, options), _flag(name)
        if finished is not None and source is not None:
            raise BadInput(f"{flag} and {flag}-from exclude one another: give one of them")
        if further and source is None:
            raise BadInput(f"{flag}-{next(iter(further))} needs {flag}-from")
        if source is not None:
            values[name] = SourceVideo(source, further)
        elif finished is not None:
            values[name] = finished
    return values


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


def strengths(values: NameList) -> dict[str, float]:
    """Return the strengths of a list option of NAME=NUMBER."""
    factors = {}
    for pair in names(values) or ():
        name, _, number = pair.partition("=")
        try:
            factors[name] = float(number)
        except ValueError as error:
            raise BadInput(f"--strength must be NAME=NUMBER, such as depth=0.5, not {pair!r}") from error
    return factors


def size(text: str | None) -> tuple[int, int] | None:
    """Return height and width of HEIGHTxWIDTH."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise BadInput(f"--size must be HEIGHTxWIDTH, such as 64x96, not {text!r}")
    return int(height), int(width)
