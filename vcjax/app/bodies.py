"""Reading the bodies of requests, within bounds."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from vcjax import input_files
from vcjax.app.errors import Refused
from vcjax.app.limits import Limits
from vcjax.app.uploads import REFERENCE, Uploads
from vcjax.errors import BadInput

PARTS = 32  # files of a form
CHUNK = 2**20
DRAINED = (
    16 * 2**20
)  # bytes that are read and dropped, so that the client can read why; with unread ones it sees a reset


async def read_body(request: Request, limit: int) -> bytes:
    """Return a body of at most `limit` bytes.

    Raises:
        Refused: it is larger.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + DRAINED:
            break
    if size > limit:
        raise Refused(
            413, f"the body must have at most {limit:,} bytes: send arrays as files to /api/uploads"
        )
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Return the value of a text in JSON.

    Raises:
        BadInput: it is no JSON, is nested too deeply, or has numbers that are not finite, which JSON cannot response with.
    """
    value = input_files.parse_json(body, "the body")
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise BadInput("the body must hold finite numbers") from error
    return value


async def read_request(request: Request, uploads: Uploads, limits: Limits) -> Any:
    """Return the request in a body, whose files, where it is a form, are stored and named `upload:ID`.

    Raises:
        Refused: the body is not what it says.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, uploads, limits)
    if kind != "application/json":
        raise Refused(415, f"content-type must be application/json or multipart/form-data, not {kind[:80]!r}")
    return _request_in(parse_json(await read_body(request, limits.request_bytes)))


async def _read_form(request: Request, uploads: Uploads, limits: Limits) -> Any:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Refused(411, "a form must say its content-length: send files to /api/uploads otherwise")
    if int(length) > limits.upload_bytes:
        raise Refused(
            413, f"a form must have at most {limits.upload_bytes:,} bytes: send large files to /api/uploads"
        )
    async with request.form(max_files=PARTS, max_fields=1, max_part_size=limits.request_bytes) as form:
        text = form.get("request")
        if not isinstance(text, str):
            raise Refused(400, "a form must have a part `request` in JSON")
        table = _request_in(parse_json(text.encode()))
        identifiers = {}
        for part, file in form.multi_items():
            if isinstance(file, UploadFile):
                stored = await uploads.receive(file.filename or part, _chunks(file))
                identifiers[REFERENCE + part] = REFERENCE + stored["id"]
    return _renamed(table, identifiers)


async def _chunks(file: UploadFile):
    while chunk := await file.read(CHUNK):
        yield chunk


def _request_in(table: Any) -> Any:
    if not isinstance(table, dict) or set(table) != {"request"}:
        raise Refused(400, 'the body must be a table with the key "request"')
    return table["request"]


def _renamed(value: Any, identifiers: Mapping[str, str]) -> Any:
    """Return a request with the parts of its form as uploads."""
    if isinstance(value, str):
        return identifiers.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(x, identifiers) for key, x in value.items()}
    return [_renamed(x, identifiers) for x in value] if isinstance(value, list) else value
