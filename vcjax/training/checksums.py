"""Checksums of a checkpoint's files, written when it is complete and compared before it is restored."""

import hashlib
import json
from pathlib import Path

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.input_files import read_json

CHECKSUMS = "checksums.json"  # in the folder of a checkpoint: SHA-256 of each of its files
SMALL = 2**16  # bytes: metadata, which is read to list checkpoints


def write_checksums(folder: Path) -> None:
    """Write the checksums of a complete checkpoint."""
    table = {str(path.relative_to(folder)): _checksum(path) for path in _files(folder)}
    with replacing(folder / CHECKSUMS) as unfinished:
        unfinished.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def has_checksums(folder: Path) -> bool:
    """Return whether a checkpoint can be verified."""
    return (folder / CHECKSUMS).is_file()


def damage(folder: Path, *, small: bool = False) -> str | None:
    """Describe the first file of a checkpoint that differs from its checksum; None if all are as they were written.

    Args:
        folder: folder of a checkpoint with checksums.
        small: verify files of at most `SMALL` bytes only.
    """
    try:
        table = read_json(folder / CHECKSUMS)
    except BadInput as error:
        return str(error)
    if not isinstance(table, dict):
        return f"{folder / CHECKSUMS} is no table of checksums"
    for name, expected in table.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if small and path.stat().st_size > SMALL:
            continue
        if _checksum(path) != expected:
            return f"{path} is damaged: its checksum differs from {CHECKSUMS}"
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
