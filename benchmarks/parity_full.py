"""Full-size UNet against the PyTorch original: difference, time per guided step, and peak memory.

    python -m benchmarks.parity_full                # 1,413 million parameters, 16x32x32 latents, float32; 12 GB of disk
    python -m benchmarks.parity_full --reduced      # a reduced width, to try the script

Each side runs in its own process, so that peak memory is measured separately. Weights are random and nonzero,
in one file under the original's names, from which ours are converted. A guided step has two branches: one
batch of two in ours, two forward passes in the original. It needs the packages that `make parity` installs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.models.unet import UNet
from vcjax.weights.convert.released import bijection, convert
from vcjax.weights.convert.releases import CHANNELS, VECTORS
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import Networks, random_parameters
from vcjax.weights.safetensors_files import write_tensors

ORIGINAL, MODEL, INPUTS = "original.safetensors", "model", "inputs.npz"
TIMESTEP, GUIDANCE = 481, 9.0
REPEATS = 3  # runs of each measurement; the fastest counts, since the machine may be shared
REDUCED = Networks(
    unet=UNet(
        base_channels=64,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        attention_levels=(0,),
        head_dim=16,
        num_input_heads=2,
    )
)


def main() -> None:
    """Run both sides and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reduced", action="store_true", help="a reduced width, to try the script")
    parser.add_argument(
        "--folder", type=Path, help="folder for the weights during the run [default: a temporary folder]"
    )
    parser.add_argument("--side", choices=["prepare", *SIDES], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        sides = {"prepare": prepare, **SIDES}
        result = sides[options.side](options.folder, REDUCED if options.reduced else Networks())
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = {side: run(side, Path(folder), options.reduced) for side in ("prepare", *SIDES)}
        outputs = {side: np.load(Path(folder) / f"{side}.npy") for side in SIDES}
    report(results, outputs)


def run(side: str, folder: Path, reduced: bool) -> dict[str, float]:
    """Run one side in its own process and return its measurements."""
    command = [sys.executable, "-m", "benchmarks.parity_full", "--side", side, "--folder", str(folder)]
    done = subprocess.run(command + ["--reduced"] * reduced, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def prepare(folder: Path, networks: Networks) -> dict[str, float]:
    """Write weights under the original's names, a model folder converted from them, and the inputs."""
    trees = random_parameters(networks.shapes(CHANNELS, VECTORS), 0)
    write_tensors(folder / ORIGINAL, bijection("unet", [], networks).to_torch(trees))
    del trees
    convert(folder / MODEL, unet=folder / ORIGINAL, networks=networks)
    rng = np.random.default_rng(1)
    np.savez(
        folder / INPUTS,
        z=rng.standard_normal((1, 16, 32, 32, 4), np.float32),
        text=rng.standard_normal((2, 77, 1024), np.float32),  # negative and positive branch of guidance
        style=np.stack([np.zeros(1024, np.float32), rng.standard_normal(1024, np.float32)]),
    )
    return {"size": (folder / MODEL / "unet.safetensors").stat().st_size / 1e9}


def ours(folder: Path, networks: Networks) -> dict[str, float]:
    """Compute our guided output, with both branches in one batch."""
    import jax
    import jax.numpy as jnp

    from vcjax.diffusion.guidance import guided
    from vcjax.parallel import compilation

    model, config, inputs = folder / MODEL, read_config(folder / MODEL), np.load(folder / INPUTS)
    jnp.zeros(1).block_until_ready()  # initialises JAX
    before = memory()
    start = time.perf_counter()
    parameters = jax.block_until_ready(read_component(model, config, "unet"))
    loaded = time.perf_counter() - start
    loading_peak = peak_memory() - before

    encoder = read_component(model, config, "tokens")
    embeddings = {name: jnp.asarray(inputs[name]) for name in ("text", "style")}
    present = dict.fromkeys(embeddings, jnp.ones(2, bool))
    tokens, mask = networks.tokens.apply({"params": encoder}, embeddings, present)
    maps = jnp.zeros((2, 16, 32, 32, networks.stc.out_channels))

    def step(parameters: Any, z: Any) -> Any:
        def denoise(z: Any, t: Any) -> Any:
            return networks.unet.apply({"params": parameters}, z, t, maps, tokens, mask)

        return guided(denoise, jnp.full(1, GUIDANCE))(z, jnp.full(1, TIMESTEP))

    z = jnp.asarray(inputs["z"])
    start = time.perf_counter()
    compiled = compilation.jit(step).lower(parameters, z).compile()
    compiling = time.perf_counter() - start
    seconds, output = fastest(lambda: jax.block_until_ready(compiled(parameters, z)))
    np.save(folder / "ours.npy", output)
    return {
        "step": seconds,
        "peak": peak_memory(),
        "loading": loaded,
        "loading peak": loading_peak,
        "compiling": compiling,
    }


def original(folder: Path, networks: Networks) -> dict[str, float]:
    """Compute the original's guided output, with one forward pass per branch."""
    import torch
    from safetensors.torch import load_file

    from tests.parity import originals

    inputs = {name: torch.from_numpy(x) for name, x in np.load(folder / INPUTS).items()}
    start = time.perf_counter()
    with torch.device("meta"):  # allocates no memory for weights that are replaced below
        module = originals.unet_like(networks.unet)
    module.load_state_dict(load_file(folder / ORIGINAL), strict=True, assign=True)
    module.eval()
    loaded = time.perf_counter() - start
    z, t = inputs["z"].movedim(-1, 1).contiguous(), torch.tensor([TIMESTEP])

    def branch(index: int) -> Any:
        one = slice(index, index + 1)
        return module(z, t, y=inputs["text"][one], image=inputs["style"][one][:, None])

    @torch.no_grad()
    def step() -> Any:
        positive, negative = branch(1), branch(0)
        return negative + GUIDANCE * (positive - negative)

    seconds, output = fastest(step)
    np.save(folder / "original.npy", output.movedim(1, -1).numpy())
    return {"step": seconds, "peak": peak_memory(), "loading": loaded}


SIDES: dict[str, Callable[[Path, Networks], dict[str, float]]] = {"ours": ours, "original": original}


def report(results: dict[str, dict[str, float]], outputs: dict[str, np.ndarray]) -> None:
    """Print the table."""
    mine, theirs, size = results["ours"], results["original"], results["prepare"]["size"]
    std = outputs["original"].std()
    rows = [
        (
            "largest difference / standard deviation",
            f"{np.abs(outputs['ours'] - outputs['original']).max() / std:.1e}",
        ),
        ("standard deviation of the original's output", f"{std:.3f}"),
        ("guided step, ours (two branches, one batch)", f"{mine['step']:.2f} s"),
        ("guided step, original (two forward passes)", f"{theirs['step']:.2f} s"),
        ("ratio", f"{mine['step'] / theirs['step']:.3f}"),
        ("peak memory, ours", f"{mine['peak']:.2f} GB"),
        ("peak memory, original", f"{theirs['peak']:.2f} GB"),
        ("size of the UNet", f"{size:.2f} GB"),
        ("peak memory of loading / size, ours", f"{mine['loading peak'] / size:.2f}"),
        ("seconds to load, ours / original", f"{mine['loading']:.1f} / {theirs['loading']:.1f}"),
        ("seconds to compile, ours", f"{mine['compiling']:.1f}"),
        ("CPU cores", f"{len(os.sched_getaffinity(0))}"),
    ]
    for name, value in rows:
        print(f"| {name:<46} | {value:>12} |")


def fastest(step: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the fastest of several calls after a warm-up, and the output."""
    output = step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        output = step()
        times.append(time.perf_counter() - start)
    return min(times), output


def memory() -> float:
    """Return the resident memory of this process in GB (Linux only)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def peak_memory() -> float:
    """Return the peak memory of this process in GB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
