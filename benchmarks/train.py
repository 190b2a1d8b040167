"""Cost of a training step: clips/s, FLOPs, MFU, and the share outside the UNet.

    python -m benchmarks.train                      # tiny
    python -m benchmarks.train --sizes full         # the released width at one level instead of four: 18 GB
    python -m benchmarks.train --sizes released     # the full released step: FLOPs only, not run

Each size is measured with and without remat, in stage two, with random weights and cached latents, as in a
prepared data set. FLOPs are those of matrix products and convolutions in the traced step. The compiler's
count, before optimisation, includes all other operations but counts a loop's body once. `outside UNet` is the
share of the step's time, and of its FLOPs, that remains after subtracting the same UNet and loss with
precomputed inputs.
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
from vcjax.parallel.matmul_rate import matmul_flops
from vcjax.parallel.mesh import one_device
from vcjax.planning.programs import training_program, without_fixed_clips, without_weights
from vcjax.platforms import platform
from vcjax.training.build import build_task
from vcjax.training.config import Run, run_from_config
from vcjax.training.config_files import plain
from vcjax.training.diffusion_task import DiffusionTask
from vcjax.training.setup import set_up
from vcjax.training.step import make_step

KINDS = ("residual", "spatial", "temporal")
SIZES = ("tiny", "full", "released")
REPEATS = {"tiny": 5, "full": 1}
BATCHES = {"tiny": 16, "full": 1}
FIXED = {"tiny": 64, "full": 1}  # clips whose latents are cached
COLUMNS = (
    "size",
    "remat",
    "clips/s",
    "GFLOP/clip",
    "by compiler",
    "MFU",
    "outside UNet",
    "by FLOPs",
    "data wait",
    "temporaries GB",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["tiny"])
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    for size in options.sizes:
        for remat in ((), KINDS):
            row = (counted if size == "released" else measure)(size, remat)
            print("| " + " | ".join(row) + " |", flush=True)


def measure(size: str, remat: tuple[str, ...]) -> list[str]:
    """Return the row of a step that is run."""
    run = configured(size, remat)
    task: Any = build_task(run)
    setup, stage = set_up(run, task), run.stages[0]
    parameters = task.init(jax.random.key(0, impl="unsafe_rbg"))
    state, frozen = setup.create_state(parameters, 0), setup.frozen(task.frozen())
    step = make_step(task, setup, 0)
    batches = task.batches(stage, 0, 0)
    batch = next(batches)

    operations = count(step.trace(state, frozen, batch))
    lowered = step.lower(state, frozen, batch)
    by_compiler = lowered.cost_analysis()["flops"]
    compiled = lowered.compile()
    temporaries = compiled.memory_analysis().temp_size_in_bytes

    gradient, inputs = unet_gradient(task, run, state.parameters)
    share = 1 - count(gradient.trace(*inputs)) / operations
    unet_seconds = seconds(lambda: jax.block_until_ready(gradient(*inputs)), REPEATS[size])
    waited, began = 0.0, 0.0
    for i in range(REPEATS[size] + 1):  # the first step allocates all memory
        if i == 1:
            waited, began = 0.0, time.perf_counter()
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        state, metrics = compiled(state, frozen, batch)
        jax.block_until_ready(metrics)
    step_seconds = (time.perf_counter() - began) / REPEATS[size]
    batches.close()
    clips = stage.batch_size / step_seconds
    return [
        size,
        "all" if remat else "none",
        f"{clips:.3g}",
        f"{operations / stage.batch_size / 1e9:.1f}",
        f"{by_compiler / stage.batch_size / 1e9:.1f}",
        f"{operations / step_seconds / matmul_flops(run.compute_dtype):.2f}",
        f"{max(0.0, 1 - unet_seconds / step_seconds):.2f}",
        f"{share:.3f}",
        f"{waited / (step_seconds * REPEATS[size]):.4f}",
        f"{temporaries / 1e9:.2f}",
    ]


def counted(size: str, remat: tuple[str, ...]) -> list[str]:
    """Return the row of a step that is only traced."""
    config: Any = videocomposer.get_config()
    config.remat, config.sprites = remat, {"fixed_clips": 1}  # cached latents, as of a prepared data set
    run, mesh = run_from_config(plain(config)), one_device()
    program = training_program(run, mesh, 1)
    step, inputs = program.function, program.inputs
    operations = count(step.trace(*inputs))
    task: Any = build_task(without_fixed_clips(run), mesh, without_weights(run))
    gradient, ready = unet_gradient(
        task, dataclasses.replace(run, stages=run.stages[1:]), inputs[0].parameters
    )
    share = 1 - count(gradient.trace(*ready)) / operations
    row = {
        "size": size,
        "remat": "all" if remat else "none",
        "GFLOP/clip": f"{operations / run.stages[1].batch_size / 1e9:.1f}",
        "by FLOPs": f"{share:.3f}",
    }
    return [row.get(column, "") for column in COLUMNS]


def configured(size: str, remat: tuple[str, ...]) -> Run:
    """Return the second stage of the sprites' recipe, at full size with the released channels."""
    config: Any = sprites.get_config()
    config.stages = (config.stages[1],)
    config.stages[0].batch_size = BATCHES[size]
    config.remat = remat
    config.sprites = {"fixed_clips": FIXED[size]}
    if platform() == "cpu":
        config.compute_dtype = "float32"
    config.out = tempfile.mkdtemp(prefix="vcjax-train-")  # for cached latents
    run = run_from_config(plain(config))
    if size == "tiny":
        return run
    unet = {
        "base_channels": 320,
        "channel_multipliers": (1,),
        "num_res_blocks": 1,
        "attention_levels": (0,),
        "latent_channels": 8,
    }
    networks = {**run.model["networks"], "unet": unet}
    clip = {"frames": 16, "height": 256, "width": 256, "fps": 8.0}
    return dataclasses.replace(run, model={**run.model, "networks": networks, "clip": clip})


def unet_gradient(task: DiffusionTask, run: Run, parameters: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the compiled gradient of the UNet with a loss of its output, and precomputed inputs for it."""
    composer, stage = task.composer, run.stages[0]
    networks, shape = composer.networks, composer.shape
    factor = networks.autoencoder.downsampling
    latent = (stage.batch_size, shape.frames, shape.height // factor, shape.width // factor)
    z = jax.random.normal(jax.random.key(1), (*latent, networks.unet.latent_channels))
    maps = jnp.zeros((*latent, networks.stc.out_channels))
    tokens = jnp.zeros((stage.batch_size, networks.text.context_length + 1, networks.tokens.token_dim))
    mask = jnp.ones(tokens.shape[:2], bool)
    t = jnp.full(stage.batch_size, 500)

    def loss(parameters: Any, maps: Any, tokens: Any) -> Any:
        options = {"deterministic": False, "rngs": {"dropout": jax.random.key(0)}}
        output: Any = networks.unet.apply({"params": parameters}, z, t, maps, tokens, mask, **options)
        return jnp.square(output - z).mean()

    return compilation.jit(jax.grad(loss, (0, 1, 2))), (parameters["unet"], maps, tokens)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the mean seconds of a call after compilation."""
    call()
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


if __name__ == "__main__":
    main()
