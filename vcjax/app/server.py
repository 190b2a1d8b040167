"""The HTTP interface: routes, and the server that serves them."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vcjax.app.bodies import parse_json, read_body, read_request
from vcjax.app.catalogue import catalogue
from vcjax.app.errors import Refused
from vcjax.app.guard import LOCAL, Guard, refusal
from vcjax.app.openapi import openapi
from vcjax.app.protocol import BoundedProtocol
from vcjax.app.references import field_of_error
from vcjax.app.studio import Studio
from vcjax.app.uploads import too_large
from vcjax.errors import BadInput

STATIC = Path(__file__).parent / "static"
SHUTDOWN_SECONDS = 2  # for open connections, such as those of events
CONNECTIONS = 500
FRAMES_IN_PICTURE = 1024  # of an uploaded video, for the page
DOWNLOADS = {"video.mp4": "video/mp4", "video.webp": "image/webp", "frames.png": "image/png"}
KEPT = {"cache-control": "private, max-age=31536000, immutable"}  # named by content or job, so never another
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
         ".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime"}  # fmt: skip


class Api:
    """Handlers of the routes.

    Args:
        studio: what is behind them.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    async def health(self, request: Request) -> Response:
        """State of server and workers."""
        return JSONResponse(self.studio.health())

    async def catalogue(self, request: Request) -> Response:
        """Models, their conditions and defaults, samplers, and limits."""
        return JSONResponse(catalogue(self.studio.composers, self.studio.limits))

    async def openapi(self, request: Request) -> Response:
        """Description of this interface in OpenAPI 3.1."""
        return JSONResponse(openapi(self.routes()))

    async def upload(self, request: Request) -> Response:
        """Store the body as a file, whose name is the query's `name`."""
        return JSONResponse(await self._receive(request), 201)

    async def _receive(self, request: Request) -> dict[str, Any]:
        name, length = request.query_params.get("name", ""), request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.studio.limits.upload_bytes:
            raise too_large(name, self.studio.limits)
        return await self.studio.uploads.receive(name, request.stream())

    async def upload_file(self, request: Request) -> Response:
        """Content of an upload."""
        path = self.studio.uploads.path(request.path_params["upload"])
        kind = TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=kind, headers=KEPT | {"content-security-policy": "sandbox"})

    async def upload_info(self, request: Request) -> Response:
        """Kind, size and duration of an upload."""
        return JSONResponse(self.studio.uploads.describe(request.path_params["upload"]))

    async def upload_frames(self, request: Request) -> Response:
        """Frames that conditions take from an upload, a cell of a PNG for each."""
        path = self.studio.uploads.path(request.path_params["upload"])
        shape = {key: _number(request, key, int, 1) for key in ("frames", "height", "width")}
        pixels = shape["frames"] * shape["height"] * shape["width"]
        if shape["frames"] > FRAMES_IN_PICTURE or pixels > self.studio.limits.request_pixels:
            raise Refused(400, f"the picture must have at most {FRAMES_IN_PICTURE} frames and "
                               f"{self.studio.limits.request_pixels:,} pixels: ask for fewer or smaller frames")  # fmt: skip
        picture = await self.studio.decoder.frames(
            path, shape | {"fps": _number(request, "fps", float, 1e-3)}
        )
        return Response(picture, media_type="image/png", headers=KEPT)

    async def submit(self, request: Request) -> Response:
        """Put a request into the queue: JSON, or a form whose part `request` is JSON and whose other parts are files."""
        return await self._submit(request, "generate")

    async def submit_preview(self, request: Request) -> Response:
        """Draw the conditions of a request as the model takes them; nothing is sampled."""
        return await self._submit(request, "preview")

    async def _submit(self, request: Request, kind: str) -> Response:
        table = await read_request(request, self.studio.uploads, self.studio.limits)
        job = self.studio.submit(table, kind, client_of(request))
        return JSONResponse(self.studio.state(job), 202, {"location": f"/api/requests/{job.id}"})

    async def jobs(self, request: Request) -> Response:
        """Videos, the newest first."""
        limit = _number(request, "limit", int, 1, "50")
        jobs = self.studio.jobs.generated(request.query_params.get("before"), min(limit, 500))
        return JSONResponse({"requests": [self.studio.state(job) for job in jobs]})

    async def job(self, request: Request) -> Response:
        """State of a request."""
        return JSONResponse(self.studio.state(self._job(request)))

    async def delete(self, request: Request) -> Response:
        """Delete a finished request and its video."""
        self.studio.delete(self._job(request))
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        """Stop a request, or take it from the queue."""
        job = self._job(request)
        self.studio.cancel(job)
        return JSONResponse(self.studio.state(job))

    async def job_file(self, request: Request) -> Response:
        """A result: `video.mp4`, `video.webp`, or `frames.png` with a cell for each frame."""
        job, name = self._job(request), request.path_params["file"]
        if name not in DOWNLOADS:
            raise Refused(404, f"a request has no {name[:40]!r}: it has {', '.join(DOWNLOADS)}")
        return FileResponse(self.studio.jobs.file(job, name), media_type=DOWNLOADS[name], headers=KEPT)

    async def condition(self, request: Request) -> Response:
        """Picture of a condition as the model takes it, with a cell for each frame."""
        job, name = self._job(request), request.path_params["name"]
        if name not in job.images:
            raise Refused(404, f"request {job.id} has no picture of {name[:40]!r}: it is {job.state}")
        path = self.studio.jobs.file(job, f"conditions/{name}.png")
        return FileResponse(path, media_type="image/png", headers=KEPT)

    async def job_request(self, request: Request) -> Response:
        """The request itself, as JSON to download."""
        job = self._job(request)
        name = f'attachment; filename="{job.id}.json"'
        return Response(
            json.dumps(job.request, indent=1), 200, {"content-disposition": name}, "application/json"
        )

    async def command(self, request: Request) -> Response:
        """The command line that samples the same video."""
        return PlainTextResponse(self.studio.command(self._job(request)) + "\n")

    async def replay(self, request: Request) -> Response:
        """The request in a video that vcjax wrote, or in a JSON file: the body, whose name is the query's `name`."""
        name = request.query_params.get("name", "")
        if Path(name).suffix.lower() == ".json":
            table = parse_json(await read_body(request, self.studio.limits.request_bytes))
        else:
            stored = await self._receive(request)
            path = self.studio.uploads.path(stored["id"])
            table = (await self.studio.decoder.record(path, name))["request"]
        if not isinstance(table, dict):
            raise Refused(400, f"{name[:80]} must hold a request, which is a table")
        table = table.get("request", table)
        restored, missing = self.studio.restored(table)
        return JSONResponse({"request": restored, "missing": missing})

    async def events(self, request: Request) -> Response:
        """Server-sent events `job`, `estimate`, `removed` and `health`; of one request where `request` names it."""
        only = request.query_params.get("request")
        active = [
            job for job in self.studio.jobs if job.state in ("queued", "running") and only in (None, job.id)
        ]
        first = [("job", job.id, self.studio.state(job, whole=False)) for job in active]
        first.append(("health", "", self.studio.health()))
        stream = self.studio.events.subscribe(first, only)
        await anext(stream)  # raises Refused before the response begins
        return StreamingResponse(stream, 200, {"cache-control": "no-store"}, "text/event-stream")

    def _job(self, request: Request) -> Any:
        return self.studio.jobs.get(request.path_params["job"])

    def routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        """Return method, path and handler of each route."""
        return [
            ("GET", "/api/health", self.health),
            ("GET", "/api/catalogue", self.catalogue),
            ("GET", "/api/openapi.json", self.openapi),
            ("POST", "/api/uploads", self.upload),
            ("GET", "/api/uploads/{upload}", self.upload_file),
            ("GET", "/api/uploads/{upload}/info", self.upload_info),
            ("GET", "/api/uploads/{upload}/frames.png", self.upload_frames),
            ("POST", "/api/requests", self.submit),
            ("POST", "/api/previews", self.submit_preview),
            ("GET", "/api/requests", self.jobs),
            ("GET", "/api/requests/{job}", self.job),
            ("DELETE", "/api/requests/{job}", self.delete),
            ("POST", "/api/requests/{job}/cancel", self.cancel),
            ("GET", "/api/requests/{job}/request.json", self.job_request),
            ("GET", "/api/requests/{job}/command.txt", self.command),
            ("GET", "/api/requests/{job}/conditions/{name}.png", self.condition),
            ("GET", "/api/requests/{job}/{file}", self.job_file),
            ("POST", "/api/replay", self.replay),
            ("GET", "/api/events", self.events),
        ]


def client_of(request: Request) -> str:
    """Return who sends a request: what it says in X-Vcjax-Client, or its address."""
    address = request.client.host if request.client else ""
    return f"{address} {request.headers.get('x-vcjax-client', '')[:64]}"


def make_app(studio: Studio, hosts: tuple[str, ...] = LOCAL, token: str = "") -> Starlette:
    """Return the ASGI application.

    Args:
        studio: what is behind it.
        hosts: see `Guard`, as the token.
        token: see `Guard`.
    """
    routes: list[Any] = [
        Route(path, handler, methods=[method]) for method, path, handler in Api(studio).routes()
    ]
    routes.append(Mount("/", StaticFiles(directory=STATIC, html=True)))

    async def bad_input(request: Request, error: Exception) -> Response:
        if isinstance(error, BadInput):
            error.field = field_of_error(error)
        return refusal(error)

    async def other(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        return refusal(
            ValueError(f"{request.method} {request.url.path[:80]}: {getattr(error, 'detail', 'failed')}"),
            status,
        )

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # to nobody

    handlers: Any = {BadInput: bad_input, HTTPException: other, ClientDisconnect: gone}
    guard = Middleware(Guard, hosts=hosts, token=token, limits=studio.limits)
    return Starlette(
        routes=routes, exception_handlers=handlers, middleware=[guard], lifespan=lambda app: studio.running()
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        BadInput: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"{host} port {port} cannot be used ({reason}): give another --host or --port"
        ) from error


def serve(app: Starlette, listening: socket.socket, limits: Any) -> None:
    """Serve until the process gets a signal to stop."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol.with_limit(limits.header_seconds),
        ws="none",
        loop="asyncio",  # uvloop forks to start processes, which JAX's threads do not survive
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        limit_concurrency=CONNECTIONS,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _number(request: Request, key: str, kind: type, least: float, default: str | None = None) -> Any:
    """Return a number of the query."""
    text = request.query_params.get(key, default)
    try:
        value = kind(text)
    except (TypeError, ValueError):
        value = None
    if value is None or not least <= value < float("inf"):
        raise Refused(400, f"{key} must be a number from {least:g} on, not {str(text)[:40]!r}")
    return value
