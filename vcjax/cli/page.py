"""`vcjax app`: the page on which people compose requests, and its server."""

import contextlib
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from vcjax.errors import BadInput
from vcjax.files import locked

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_BYTES = 16


def page(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Built-in model or path of a model folder; repeat it for others.", show_default="tiny"
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    folder: Annotated[Path, typer.Option(help="Folder of uploads, queue and results.")] = Path("outputs/app"),
    token: Annotated[
        str | None,
        typer.Option(
            help="Token that requests need.", show_default="none on this machine, else a random one"
        ),
    ] = None,
    keep_days: Annotated[float, typer.Option(help="Age in days at which results are deleted.")] = 30.0,
    keep_gigabytes: Annotated[
        float, typer.Option(help="Size above which the oldest results are deleted.")
    ] = 20.0,
    browser: Annotated[
        bool, typer.Option(help="Open the page in a browser, where this is a terminal.")
    ] = True,
) -> None:
    """Open a page to compose on: draw motion, paint masks, drop pictures and videos, and sample.

    The server keeps its queue and its results when it is stopped. Stop it with Ctrl+C.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise BadInput(f"vcjax app needs {error.name}: install it with pip install 'vcjax[app]'") from error
    import jax

    import vcjax
    from vcjax.app.guard import LOCAL
    from vcjax.app.limits import GIGABYTE, Limits
    from vcjax.app.server import bind, make_app, serve
    from vcjax.app.studio import Studio

    if keep_days <= 0 or keep_gigabytes <= 0:
        raise BadInput("--keep-days and --keep-gigabytes must be above 0")
    jax.config.update("jax_platforms", "cpu")  # the devices belong to the workers
    limits = Limits(keep_days=keep_days, keep_bytes=int(keep_gigabytes * GIGABYTE))
    composers = {name: vcjax.load(name) for name in model or ["tiny"]}
    local = host in LOOPBACK
    token = token if token is not None else "" if local else secrets.token_urlsafe(TOKEN_BYTES)
    if not (local or token):
        raise BadInput(f"--token must not be empty where others can reach the server, at {host}")
    listening = bind(host, port)
    with locked(_folder(folder), "server"):
        studio = Studio(composers, folder.absolute(), limits)
        app = make_app(studio, LOCAL if local else (), token)
        secret = f"?token={token}" if token else ""
        address = f"http://{_written(host)}:{listening.getsockname()[1]}/{secret}"
        print(f"the page is at {address}", flush=True)
        if browser and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):  # the way to stop it
            serve(app, listening, limits)


def _folder(folder: Path) -> Path:
    """Return a folder that exists and that others cannot read.

    Raises:
        BadInput: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "uploads").mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--folder {folder} cannot be used ({error.strerror}): give a folder that can be written"
        ) from error
    return folder.absolute()


def _written(host: str) -> str:
    """Return a host as it is written in an address."""
    return f"[{host}]" if ":" in host else host
