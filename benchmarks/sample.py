"""Cost of a guided sampling step on the current device: time, compilation, memory and MFU.

    python -m benchmarks.sample                 # tiny and full size, both dtypes, and the original if installed
    python -m benchmarks.sample --sizes tiny

Each row runs in its own process, so that peak memory is measured separately. A guided step has two branches
in one batch; for the original (if PyTorch and its package are installed, see `make parity`) it is two forward
passes. Weights are random. FLOPs are counted by the compiler before optimisation, and `of matmul rate` is the
achieved FLOP/s over those of a large matrix product measured on the same device.
"""

import argparse
import dataclasses
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIZES = ("tiny", "full")
TYPES = ("float32", "bfloat16")
REPEATS = {"tiny": 5, "full": 1}  # timed calls after the first, which compiles


def main() -> None:
    """Print the table; each row is computed in its own process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        size, dtype = options.row
        print(json.dumps(original() if dtype == "original" else ours(size, dtype)))
        return
    missing = [name for name in ("torch", "modelscope") if importlib.util.find_spec(name) is None]
    # The original has fixed group norms of 32 groups and a context of 1024 channels, so it cannot have the
    # size of tiny.
    sides = {"tiny": options.types, "full": (*options.types, *(() if missing else ("original",)))}
    columns = (
        "model",
        "size",
        "dtype",
        "step s",
        "clip s",
        "compile s",
        "executables",
        "peak GB",
        "TFLOP/s",
        "of matmul rate",
    )
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for size in options.sizes:
        for dtype in sides[size]:
            command = [sys.executable, "-m", "benchmarks.sample", "--row", size, dtype]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print("| " + " | ".join(str(row.get(column, "")) for column in columns) + " |", flush=True)
    if missing:
        print(f"the original is skipped: {' and '.join(missing)} not installed")


def ours(size: str, dtype: str) -> dict[str, Any]:
    """Time one call of the sampler's executable, with `active` of its `STEPS_PER_CALL` steps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from vcjax import load
    from vcjax.composer import compiled
    from vcjax.composer.denoising import Passes
    from vcjax.diffusion.ddim import DDIM
    from vcjax.diffusion.sampler import sampling_steps
    from vcjax.diffusion.schedule import Schedule
    from vcjax.parallel.matmul_rate import matmul_flops
    from vcjax.weights.networks import Networks, apply

    jax.config.update("jax_enable_compilation_cache", False)
    tiny = load("tiny")
    networks = (tiny.networks if size == "tiny" else Networks()).with_dtype(jnp.dtype(dtype))
    frames, side = (tiny.shape.frames, 8) if size == "tiny" else (16, 32)
    steps = tiny.defaults.steps if size == "tiny" else 50
    rate = matmul_flops(dtype)

    unet = networks.unet
    shapes = networks.shapes({}, {"style": networks.tokens.token_dim})["unet"]
    parameters = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, jnp.dtype(dtype)), shapes)
    key = jax.random.key(0)
    latent = (1, frames, side, side, unet.latent_channels)
    maps = jnp.zeros((2, *latent[1:-1], networks.stc.out_channels))
    tokens = jax.random.normal(key, (2, networks.text.context_length + 1, networks.tokens.token_dim))
    mask = jnp.ones(tokens.shape[:2], bool)
    rows, *_ = sampling_steps(DDIM(), Schedule(), 50, prediction="v").chunks(compiled.STEPS_PER_CALL)
    active = compiled.STEPS_PER_CALL if size == "tiny" or jax.default_backend() != "cpu" else 1
    rows = dataclasses.replace(rows, count=np.int32(active))

    def call() -> None:
        z = jax.random.normal(key, latent)
        jax.block_until_ready(
            compiled.sample_chunk(
                DDIM(), unet, Passes(), parameters, z, rows, key[None], maps, tokens, mask, jnp.full(1, 9.0)
            )
        )

    first = seconds(call)
    step = min(seconds(call) for _ in range(REPEATS[size])) / active

    counter: Any = compiled.sample_chunk
    executables = counter._cache_size()

    def both_branches(parameters: Any, z: Any) -> Any:
        z = jnp.concatenate([z, z])
        plain = unet.clone(attention="plain")  # the body of a loop over blocks would be counted once
        return apply(plain, parameters, z, jnp.zeros(2, int), maps, tokens, mask)

    lowered = jax.jit(both_branches).lower(parameters, jnp.zeros(latent))
    analysis: Any = lowered.cost_analysis()
    flops = analysis["flops"]
    return {
        "model": "vcjax",
        "size": size,
        "dtype": dtype,
        "step s": f"{step:.3g}",
        "clip s": f"{step * steps:.3g}",
        "compile s": f"{first - step * active:.1f}",
        "executables": executables,
        "peak GB": f"{peak():.2f}",
        "TFLOP/s": f"{flops / step / 1e12:.3f}",
        "of matmul rate": f"{flops / step / rate:.2f}",
    }


def original() -> dict[str, Any]:
    """Time two forward passes of the original UNet at full size, float32 on the CPU."""
    import torch

    from tests.parity import originals
    from vcjax.models.unet import UNet

    module = originals.unet_like(UNet()).eval()
    z, text = torch.randn(1, 4, 16, 32, 32), torch.randn(1, 77, 1024)

    @torch.no_grad()
    def call() -> None:
        for _ in range(2):
            module(z, torch.tensor([481]), y=text, image=torch.randn(1, 1, 1024))

    call()
    step = min(seconds(call) for _ in range(REPEATS["full"]))
    return {
        "model": "original",
        "size": "full",
        "dtype": "float32",
        "step s": f"{step:.3g}",
        "clip s": f"{step * 50:.3g}",
        "peak GB": f"{peak():.2f}",
    }


def seconds(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak() -> float:
    """Return the peak memory in GB, of the device if it reports it, else of this process."""
    if "jax" in sys.modules:
        stats = sys.modules["jax"].local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            return stats["peak_bytes_in_use"] / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
