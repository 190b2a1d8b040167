"""Results of a benchmark of several parts, and what measures them."""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

REPEATS = 5


class Results:
    """Results of the parts, written after each of them.

    Args:
        folder: folder of `device.json` and `device.md`.
    """

    def __init__(self, folder: Path):
        self._folder, self.parts = folder, {}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, part: Callable[[], dict[str, Any]]) -> None:
        """Run a part and write all results so far."""
        began = time.perf_counter()
        try:
            result = part()
        except Exception as error:  # the other parts are worth having; the reason is reported
            traceback.print_exc()
            result = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        self.parts[name] = {**result, "seconds of this part": round(time.perf_counter() - began, 1)}
        print(f"{name}: {json.dumps(self.parts[name])}", flush=True)
        (self._folder / "device.json").write_text(json.dumps(self.parts, indent=1) + "\n")
        rows = [f"| {n} | {k} | {v} |" for n, part in self.parts.items() for k, v in part.items()]
        (self._folder / "device.md").write_text(
            "\n".join(["| part | what | value |", "| --- | --- | --- |", *rows]) + "\n"
        )

    @property
    def failed(self) -> bool:
        """Whether a part failed."""
        return any("failed" in part for part in self.parts.values())


def milliseconds(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the shortest time of a call after a first one, which compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def peak_memory() -> float | str:
    """Return the largest device memory in use so far, in GB, where the backend counts it."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return "not counted on this backend" if peak is None else round(peak / 1e9, 2)
