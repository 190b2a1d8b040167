"""Warnings and errors of the command line, on standard error."""

import sys
import warnings
from typing import Any

from rich.console import Console
from rich.markup import escape

from vcjax.errors import VcjaxWarning

console = Console(stderr=True)


def show_error(error: object) -> None:
    """Print an error as one sentence."""
    console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)


def show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """Print a warning, in place of `warnings.showwarning`: vcjax's own as one sentence, others as they are."""
    if issubclass(category, VcjaxWarning):
        console.print(f"[yellow]warning:[/] {escape(str(message))}", soft_wrap=True)
    else:
        sys.stderr.write(warnings.formatwarning(str(message), category, filename, lineno))
