"""The command line that samples the same video as a request."""

import dataclasses
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vcjax.app.uploads import Uploads
from vcjax.composer.request import ConditionInput, Request
from vcjax.composer.strength import strength_of
from vcjax.conditions.base import Condition
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.conditions.preview import as_sentence

NUMBERS = ("guidance_rescale", "guidance_every", "reuse_every", "steps", "eta", "frames", "fps")
WORDS = ("model", "sampler", "spacing", "negative_text")
LISTS = ("guidance", "guidance_interval")


def command_line(request: Request, conditions: Mapping[str, Condition], uploads: Uploads) -> str:
    """Return `vcjax generate` with the options of a request, quoted for a shell.

    Drawings become files among the uploads.

    Args:
        request: the request, with paths.
        conditions: the model's conditions.
        uploads: where files are kept.
    """
    defaults = Request()
    options: list[str] = []
    for name, given in request.conditions.items():
        options += _condition(name, given, conditions[name], uploads)
    for key in (*WORDS, *NUMBERS, *LISTS):
        value = getattr(request, key)
        if value != getattr(defaults, key):
            options += [_flag(key), _list(value) if key in LISTS else str(value)]
    for key in ("positive", "negative"):
        names = getattr(request, key)
        if names is not None:
            options += [_flag(key), ",".join(names)]
    for names in request.branches or ():
        options += ["--branch", ",".join(names)]
    for key in ("loop", "composite"):
        options += [_flag(key)] if getattr(request, key) else []
    if request.size is not None:
        options += ["--size", "x".join(map(str, request.size))]
    if request.audio is not None:
        options += ["--audio-from", request.audio]
    options += _windows(request)
    for file, strength in (request.adapters or {}).items():
        options += ["--adapter", f"{file}={strength}"]
    options += ["--seed", ",".join(map(str, request.seeds))]
    return shlex.join(["vcjax", "generate", *options])


def _condition(name: str, given: ConditionInput, condition: Condition, uploads: Uploads) -> Iterator[str]:
    ours = name in CATALOGUE
    value = given.value if given.source is None else given.source
    suffix = "" if given.source is None else "-from"
    text = as_sentence(value) if "value" in condition.words else _file(value, uploads)
    yield from (_flag(name) + suffix, text) if ours else (f"--condition{suffix}", f"{name}={text}")
    for option, x in given.extract_options.items():
        x = x if option in condition.words else _file(x, uploads)
        yield from (
            (f"{_flag(name)}-{option}", str(x)) if ours else ("--extract-option", f"{name}.{option}={x}")
        )
    strength = strength_of(name, given.strength)
    if strength.value != 1:
        yield from ("--strength", f"{name}={strength.value}")
    if strength.frames is not None:
        points = ",".join(f"{frame}:{factor}" for frame, factor in strength.frames)
        yield from ("--strength-frames", f"{name}={points}")
    if strength.steps is not None:
        yield from ("--strength-steps", f"{name}={strength.steps[0]}:{strength.steps[1]}")
    if strength.area is not None:
        yield from ("--strength-area", f"{name}={_file(strength.area, uploads)}")


def _file(value: Any, uploads: Uploads) -> str:
    """Return a file that holds a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        table = {"kind": "array", "shape": list(value.shape), "dtype": str(value.dtype)}
        return str(uploads.put(".npy", buffer.getvalue(), table))
    return str(uploads.put(".json", json.dumps(value).encode(), {"kind": "drawing", "table": value}))


def _windows(request: Request) -> Iterator[str]:
    for field in dataclasses.fields(request.windows):
        value = getattr(request.windows, field.name)
        if value != field.default:
            yield f"--window-{field.name}"
            yield "x".join(map(str, value)) if field.name == "size" else str(value)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _list(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))
