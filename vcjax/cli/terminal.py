"""What the command line shows on standard error: progress, warnings, errors."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vcjax.errors import VcjaxWarning
from vcjax.progress import Tell

console = Console(stderr=True)


def show_error(error: object) -> None:
    """One sentence."""
    console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)


def show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """In the place of `warnings.showwarning`: ours are one sentence, those of others as they are."""
    if issubclass(category, VcjaxWarning):
        console.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True)
    else:
        sys.stderr.write(warnings.formatwarning(str(message), category, filename, lineno))


@contextlib.contextmanager
def progress_bar(count: ProgressColumn | None = None, unit: str = "") -> Iterator[Tell]:
    """A progress bar with the time left, told of stages and steps, which `count` shows, and what they are steps of.

    Nothing is shown where standard error is no terminal.
    """
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        count or MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    words = {"compiling": "compiling, or loading what was compiled"}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)
        current = ""

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal current
            if stage != current and done < total:  # the time left is that of a stage, from where it begins
                bar.reset(task, completed=done)
                current = stage
            bar.update(task, description=words.get(stage, stage), completed=done, total=total)

        yield tell
