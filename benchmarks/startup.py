"""Startup time: from shell to file for tiny, and until the full-size sampler is ready for its first step.

    python -m benchmarks.startup                  # tiny: one clip, and `import jax` for scale
    python -m benchmarks.startup --sizes full     # sampler of the released size: 6 GB, minutes

Each is started with an empty compilation cache and with a warm one, always in a new process. All weights of tiny are
read from disk, as for a trained model. For the full size, the time is that of the first call of the sampler, which takes
no step: tracing, and compiling or loading.
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
GENERATE = ["-m", "vcjax", "generate", "--text", "a red circle moves right", "--seed", "7", "--model"]
STARTS = ("cold cache", "warm cache")


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=tuple(RUNS), default=["tiny"])
    parser.add_argument("--ready", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ready:
        print(ready())
        return
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            table(size, measured({"tiny": generated, "full": made_ready}[size], RUNS[size], Path(folder)))


def measured(start: Callable[[Path], float], runs: int, folder: Path) -> dict[str, list[float]]:
    """Return the seconds of each kind of start; runs alternate, so that other load affects all alike."""
    cache = folder / "cache"
    write_tiny(folder / "tiny")
    rows: dict[str, list[float]] = {"import jax": [], **{name: [] for name in STARTS}}
    for _ in range(runs):
        shutil.rmtree(cache, ignore_errors=True)
        rows["import jax"].append(seconds(["-c", "import jax"], cache)[0])
        rows["cold cache"].append(start(cache))
        rows["warm cache"].append(start(cache))
    return rows


def generated(cache: Path) -> float:
    """Return the seconds of `vcjax generate`, from shell to file."""
    folder = cache.parent
    output = ["--overwrite", "--out", str(folder / "out.mp4")]
    return seconds([*GENERATE, str(folder / "tiny"), *output], cache)[0]


def write_tiny(folder: Path) -> None:
    """Write the built-in model as a folder with a file for every component."""
    from vcjax.composer.loading import folder_of, load, load_model_config
    from vcjax.weights.folder import TOKENIZER, write_component, write_config

    composer, table = load("tiny"), load_model_config("tiny")
    files = {name: write_component(folder, name, composer.parameters(name)) for name in table["networks"]}
    shutil.copy(folder_of("tiny") / TOKENIZER, folder)
    write_config(folder, {**table, "files": files})


def made_ready(cache: Path) -> float:
    """Return the seconds until the full-size sampler is ready, measured in its own process."""
    return float(seconds(["-m", "benchmarks.startup", "--ready"], cache)[1].splitlines()[-1])


def seconds(arguments: list[str], cache: Path) -> tuple[float, str]:
    """Return the seconds of a Python process, and its output."""
    started = time.monotonic()
    environment = os.environ | {"VCJAX_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, *arguments], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - started, done.stdout


def ready() -> float:
    """Return the seconds of the first call of the full-size sampler, without a step."""
    import jax
    import jax.numpy as jnp

    from vcjax.composer.compiled import STEPS_PER_CALL, sample_chunk
    from vcjax.composer.denoising import Passes
    from vcjax.diffusion.ddim import DDIM
    from vcjax.diffusion.sampler import sampling_steps
    from vcjax.diffusion.schedule import Schedule
    from vcjax.parallel.compilation import enable_cache
    from vcjax.weights.networks import Networks

    enable_cache()
    networks = Networks()
    unet = networks.unet
    shapes = networks.shapes({}, {}, ["unet"])["unet"]
    parameters = jax.block_until_ready(jax.tree.map(lambda x: jnp.zeros(x.shape), shapes))
    latent = (1, 16, 32, 32, unet.latent_channels)
    maps = jnp.zeros((2, *latent[1:-1], networks.stc.out_channels))
    tokens = jnp.zeros((2, networks.text.context_length + 1, networks.tokens.token_dim))
    mask = jnp.ones(tokens.shape[:2], bool)
    rows, *_ = sampling_steps(DDIM(), Schedule(), 50, prediction="epsilon").chunks(STEPS_PER_CALL)
    z, keys = jnp.zeros(latent), jax.random.split(jax.random.key(0), 1)
    began = time.perf_counter()
    jax.block_until_ready(
        sample_chunk(
            DDIM(), unet, Passes(), parameters, z, rows.none(), keys, maps, tokens, mask, jnp.full(1, 9.0)
        )
    )
    return time.perf_counter() - began


def table(size: str, rows: dict[str, list[float]]) -> None:
    """Print the table of one size; ratios are of medians."""
    medians = {name: statistics.median(times) for name, times in rows.items()}
    print(f"\n| {size} | median seconds of {RUNS[size]} | min | max | x warm cache |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in rows.items():
        ratio = medians[name] / medians["warm cache"]
        print(f"| {name} | {medians[name]:.2f} | {min(times):.2f} | {max(times):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
