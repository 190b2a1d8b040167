"""Description of the HTTP interface in OpenAPI, made from its routes and from the types of a request."""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

import vcjax
from vcjax.app.jobs import Job
from vcjax.composer.request import Request

PRIMITIVES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
STATUS = {"POST": "200", "GET": "200", "DELETE": "204"}


def openapi(routes: list[tuple[str, str, Callable[..., Any]]]) -> dict[str, Any]:
    """Return the description of routes.

    Args:
        routes: method, path and handler of each; the docstring of the handler is its summary.
    """
    paths: dict[str, Any] = {}
    for method, path, handler in routes:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", path)
        ]
        operation: dict[str, Any] = {
            "operationId": handler.__name__,
            "summary": handler.__doc__,
            "parameters": parameters,
            "responses": {
                STATUS[method]: {"description": "done"},
                "default": {
                    "description": "what is wrong",
                    "content": _json({"$ref": "#/components/schemas/Error"}),
                },
            },
        }
        if path in ("/api/requests", "/api/previews") and method == "POST":
            body = {"type": "object", "required": ["request"], "properties": {"request": schema_of(Request)}}
            operation["requestBody"] = {"required": True, "content": _json(body)}
            operation["responses"]["202"] = {"description": "in the queue", "content": _json(schema_of(Job))}
            del operation["responses"]["200"]
        paths.setdefault(path, {})[method.lower()] = operation
    error = {
        "type": "object",
        "required": ["error", "field"],
        "properties": {"error": {"type": "string"}, "field": {"type": ["string", "null"]}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "vcjax", "version": vcjax.__version__},
        "paths": paths,
        "components": {"schemas": {"Error": error}},
    }


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a type of a request."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        properties = {f.name: schema_of(hints[f.name]) for f in dataclasses.fields(kind)}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    return {"type": PRIMITIVES[kind]} if kind in PRIMITIVES else {}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
