"""What is checked of every HTTP request before it is read: host, origin, token, and the pace of its body."""

import asyncio
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vcjax.app.errors import Refused
from vcjax.app.limits import Limits

COOKIE = "vcjax_token"
LOCAL = ("localhost", "127.0.0.1", "[::1]")
SAFE = ("GET", "HEAD")
SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


class Guard:
    """ASGI middleware that refuses what does not come from the page or from a program that knows the token.

    Args:
        app: the application.
        hosts: names that the server may be called by in the Host header; any where empty.
        token: token that requests need; none where empty.
        limits: bounds.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], token: str, limits: Limits) -> None:
        self._app, self._hosts, self._token, self._limits = app, hosts, token, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_source(headers)
            given = _query_token(scope)
            if self._token and given is not None and self._matches(given):
                await self._enter(scope)(scope, receive, send)
                return
            self._check_token(headers)
        except Refused as error:
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, self._paced(receive), _with_headers(send))

    def _check_source(self, headers: Headers) -> None:
        """Raise Refused for another host (DNS rebinding) or another site's page (request forgery)."""
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self._hosts and name.lower() not in self._hosts:
            raise Refused(403, f"the host must be one of {', '.join(self._hosts)}, not {name[:80]!r}")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refused(
                403, f"requests of pages of {origin[:80]!r} are refused: open the page of this server"
            )
        if origin is None and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "requests of pages of another site are refused: open the page of this server")

    def _check_token(self, headers: Headers) -> None:
        if not self._token:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else _cookie(headers)
        if not self._matches(given):
            raise Refused(
                401,
                "the token is missing or wrong: open the address that the server printed, or send it as a Bearer",
            )

    def _matches(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _enter(self, scope: Scope) -> RedirectResponse:
        """Return a redirection that keeps the token in a cookie, and takes it out of the address."""
        response = RedirectResponse(scope["path"], status_code=303)
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
        return response

    def _paced(self, receive: Receive) -> Receive:
        """Return a `receive` that raises Refused for a body that stalls or takes too long."""
        limits, loop = self._limits, asyncio.get_running_loop()
        end = loop.time() + limits.body_seconds
        complete = False

        async def paced() -> Message:
            nonlocal complete
            if complete:  # what comes now is the end of the connection, which may take as long as it likes
                return await receive()
            try:
                message = await asyncio.wait_for(
                    receive(), min(limits.chunk_seconds, max(0.0, end - loop.time()))
                )
            except TimeoutError:
                raise Refused(408, "the body of the request came too slowly: send it again") from None
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return paced


def refusal(error: Exception, status: int = 400) -> JSONResponse:
    """Return the response for an error of a request."""
    status = error.status if isinstance(error, Refused) else status
    headers: Mapping[str, str] = {"connection": "close"} if status in (408, 413) else {}
    return JSONResponse({"error": str(error), "field": getattr(error, "field", None)}, status, headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in SECURITY_HEADERS.items() if name not in there]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending


def _query_token(scope: Scope) -> str | None:
    from urllib.parse import parse_qs

    values = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return values[0] if values and scope["method"] in SAFE else None


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
