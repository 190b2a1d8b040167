"""The command `vcjax`. Options of conditions are made from the catalogue."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

import vcjax
from vcjax.cli import (
    composition,
    data,
    doctor,
    evaluate,
    extract,
    generate,
    info,
    options,
    page,
    plan,
    terminal,
    weights,
)
from vcjax.errors import BadInput

HELP_NAMES = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="VideoComposer in JAX and Flax: video synthesis by composition.",
    context_settings=HELP_NAMES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; bad input is reported in one sentence with exit code 2."""
    warnings.showwarning = terminal.show_warning
    terminal.end_on_sigterm()
    try:
        app(prog_name="vcjax")
    except BadInput as error:
        terminal.show_error(error)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """VideoComposer in JAX and Flax: video synthesis by composition."""
    if version:
        print(f"vcjax {vcjax.__version__}")
        raise typer.Exit


def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="--config=NAME", help="And --config.KEY=VALUE, --print-config."),
    ] = None,
) -> None:
    """Train a model, or resume a run: --config=NAME, --config.KEY=VALUE, --print-config."""
    from vcjax.training.__main__ import main

    raise typer.Exit(main(arguments or []))


def _register(command: Callable[..., None], further: list[inspect.Parameter]) -> None:
    """Register a function as a command that takes further options as keyword arguments."""
    own = [
        p.replace(kind=p.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        command(**values)

    del with_options.__wrapped__  # or its signature would be read
    with_options.__signature__ = inspect.Signature(further + own)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in further + own}
    app.command()(with_options)


_register(generate.generate, [*options.condition_options(), *composition.composition_options()])
_register(extract.extract, options.extract_command_options())
app.command(name="app")(page.page)
app.command()(info.info)
app.command()(doctor.doctor)
for command in (data.prepare, data.inspect):
    app.command()(command)
# Its options are read by the trainer, which a machine without typer has too.
app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)(train)
for command in (evaluate.evaluate, weights.export, weights.extend, weights.convert, weights.pull):
    app.command()(command)
app.command(context_settings={"ignore_unknown_options": True})(plan.plan)
