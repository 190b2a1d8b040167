"""From shell to file: seconds of one generated clip, cold cache and warm, beside `import jax` alone (medians of 5).

Command: python -m benchmarks.startup
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
GENERATE = ["-m", "vcjax.cli", "generate", "--text", "a red circle moves right", "--seed", "7"]


def seconds(arguments: list[str], cache: Path) -> float:
    started = time.monotonic()
    environment = os.environ | {"VCJAX_CACHE": str(cache)}
    subprocess.run([sys.executable, *arguments], check=True, env=environment, capture_output=True)
    return time.monotonic() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache, out = Path(folder) / "cache", str(Path(folder) / "out.mp4")
        rows: dict[str, list[float]] = {
            "import jax": [],
            "generate, cold cache": [],
            "generate, warm cache": [],
        }
        for _ in range(RUNS):  # interleaved, so that a noisy minute falls on all rows
            shutil.rmtree(cache, ignore_errors=True)
            rows["import jax"].append(seconds(["-c", "import jax"], cache))
            rows["generate, cold cache"].append(seconds([*GENERATE, "--out", out], cache))
            rows["generate, warm cache"].append(seconds([*GENERATE, "--out", out], cache))
    base = statistics.median(rows["import jax"])
    print(f"| what | median seconds of {RUNS} | least | most | x import jax |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in rows.items():
        median = statistics.median(times)
        print(f"| {name} | {median:.1f} | {min(times):.1f} | {max(times):.1f} | {median / base:.1f} |")


if __name__ == "__main__":
    main()
