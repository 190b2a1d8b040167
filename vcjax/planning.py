"""Planning: a run's training step, or the sampler, compiled for a machine that is not here, in a process of its own.

A process of its own, because the compiler may take more memory than there is, and what it takes is told with the rest.
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

from vcjax.composer import Composer
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.catalogue import from_settings
from vcjax.diffusion.ddim import ddim_steps
from vcjax.errors import BadInput
from vcjax.loading import ModelConfig
from vcjax.parallel.batches import batch_sharding
from vcjax.parallel.cost import Cost, Traffic, cost_of
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import make_mesh, replicated
from vcjax.parallel.rules import partition, with_shardings
from vcjax.parallel.topology import devices_of, topology_of
from vcjax.platforms import compiling_for
from vcjax.programs import STEPS_A_CALL, take_steps
from vcjax.settings import typed
from vcjax.training.assemble import task_of
from vcjax.training.config import Run, run_from
from vcjax.training.plan import plan
from vcjax.training.step import make_step
from vcjax.weights.networks import networks_from_settings
from vcjax.weights.trees import Tree

FIRST_TO_GO = (
    "1000"  # oom_score_adj: where memory runs out, the system ends the compiler and not its neighbours
)
NEEDED = re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm")  # in what the TPU's compiler says
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be compiled.

    Attributes:
        table: a run's configuration as plain tables, see `vcjax.training.config.Run`; its mesh is the topology's.
        topology: the machine's name, see `vcjax.parallel.topology`.
        stage: index of the stage.
        sampler: `batch` clips are sampled, and nothing is trained.
    """

    table: Mapping[str, Any]
    topology: str
    stage: int = -1
    sampler: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What came of it. Bytes are those of one device.

    Attributes:
        parameters: how many the networks have that are trained or sampled with.
        held: bytes of the arguments by kind, such as parameters and optimiser.
        operations: floating-point operations of matrix products and convolutions, of all devices together.
        cost: of the compiled program.
        seconds: that tracing, lowering and compiling took.
        memory: bytes that they took at most.
    """

    parameters: int
    held: Mapping[str, int]
    operations: float
    cost: Cost
    seconds: float
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no program.

    Attributes:
        reason: one sentence.
        needed: bytes of device memory that the program would need, where that is the reason.
    """

    reason: str
    needed: int | None = None


def compiled_elsewhere(request: Request) -> Report | Failure:
    """Compile in a process of its own.

    Raises:
        BadInput: the configuration or the topology cannot be.
    """
    done = subprocess.run(
        [sys.executable, "-m", "vcjax.planning"],
        input=json.dumps(dataclasses.asdict(request)),
        env=os.environ | {"JAX_PLATFORMS": "cpu"},  # an accelerator that is here is not what is planned for
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        return Failure(
            reason=f"the compiler was ended by signal {-done.returncode} with {peak:.1f} GiB of this machine's memory, "
            "which the system does where memory runs out"
        )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        told = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return Failure(reason=f"the compiler failed: {told[-1]}")
    if "bad" in answer:
        raise BadInput(answer["bad"])
    if "reason" in answer:
        return Failure(**answer)
    cost = answer.pop("cost")
    traffic = {kind: Traffic(**of) for kind, of in cost.pop("traffic").items()}
    return Report(cost=Cost(**cost, traffic=traffic), **answer)


def compiled_here(request: Request) -> Report | Failure:
    """Compile in this process, which must not have used JAX before.

    Raises:
        BadInput: the configuration or the topology cannot be.
    """
    began = time.monotonic()
    topology = topology_of(request.topology)
    devices = devices_of(topology)
    with compiling_for(topology.platform):
        run = run_from(request.table)
        of = sampler if request.sampler else training_step
        function, inputs, kinds = of(run, make_mesh(run.mesh, devices), request.stage)
        traced = function.trace(*inputs)
        lowered = traced.lower(lowering_platforms=(topology.platform,))
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            return failure_of(" ".join(str(error).split()))
    return Report(
        parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(kinds["parameters"])),
        held={kind: _bytes(tree) for kind, tree in kinds.items()},
        operations=count(traced),
        cost=cost_of(compiled),
        seconds=time.monotonic() - began,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def training_step(run: Run, mesh: Any, index: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The step of a stage, shapes of its inputs with their shardings, and their kinds."""
    task = task_of(dataclasses.replace(run, fixed_clips=0), mesh, without_weights(run))
    planned = plan(run, task, mesh)
    index %= len(run.stages)
    state, frozen = planned.shapes_in(index), jax.eval_shape(task.frozen)
    frozen = with_shardings(frozen, partition(mesh, run.rules, frozen))
    with closing(task.batches(run.stages[index], 0, 0)) as batches:
        batch = next(batches)
    if run.fixed_clips and not run.data:  # latents that are kept come with the batch: their shape is enough
        batch = dataclasses.replace(batch, moments=_moments(task, run.stages[index].batch))
    batch = with_shardings(batch, jax.tree.map(lambda _: batch_sharding(mesh), batch))
    kinds = {
        "parameters": state.parameters,
        "optimiser": state.optimizer,
        "average": state.average,
        "frozen networks": frozen,
        "batch": batch,
    }
    return make_step(task, planned, index), (state, frozen, batch), kinds


def sampler(run: Run, mesh: Any, index: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A call of the sampler's program with a stage's clips: a few guided steps, see `vcjax.programs.STEPS_A_CALL`."""
    composer = without_weights(run).on(mesh)
    networks, shape, clips = composer.networks, composer.shape, run.stages[index].batch
    unet, sides = networks.unet, _sides(composer)

    def array(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=replicated(mesh))

    shapes = networks.shapes({}, {}, ["unet"])
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, run.dtype), shapes)
    parameters = with_shardings(shapes, partition(mesh, run.rules, shapes))["unet"]
    rows, *_ = ddim_steps(composer.schedule, composer.defaults.steps, prediction=composer.prediction).chunks(
        STEPS_A_CALL
    )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), clips))
    z = array(clips, shape.frames, *sides, unet.latent_channels)
    tokens = networks.text.length + sum(isinstance(c, VectorCondition) for c in composer.conditions.values())
    given = (
        array(2 * clips, shape.frames, *sides, networks.stc.features),
        array(2 * clips, tokens, networks.tokens.features),
        array(2 * clips, tokens, dtype=bool),
    )
    inputs = (unet, parameters, z, rows, array(*keys.shape, dtype=keys.dtype), *given, np.float32(1))
    return take_steps, inputs, {"parameters": parameters, "latents": z, "maps and tokens": given}


def _moments(task: Any, clips: int) -> jax.ShapeDtypeStruct:
    """Of kept latents, see `vcjax.training.latents`."""
    composer = task.composer
    channels = 2 * composer.networks.autoencoder.latent_channels
    shape = (clips, composer.shape.frames, *_sides(composer), channels)
    return jax.ShapeDtypeStruct(shape, jnp.float16)


def _sides(composer: Composer) -> tuple[int, int]:
    """Height and width of the latents."""
    factor = composer.networks.autoencoder.factor
    return composer.shape.height // factor, composer.shape.width // factor


def without_weights(run: Run) -> Composer:
    """The model of a run without its weight files: parameters are zeros, and every text has the same tokens.

    Raises:
        BadInput: the configuration's model cannot be.
    """
    model: ModelConfig = typed(ModelConfig, run.model, "config.model")
    networks = networks_from_settings(model.networks).with_dtype(run.dtype)
    conditions = from_settings(model.conditions)
    channels = {name: c.channels for name, c in conditions.items() if isinstance(c, MapCondition)}
    vectors = {name: c.width for name, c in conditions.items() if isinstance(c, VectorCondition)}
    shapes = networks.shapes(channels, vectors)

    def zeros(component: str) -> Tree:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, run.dtype), shapes[component])

    return Composer(
        name=model.name,
        networks=networks,
        conditions=conditions,
        schedule=model.schedule,
        prediction=model.prediction,
        shape=model.clip,
        defaults=model.defaults,
        parameters=zeros,
        tokenize=lambda text: np.zeros(networks.text.length, np.int32),
    )


def _bytes(tree: Any) -> int:
    """Of the part of a tree that one device holds."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def failure_of(message: str) -> Failure:
    """What the compiler's refusal means: that memory is too small by so much, or the refusal itself."""
    found = NEEDED.search(message)
    if not found:
        return Failure(reason=message)
    used, unit, _, _ = found.groups()
    return Failure(reason="no", needed=int(float(used) * UNITS[unit]))


def main() -> None:
    """Read a request from standard input, write its report as the last line of standard output."""
    with suppress(OSError):  # where it is not Linux, the system chooses
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    try:
        answer = dataclasses.asdict(compiled_here(Request(**json.load(sys.stdin))))
    except BadInput as error:
        answer = {"bad": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
