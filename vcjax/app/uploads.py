"""Files that clients sent: kept under the hash of their content, described once, named in requests as `upload:ID`."""

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from vcjax.app.decoding import Decoder
from vcjax.app.errors import Refused
from vcjax.app.inspection import SUFFIXES
from vcjax.app.limits import Limits
from vcjax.files import replacing

REFERENCE = "upload:"
HASH_DIGITS = 32
NAME_LENGTH = 200  # of the name that a file was sent under
IDENTIFIER = re.compile(rf"[0-9a-f]{{{HASH_DIGITS}}}\.[a-z0-9]{{1,11}}")


class Uploads:
    """Folder of uploaded files.

    Args:
        folder: the folder; it is created.
        limits: bounds.
        decoder: decoder of the files.
    """

    def __init__(self, folder: Path, limits: Limits, decoder: Decoder) -> None:
        self._folder, self._limits, self._decoder = folder, limits, decoder
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".*"):
            unfinished.unlink()

    def path(self, identifier: str) -> Path:
        """Return the path of a file.

        Raises:
            Refused: there is no such file.
        """
        path = self._folder / identifier
        if not IDENTIFIER.fullmatch(identifier) or not path.is_file():
            raise Refused(404, f"there is no upload {identifier[:80]!r}: send the file to /api/uploads")
        return path

    def reference(self, path: str) -> str | None:
        """Return the name in requests of a path that is a file of this folder; None for any other one."""
        name = Path(path).name
        ours = IDENTIFIER.fullmatch(name) and Path(path) == self._folder / name
        return REFERENCE + name if ours else None

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Store a file, and return its description with its `id`.

        Raises:
            Refused: the file is too large, of an unknown kind, or damaged.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in SUFFIXES:
            raise Refused(
                415, f"{name[:80]!r} is not a file of a known kind: give one of {' '.join(SUFFIXES)}"
            )
        self._check_room()
        unfinished = self._folder / f".{secrets.token_hex(16)}{suffix}"
        try:
            digest = await self._write(unfinished, name, body)
            path = self._folder / f"{digest}{suffix}"
            there = self._description(path).is_file()
            if (
                not there or self.describe(path.name)["name"] == path.name
            ):  # new, or made by the server without a name
                table = {
                    "name": Path(name).name[:NAME_LENGTH],
                    **await self._decoder.describe(unfinished, name),
                }
                unfinished.replace(path)
                with replacing(self._description(path)) as file:
                    file.write_text(json.dumps(table))
        finally:
            unfinished.unlink(missing_ok=True)
        return self.describe(path.name) | {"name": Path(name).name[:NAME_LENGTH]}

    def describe(self, identifier: str) -> dict[str, Any]:
        """Return the description of a file."""
        path = self.path(identifier)
        return {"id": identifier, **json.loads(self._description(path).read_text())}

    def named(self, message: str) -> str:
        """Return a message with the names that files were sent under, in place of their paths."""

        def name(found: re.Match[str]) -> str:
            return self.describe(found[1])["name"] if (self._folder / found[1]).is_file() else found[1]

        return re.sub(rf"{re.escape(str(self._folder))}/({IDENTIFIER.pattern})", name, message)

    def put(self, suffix: str, content: bytes, table: dict[str, Any]) -> Path:
        """Store a file that the server itself made, and return its path."""
        path = self._folder / f"{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}{suffix}"
        if not self._description(path).is_file():
            description = json.dumps({"name": path.name, **table}).encode()
            for target, data in ((path, content), (self._description(path), description)):
                with replacing(target) as file:
                    file.write_bytes(data)
        return path

    def delete_unused(self, used: set[str], keep_days: float | int) -> None:
        """Delete files that no request names and that are older than some days."""
        oldest = time.time() - keep_days * 24 * 3600
        for path in self._files():
            if path.name not in used and path.stat().st_mtime < oldest:
                path.unlink()
                self._description(path).unlink(missing_ok=True)

    def _description(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.info")

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if IDENTIFIER.fullmatch(path.name)]

    def _check_room(self) -> None:
        files = self._files()
        if (
            len(files) >= self._limits.uploads
            or sum(f.stat().st_size for f in files) >= self._limits.uploads_bytes
        ):
            raise Refused(
                507, "the server holds as many uploads as it keeps: delete results, or raise its limits"
            )

    async def _write(self, path: Path, name: str, body: AsyncIterator[bytes]) -> str:
        """Write a body to a file and return the hash of its content."""
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            async for chunk in body:
                size += len(chunk)
                if size > self._limits.upload_bytes:
                    raise too_large(name, self._limits)
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        if not size:
            raise Refused(400, f"{name} is empty: send the content of the file")
        return digest.hexdigest()[:HASH_DIGITS]


def too_large(name: str, limits: Limits) -> Refused:
    """Return the error of a file that is too large."""
    return Refused(413, f"{name[:80]} is larger than {limits.upload_bytes:,} bytes: give a smaller file")
