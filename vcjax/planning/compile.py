"""Compile the training step of a run, or the sampler, for a machine that is not here.

It runs in a subprocess: the compiler may need more memory than there is, and its peak memory is part of the report.
"""

import dataclasses
import json
import math
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.composer.compiled import STEPS_PER_CALL, sample_chunk
from vcjax.composer.composer import Composer
from vcjax.conditions.catalogue import map_channels, vector_dims
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.sampler import sampling_steps
from vcjax.errors import BadInput
from vcjax.parallel import compilation
from vcjax.parallel.batches import batch_sharding
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import make_mesh, replicated
from vcjax.parallel.rules import partition, with_shardings
from vcjax.planning.cost import Cost, Traffic, cost_of
from vcjax.planning.topology import devices_of, topology_of
from vcjax.platforms import compiling_for
from vcjax.training.build import build_task
from vcjax.training.config import Run, run_from_config
from vcjax.training.setup import set_up
from vcjax.training.step import make_step
from vcjax.weights.trees import Tree

OOM_SCORE_ADJ = "1000"  # out of memory, the system kills the compiler before other processes
OUT_OF_HBM = re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm")  # error message of the TPU compiler
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class PlanRequest:
    """What to compile, and for which machine.

    Attributes:
        config: configuration of a run as plain dictionaries and lists, see `vcjax.training.config.Run`.
        topology: name of the topology, see `vcjax.planning.topology`.
        stage: index of the training stage.
        sampler: compile the sampler, with the batch size of the stage, instead of the training step.
    """

    config: Mapping[str, Any]
    topology: str
    stage: int = -1
    sampler: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Cost of a compiled program. Bytes are per device.

    Attributes:
        parameters: number of parameters of the networks that are trained or sampled with.
        argument_bytes: bytes of the arguments by kind, such as parameters and optimizer.
        flops: floating-point operations of matrix products and convolutions, over all devices.
        cost: cost of the compiled program.
        seconds: time of tracing, lowering and compiling.
        compiler_memory: peak memory of the compiler in bytes.
    """

    parameters: int
    argument_bytes: Mapping[str, int]
    flops: float
    cost: Cost
    seconds: float
    compiler_memory: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a program was not compiled.

    Attributes:
        reason: one sentence.
        required_bytes: device memory that the program would need, where that is the reason.
    """

    reason: str
    required_bytes: int | None = None


def compile_in_subprocess(request: PlanRequest) -> Report | Failure:
    """Compile in a subprocess.

    Raises:
        BadInput: the configuration or the topology is invalid.
    """
    done = subprocess.run(
        [sys.executable, "-m", "vcjax.planning.compile"],
        input=json.dumps(dataclasses.asdict(request)),
        env=os.environ | {"JAX_PLATFORMS": "cpu"},  # not for an accelerator of this machine
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        return Failure(
            reason=f"the compiler was killed by signal {-done.returncode} at {peak:.1f} GiB of this machine's memory; "
            "it is likely that the memory was exhausted"
        )
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        messages = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Failure(reason=f"the compiler failed: {messages[-1]}")
    if "bad" in result:
        raise BadInput(result["bad"])
    if "reason" in result:
        return Failure(**result)
    cost = result.pop("cost")
    traffic = {kind: Traffic(**of) for kind, of in cost.pop("traffic").items()}
    return Report(cost=Cost(**cost, traffic=traffic), **result)


def compile_in_process(request: PlanRequest) -> Report | Failure:
    """Compile in this process, which must not have used JAX before.

    Raises:
        BadInput: the configuration or the topology is invalid.
    """
    began = time.monotonic()
    topology = topology_of(request.topology)
    devices = devices_of(topology)
    with compiling_for(topology.platform):
        run = run_from_config(request.config)
        build = sampler_program if request.sampler else training_program
        function, inputs, kinds = build(run, make_mesh(run.mesh, devices), request.stage)
        traced = function.trace(*inputs)
        lowered = traced.lower(lowering_platforms=(topology.platform,))
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            return failure_of(" ".join(str(error).split()))
    return Report(
        parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(kinds["parameters"])),
        argument_bytes={kind: _bytes(tree) for kind, tree in kinds.items()},
        flops=count(traced),
        cost=cost_of(compiled),
        seconds=time.monotonic() - began,
        compiler_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def training_program(run: Run, mesh: Any, index: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return the training step of a stage, the sharded shapes of its inputs, and the inputs by kind."""
    task = build_task(without_fixed_clips(run), mesh, without_weights(run))
    setup = set_up(run, task, mesh)
    index %= len(run.stages)
    state, frozen = setup.shapes_in(index), jax.eval_shape(task.frozen)
    frozen = with_shardings(frozen, partition(mesh, run.rules, frozen))
    with closing(task.batches(run.stages[index], 0, 0)) as batches:
        batch = next(batches)
    # With a latent cache the batch holds latents, whose shape is known without computing any.
    if run.sprites.fixed_clips and not run.data:
        batch = dataclasses.replace(batch, moments=_moments(task, run.stages[index].batch_size))
    batch = with_shardings(batch, jax.tree.map(lambda _: batch_sharding(mesh), batch))
    kinds = {
        "parameters": state.parameters,
        "optimizer": state.optimizer,
        "ema": state.ema,
        "frozen networks": frozen,
        "batch": batch,
    }
    return make_step(task, setup, index), (state, frozen, batch), kinds


def sampler_program(run: Run, mesh: Any, index: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return a call of the sampler, which takes `STEPS_PER_CALL` guided steps; inputs as in `training_program`."""
    model = without_weights(run)
    # Shapes come from networks that are not sharded: those examples are smaller than a mesh.
    shapes = model.networks.shapes({}, {}, ["unet"])
    composer = model.with_mesh(mesh)
    networks, shape, clips = composer.networks, composer.shape, run.stages[index].batch_size
    unet, sides = networks.unet, composer.latent_shape()[:2]

    def array(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=replicated(mesh))

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, run.compute_dtype), shapes)
    parameters = with_shardings(shapes, partition(mesh, run.rules, shapes))["unet"]
    sampler = DDIM()
    table = sampling_steps(
        sampler, composer.schedule, composer.defaults.steps, prediction=composer.prediction
    )
    rows, *_ = table.chunks(STEPS_PER_CALL)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), clips))
    z = array(clips, shape.frames, *sides, unet.latent_channels)
    tokens = networks.text.context_length + len(vector_dims(composer.conditions))
    given = (
        array(2 * clips, shape.frames, *sides, networks.stc.out_channels),
        array(2 * clips, tokens, networks.tokens.token_dim),
        array(2 * clips, tokens, dtype=bool),
    )
    keys = array(*keys.shape, dtype=keys.dtype)
    inputs = (sampler, unet, parameters, z, rows, keys, *given, np.ones(1, np.float32))
    program = compilation.jit(_known_number_of_steps, static_argnums=(0, 1), donate_argnums=3)
    return program, inputs, {"parameters": parameters, "latents": z, "maps and tokens": given}


def _known_number_of_steps(
    sampler: Any, unet: Any, parameters: Tree, state: Any, rows: Any, *arrays: Any
) -> Any:
    """Take all steps of a chunk, so that the compiler knows how often its loop runs."""
    rows = dataclasses.replace(rows, count=len(rows))
    return sample_chunk.__wrapped__(sampler, unet, parameters, state, rows, *arrays)  # type: ignore[attr-defined]


def _moments(task: Any, clips: int) -> jax.ShapeDtypeStruct:
    """Return the shape of cached latents, see `vcjax.training.latent_cache`."""
    composer = task.composer
    channels = 2 * composer.networks.autoencoder.latent_channels
    shape = (clips, composer.shape.frames, *composer.latent_shape()[:2], channels)
    return jax.ShapeDtypeStruct(shape, jnp.float16)


def without_fixed_clips(run: Run) -> Run:
    """Return a run without its latent cache, which needs weights."""
    whole = SpriteSelection(image_scenes=run.sprites.image_scenes)
    stages = tuple(
        dataclasses.replace(stage, sprites=dataclasses.replace(stage.sprites, fixed_clips=0))
        for stage in run.stages
    )
    return dataclasses.replace(run, sprites=whole, stages=stages)


def without_weights(run: Run) -> Composer:
    """Return the model of a run without reading weights: parameters are zeros, and every text has the same tokens.

    Raises:
        BadInput: the model of the configuration is invalid.
    """
    spec = run.spec()
    networks, conditions = spec.networks.with_dtype(run.compute_dtype), spec.conditions
    shapes = networks.shapes(map_channels(conditions), vector_dims(conditions))

    def zeros(component: str) -> Tree:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, run.compute_dtype), shapes[component])

    return Composer(
        name=spec.name,
        networks=networks,
        conditions=conditions,
        schedule=spec.schedule,
        prediction=spec.prediction,
        shape=spec.clip,
        defaults=spec.defaults,
        parameters=zeros,
        tokenize=lambda text: np.zeros(networks.text.context_length, np.int32),
    )


def _bytes(tree: Any) -> int:
    """Return the bytes of a tree on one device."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def failure_of(message: str) -> Failure:
    """Return the failure of a compiler error, with the required memory where it exceeds the device's."""
    found = OUT_OF_HBM.search(message)
    if not found:
        return Failure(reason=message)
    used, unit, _, _ = found.groups()
    return Failure(reason="no", required_bytes=int(float(used) * UNITS[unit]))


def main() -> None:
    """Read a request from standard input; write its report as the last line of standard output."""
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)
    try:
        result = dataclasses.asdict(compile_in_process(PlanRequest(**json.load(sys.stdin))))
    except BadInput as error:
        result = {"bad": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
