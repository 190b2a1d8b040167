"""What a training step costs: clips a second, operations, utilisation, and the share that is not the UNet.

    python -m benchmarks.train                      # tiny
    python -m benchmarks.train --sizes full         # the released width at one level instead of four: 18 GB
    python -m benchmarks.train --sizes released     # the whole released step: it is counted, not run

Each size is taken with and without rematerialisation, in stage two, on random weights, with latents that are ready, as they
are in a prepared data set. Operations are those of matrix products and convolutions as the step is written; the compiler's
count, of the program before it is optimised, has all others too and counts a loop's body once. `not the UNet` is the share
of the step's time, and of its operations, that goes when the same UNet with the same loss is given its inputs ready-made.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from configs import sprites, videocomposer
from vcjax.parallel import compilation
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import one_device
from vcjax.parallel.rate import matrix_rate
from vcjax.planning import training_step, without_weights
from vcjax.platforms import platform
from vcjax.training.assemble import task_of
from vcjax.training.config import Run, run_from
from vcjax.training.diffusion import DiffusionTask
from vcjax.training.plan import plan
from vcjax.training.step import make_step

KINDS = ("residual", "spatial", "temporal")
SIZES = ("tiny", "full", "released")
REPEATS = {"tiny": 5, "full": 1}
BATCHES = {"tiny": 16, "full": 1}
FIXED = {"tiny": 64, "full": 1}  # clips whose latents are kept
COLUMNS = (
    "size",
    "rematerialised",
    "clips a second",
    "GFLOP a clip",
    "by the compiler",
    "utilisation",
    "not the UNet",
    "by operations",
    "data wait",
    "GB of temporaries",
)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["tiny"])
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    for size in options.sizes:
        for rematerialised in ((), KINDS):
            row = (counted if size == "released" else measure)(size, rematerialised)
            print("| " + " | ".join(row) + " |", flush=True)


def measure(size: str, rematerialised: tuple[str, ...]) -> list[str]:
    """One row."""
    run = configured(size, rematerialised)
    task: Any = task_of(run)
    planned, stage = plan(run, task), run.stages[0]
    parameters = task.init(jax.random.key(0, impl="unsafe_rbg"))
    state, frozen = planned.begin(parameters, 0), planned.frozen(task.frozen())
    step = make_step(task, planned, 0)
    batches = task.batches(stage, 0, 0)
    batch = next(batches)

    operations = count(step.trace(state, frozen, batch))
    lowered = step.lower(state, frozen, batch)
    by_compiler = lowered.cost_analysis()["flops"]
    compiled = lowered.compile()
    temporaries = compiled.memory_analysis().temp_size_in_bytes

    gradient, inputs = unet_alone(task, run, state.parameters)
    share = 1 - count(gradient.trace(*inputs)) / operations
    alone = seconds(lambda: jax.block_until_ready(gradient(*inputs)), REPEATS[size])
    waited, began = 0.0, 0.0
    for i in range(REPEATS[size] + 1):  # the first touches all memory
        if i == 1:
            waited, began = 0.0, time.perf_counter()
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        state, metrics = compiled(state, frozen, batch)
        jax.block_until_ready(metrics)
    whole = (time.perf_counter() - began) / REPEATS[size]
    batches.close()
    clips = stage.batch / whole
    return [
        size,
        "all" if rematerialised else "none",
        f"{clips:.3g}",
        f"{operations / stage.batch / 1e9:.1f}",
        f"{by_compiler / stage.batch / 1e9:.1f}",
        f"{operations / whole / matrix_rate(run.dtype):.2f}",
        f"{max(0.0, 1 - alone / whole):.2f}",
        f"{share:.3f}",
        f"{waited / (whole * REPEATS[size]):.4f}",
        f"{temporaries / 1e9:.2f}",
    ]


def counted(size: str, rematerialised: tuple[str, ...]) -> list[str]:
    """The row of a step that is traced only."""
    config: Any = videocomposer.get_config()
    config.rematerialised, config.fixed_clips = rematerialised, 1
    run, mesh = run_from(config), one_device()
    step, inputs, _ = training_step(run, mesh, 1)
    operations = count(step.trace(*inputs))
    task: Any = task_of(dataclasses.replace(run, fixed_clips=0), mesh, without_weights(run))
    gradient, ready = unet_alone(task, dataclasses.replace(run, stages=run.stages[1:]), inputs[0].parameters)
    share = 1 - count(gradient.trace(*ready)) / operations
    told = {
        "size": size,
        "rematerialised": "all" if rematerialised else "none",
        "GFLOP a clip": f"{operations / run.stages[1].batch / 1e9:.1f}",
        "by operations": f"{share:.3f}",
    }
    return [told.get(column, "") for column in COLUMNS]


def configured(size: str, rematerialised: tuple[str, ...]) -> Run:
    """The second stage of the sprites' recipe; at full size with the released widths."""
    config: Any = sprites.get_config()
    config.stages = (config.stages[1],)
    config.stages[0].batch = BATCHES[size]
    config.rematerialised = rematerialised
    config.fixed_clips = FIXED[size]
    if platform() == "cpu":
        config.dtype = "float32"
    config.out = tempfile.mkdtemp(prefix="vcjax-train-")  # for kept latents
    run = run_from(config)
    if size == "tiny":
        return run
    unet = {
        "width": 320,
        "multipliers": (1,),
        "blocks": 1,
        "attention_levels": (0,),
        "latent_channels": 8,
    }
    networks = {**run.model["networks"], "unet": unet}
    clip = {"frames": 16, "height": 256, "width": 256, "fps": 8.0}
    return dataclasses.replace(run, model={**run.model, "networks": networks, "clip": clip})


def unet_alone(task: DiffusionTask, run: Run, parameters: Any) -> tuple[Any, tuple[Any, ...]]:
    """The program of loss and gradient of the UNet on inputs that are there, and these."""
    composer, stage = task.composer, run.stages[0]
    networks, shape = composer.networks, composer.shape
    factor = networks.autoencoder.factor
    latent = (stage.batch, shape.frames, shape.height // factor, shape.width // factor)
    z = jax.random.normal(jax.random.key(1), (*latent, networks.unet.latent_channels))
    maps = jnp.zeros((*latent, networks.stc.features))
    tokens = jnp.zeros((stage.batch, networks.text.length + 1, networks.tokens.features))
    mask = jnp.ones(tokens.shape[:2], bool)
    t = jnp.full(stage.batch, 500)

    def loss(parameters: Any, maps: Any, tokens: Any) -> Any:
        options = {"deterministic": False, "rngs": {"dropout": jax.random.key(0)}}
        answer: Any = networks.unet.apply({"params": parameters}, z, t, maps, tokens, mask, **options)
        return jnp.square(answer - z).mean()

    return compilation.jit(jax.grad(loss, (0, 1, 2))), (parameters["unet"], maps, tokens)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Mean seconds of a call, once it has compiled."""
    call()
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


if __name__ == "__main__":
    main()
