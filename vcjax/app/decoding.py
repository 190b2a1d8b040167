"""The server's side of `vcjax.app.inspection`: one process for each file, at most a few at once."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from vcjax.app.errors import Refused
from vcjax.app.limits import Limits

AT_ONCE = 2  # decoding processes
REFUSED = 2  # exit code of a process that found the file bad


class Decoder:
    """Decodes files in processes with bounded memory and time.

    Args:
        limits: bounds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def describe(self, path: Path, name: str) -> dict[str, Any]:
        """Return kind and size of a file; see `vcjax.app.inspection.describe`.

        Args:
            path: the file.
            name: its name in messages.

        Raises:
            Refused: the file cannot be read, or exceeds a limit.
        """
        bounds = {key: getattr(self._limits, key) for key in ("pixels", "frames", "seconds")}
        return json.loads(
            await self._run({"kind": "describe", "path": str(path), "limits": bounds}, path, name)
        )

    async def frames(self, path: Path, shape: dict[str, Any]) -> bytes:
        """Return a picture of the frames that conditions take from a file."""
        return await self._run({"kind": "frames", "path": str(path), "shape": shape}, path, path.name)

    async def record(self, path: Path, name: str) -> dict[str, Any]:
        """Return the request in a video that vcjax wrote."""
        return json.loads(await self._run({"kind": "record", "path": str(path)}, path, name))

    async def _run(self, task: dict[str, Any], path: Path, name: str) -> bytes:
        bounds = {"bytes": self._limits.inspection_bytes, "seconds": self._limits.inspection_seconds}
        async with self._turns:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vcjax.app.inspection",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=os.environ | {"JAX_PLATFORMS": "cpu"},
            )  # fmt: skip
            try:
                response, _ = await asyncio.wait_for(
                    process.communicate(json.dumps(task | {"bounds": bounds}).encode()), 2 * bounds["seconds"]
                )
            except TimeoutError:
                raise Refused(
                    400, f"{name} takes too long to decode: give a shorter or smaller file"
                ) from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == REFUSED:
            raise Refused(400, response.decode("utf-8", "replace").replace(path.name, name))
        if process.returncode:
            raise Refused(
                400,
                f"{name} cannot be decoded within the limits of memory and time: give a smaller or a whole file",
            )
        return response
