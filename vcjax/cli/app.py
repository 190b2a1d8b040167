"""The command line `vcjax`. Options for conditions come from the catalogue."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

import vcjax
from vcjax.cli import compose, data, evaluate, options, plan, terminal, weights
from vcjax.errors import BadInput

app = typer.Typer(
    help="VideoComposer in JAX: video synthesis by composition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; what a person got wrong becomes one sentence and exit code 2."""
    warnings.showwarning = terminal.show_warning
    try:
        app()
    except BadInput as error:
        terminal.show_error(error)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """VideoComposer in JAX: video synthesis by composition."""
    if version:
        print(f"vcjax {vcjax.__version__}")
        raise typer.Exit


def train(context: typer.Context) -> None:
    """Train: --config=FILE of configs/, and --config.KEY=VALUE for what is to be otherwise. Goes on where it stopped."""
    from vcjax.training.__main__ import main

    raise typer.Exit(main(context.args))


def _register(command: Callable[..., None], further: list[inspect.Parameter]) -> None:
    """Make a command of a function that takes these options as keywords beside its own parameters."""
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


_register(compose.generate, options.condition_options())
_register(compose.extract, options.beside_footage_options())
for command in (
    weights.convert,
    weights.pull,
    weights.export,
    data.prepare,
    data.inspect,
    evaluate.evaluate,
):
    app.command()(command)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False
)(train)
app.command(context_settings={"ignore_unknown_options": True})(plan.plan)
