"""The command line."""

from vcjax.cli.app import app, main

__all__ = ["app", "main"]
