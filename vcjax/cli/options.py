"""Options of the command line: those that commands share, and those that the catalogue of conditions makes."""

import inspect
from typing import Annotated, Any

import typer

from vcjax.conditions.base import Footage
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.errors import BadInput

Model = Annotated[str, typer.Option(help="A built-in model (tiny), or the path of a model folder.")]
Seed = Annotated[int, typer.Option(help="Of the first noise and of everything drawn at random.")]
Frames = Annotated[int | None, typer.Option(help="Number of frames. (default: the model's)")]
Size = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH in pixels. (default: the model's)")]


def condition_options() -> list[inspect.Parameter]:
    """One option for each way that the catalogue can be handed a condition."""
    options = []
    for name, family in CATALOGUE.items():
        options.append(_option(name, _flag(name), f"{family.summary}: {family.accepts}."))
        if family.extractable:
            options.append(_option(f"{name}_from", f"{_flag(name)}-from", f"Footage to extract {name} from."))
    return options + _aid_options()


def beside_footage_options() -> list[inspect.Parameter]:
    """One option for each condition that cannot be extracted, and for each further input of those that can."""
    finished = [
        _option(name, _flag(name), f"{family.summary}: {family.accepts}.")
        for name, family in CATALOGUE.items()
        if not family.extractable
    ]
    return finished + _aid_options()


def _aid_options() -> list[inspect.Parameter]:
    """One option for each further input of the catalogue's extractions."""
    return [
        _option(f"{name}_{aid}", f"{_flag(name)}-{aid}", f"For {name} from footage: {summary}.")
        for name, family in CATALOGUE.items()
        for aid, summary in family.aids.items()
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def aids(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The further inputs that are given for a condition."""
    family = CATALOGUE.get(name)
    named = {} if family is None else {aid: options[f"{name}_{aid}"] for aid in family.aids}
    return {aid: value for aid, value in named.items() if value is not None}


def _option(name: str, flag: str, text: str) -> inspect.Parameter:
    option = typer.Option(flag, help=text[0].upper() + text[1:], rich_help_panel="Conditions")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Values of the conditions' options, as the composer takes them."""
    values: dict[str, Any] = {}
    for name in CATALOGUE:
        finished, footage = options[name], options.get(f"{name}_from")
        further, flag = aids(name, options), _flag(name)
        if finished is not None and footage is not None:
            raise BadInput(f"{flag} and {flag}-from exclude one another: give one of them")
        if further and footage is None:
            raise BadInput(f"{flag}-{next(iter(further))} needs {flag}-from")
        if footage is not None:
            values[name] = Footage(footage, further)
        elif finished is not None:
            values[name] = finished
    return values


def mesh(devices: int | None) -> Any:
    """The mesh whose devices share the frames of one clip."""
    import jax

    from vcjax.parallel.mesh import MeshShape, make_mesh

    if devices is None:
        return None
    return make_mesh(MeshShape(data=1, frames=devices), jax.devices()[: max(devices, 1)])


def names(text: str | None) -> list[str] | None:
    """Words by comma."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def strengths(pairs: list[str] | None) -> dict[str, float]:
    """NAME=NUMBER, each a factor for a condition."""
    factors = {}
    for pair in pairs or ():
        name, _, number = pair.partition("=")
        try:
            factors[name] = float(number)
        except ValueError as error:
            raise BadInput(f"--strength must be NAME=NUMBER, such as depth=0.5, not {pair!r}") from error
    return factors


def size(text: str | None) -> tuple[int, int] | None:
    """HEIGHTxWIDTH."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise BadInput(f"--size must be HEIGHTxWIDTH, such as 64x96, not {text!r}")
    return int(height), int(width)
