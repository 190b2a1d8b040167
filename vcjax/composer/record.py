"""Records of generations: the request, model and versions that a video was made with, stored in the video file."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

import vcjax
from vcjax.composer.loading import fingerprint
from vcjax.composer.request import Request
from vcjax.composer.strength import Strength
from vcjax.conditions.keyframes import Keyframe, Keyframes
from vcjax.errors import BadInput
from vcjax.input_files import parse_json
from vcjax.video.clip import Clip

FORMAT = 1  # of records
ENVIRONMENT = ("vcjax", "jax", "backend", "device")  # keys that may change a result in its last bits


def generation_record(request: Request) -> dict[str, Any]:
    """Return the record of a request, in JSON's types.

    Args:
        request: complete request (see `vcjax.composer.completion.complete_request`) of one seed.

    Raises:
        BadInput: the request holds an object in memory, or one of its files cannot be read.
    """
    device = jax.devices()[0]
    return {
        "format": FORMAT,
        "request": request.to_json(),
        "model": fingerprint(request.model),
        "files": {name: _checksum(Path(name)) for name in sorted(_files(request))},
        "vcjax": vcjax.__version__,
        "jax": jax.__version__,
        "backend": device.platform,
        "device": device.device_kind,
    }


def save_with_record(clip: Clip, path: Path, record: dict[str, Any]) -> None:
    """Write a clip with its record; see `read_record`."""
    clip.save(path, json.dumps(record))


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a video file.

    Raises:
        BadInput: the file cannot be read, or holds no record that this version reads.
    """
    from vcjax.video.write import read_comment

    comment = read_comment(path)
    try:
        record = parse_json(comment, "the comment")
    except BadInput:
        record = None
    if not isinstance(record, dict) or "request" not in record:
        raise BadInput(f"{path} holds no request: it was not written by vcjax generate")
    if record.get("format") != FORMAT:
        raise BadInput(
            f"{path} holds a request of format {record.get('format')!r}, but this version of vcjax reads format {FORMAT}"
        )
    return record


def same_result(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Return whether two records have the same request, model and files."""
    return all(first.get(key) == second.get(key) for key in ("request", "model", "files"))


def differences(before: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return what differs between the record of a video and that of its replay: inputs, and environment.

    Returns:
        A sentence part for each difference of model and files, with which the result is another; and for each of
        versions and device, with which it may differ slightly.
    """
    inputs = []
    if before.get("model") != now["model"]:
        names = [str(each.get("name")) for each in (before.get("model") or {}, now["model"])]
        sums = [str(each.get("sha256"))[:12] for each in (before.get("model") or {}, now["model"])]
        inputs.append(f"model {names[0]} ({sums[0]}) is now {names[1]} ({sums[1]})")
    files = before.get("files") or {}
    for name, sha in files.items():
        if name not in now["files"]:
            inputs.append(f"file {name} is missing")
        elif now["files"][name] != sha:
            inputs.append(f"file {name} has changed")
    environment = [
        f"{key} {before.get(key)} is now {now[key]}" for key in ENVIRONMENT if before.get(key) != now[key]
    ]
    return inputs, environment


def _files(request: Request) -> Iterator[str]:
    """Yield the files that a request names."""
    values = [request.audio, *(request.adapters or ())]
    for given in request.conditions.values():
        values += [given.value, given.source, *given.extract_options.values()]
        if isinstance(given.strength, Strength):
            values.append(given.strength.area)
    for value in _nested(values):
        if isinstance(value, str | Path):
            yield from _existing(str(value))


def _nested(value: Any) -> Iterator[Any]:
    """Yield the values in tables and lists."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Keyframes | Keyframe):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _nested(each)
    else:
        yield value


def _existing(name: str) -> Iterator[str]:
    """Yield a file, or the images of a sequence; nothing where a text is neither."""
    from vcjax.video.sequence import sequence_files

    if _is_file(name):
        yield name
    elif "/" in name or "%" in name:
        try:
            yield from map(str, sequence_files(Path(name)) or ())
        except BadInput:  # no images there: a text with a percent sign
            return


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a text that no path can be
        return False


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
