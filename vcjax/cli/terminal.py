"""Warnings and errors of the command line, on standard error."""

import signal
import sys
import warnings
from typing import Any

from rich.console import Console
from rich.markup import escape

from vcjax.errors import VcjaxWarning
from vcjax.parallel.compilation import cache_folder

console = Console(stderr=True)
CACHE_DAMAGE = "persistent compilation cache entry"  # in JAX's warnings that it can read or write none
_shown: set[str] = set()


def end_on_sigterm() -> None:
    """Let SIGTERM end the command as an exception does, so that unfinished files are deleted; the exit code is 143."""

    def end(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # while files are deleted
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def show_error(error: object) -> None:
    """Print an error as one sentence."""
    console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)


def show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """Print a warning, in place of `warnings.showwarning`: vcjax's own as one sentence, others as they are."""
    if CACHE_DAMAGE in str(message):  # one for each program that is compiled again
        if not _shown:
            _shown.add(CACHE_DAMAGE)
            console.print(
                "[yellow]warning:[/] the compilation cache is damaged, so that programs are compiled again: "
                f"delete {escape(str(cache_folder()))}",
                soft_wrap=True,
            )
    elif issubclass(category, VcjaxWarning):
        console.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True)
    else:
        sys.stderr.write(warnings.formatwarning(str(message), category, filename, lineno))
