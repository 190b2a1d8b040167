"""How long it takes to start: from shell to file for tiny, and until the full-size sampler is ready for its first step.

    python -m benchmarks.startup                  # tiny: one clip, beside `import jax` alone
    python -m benchmarks.startup --sizes full     # the sampler of the released size: 6 GB, minutes

Each is started with an empty cache of compiled programs, with that cache filled, and with its programs stored
(`--programs`); every start is a process of its own. Tiny's weights all lie on disk, as a trained model's do. Of the full
size, the time is that from the networks' sizes and their parameters to the answer of the sampler's program whose rows are
all inactive: tracing, compiling or loading, and no step.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RUNS = {"tiny": 5, "full": 3}
GENERATE = ["-m", "vcjax.cli", "generate", "--text", "a red circle moves right", "--seed", "7", "--model"]
STARTS = ("cold cache", "warm cache", "stored programs")


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=tuple(RUNS), default=["tiny"])
    parser.add_argument("--ready", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ready is not None:
        print(ready(Path(options.ready) if options.ready else None))
        return
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            table(size, measured({"tiny": generated, "full": made_ready}[size], RUNS[size], Path(folder)))


def measured(start: Callable[[Path, Path | None], float], runs: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each kind of start, interleaved, so that a noisy minute falls on all of them."""
    cache, programs = folder / "cache", folder / "programs"
    write_tiny(folder / "tiny")
    rows: dict[str, list[float]] = {"import jax": [], **{name: [] for name in STARTS}}
    for _ in range(runs):
        shutil.rmtree(cache, ignore_errors=True)
        rows["import jax"].append(seconds(["-c", "import jax"], cache)[0])
        rows["cold cache"].append(start(cache, None))
        rows["warm cache"].append(start(cache, None))
        if not programs.exists():
            start(cache, programs)  # stores them
        rows["stored programs"].append(start(cache, programs))
    return rows


def generated(cache: Path, programs: Path | None) -> float:
    """Seconds of `vcjax generate`, from shell to file."""
    stored = [] if programs is None else ["--programs", str(programs)]
    folder = cache.parent
    return seconds([*GENERATE, str(folder / "tiny"), *stored, "--out", str(folder / "out.mp4")], cache)[0]


def write_tiny(folder: Path) -> None:
    """The built-in model as a folder with a file for each component, those that are random too."""
    from vcjax.loading import folder_of, load, model_table
    from vcjax.weights.folder import TOKENIZER, write_component, write_config

    composer, table = load("tiny"), model_table("tiny")
    files = {name: write_component(folder, name, composer.parameters(name)) for name in table["networks"]}
    shutil.copy(folder_of("tiny") / TOKENIZER, folder)
    write_config(folder, {**table, "files": files})


def made_ready(cache: Path, programs: Path | None) -> float:
    """Seconds until the full-size sampler is ready, as a process of its own tells them."""
    command = ["-m", "benchmarks.startup", "--ready", "" if programs is None else str(programs)]
    return float(seconds(command, cache)[1].splitlines()[-1])


def seconds(arguments: list[str], cache: Path) -> tuple[float, str]:
    """How long a Python process takes, and what it prints."""
    started = time.monotonic()
    environment = os.environ | {"VCJAX_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, *arguments], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - started, done.stdout


def ready(programs: Path | None) -> float:
    """Seconds of the first call of the full-size sampler's program, in which it takes no step."""
    import jax
    import jax.numpy as jnp

    from vcjax.diffusion.ddim import ddim_steps
    from vcjax.diffusion.schedule import Schedule
    from vcjax.parallel.compilation import enable_cache
    from vcjax.parallel.stored import Stored
    from vcjax.programs import STEPS_A_CALL, take_steps
    from vcjax.weights.networks import Networks

    enable_cache()
    networks = Networks()
    unet = networks.unet
    shapes = networks.shapes({}, {}, ["unet"])["unet"]
    parameters = jax.block_until_ready(jax.tree.map(lambda x: jnp.zeros(x.shape), shapes))
    latent = (1, 16, 32, 32, unet.latent_channels)
    maps = jnp.zeros((2, *latent[1:-1], networks.stc.features))
    tokens = jnp.zeros((2, networks.text.length + 1, networks.tokens.features))
    mask = jnp.ones(tokens.shape[:2], bool)
    rows, *_ = ddim_steps(Schedule(), 50, prediction="epsilon").chunks(STEPS_A_CALL)
    z, keys = jnp.zeros(latent), jax.random.split(jax.random.key(0), 1)
    began = time.perf_counter()
    program = Stored(take_steps, programs)
    jax.block_until_ready(
        program(unet, parameters, z, rows.inactive(), keys, maps, tokens, mask, jnp.float32(9))
    )
    return time.perf_counter() - began


def table(size: str, rows: dict[str, list[float]]) -> None:
    """Print the rows; ratios are those of medians."""
    medians = {name: statistics.median(times) for name, times in rows.items()}
    print(f"\n| {size} | median seconds of {RUNS[size]} | least | most | x warm cache |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in rows.items():
        ratio = medians[name] / medians["warm cache"]
        print(f"| {name} | {medians[name]:.2f} | {min(times):.2f} | {max(times):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
