"""Compile the training step of a run, or a program of `generate`, for a machine that is not here.

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
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from vcjax.errors import BadInput
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import make_mesh
from vcjax.planning.cost import Cost, Traffic, cost_of
from vcjax.planning.kernels import Kernel, kernels_of
from vcjax.planning.programs import TRAINING, programs
from vcjax.planning.topology import devices_of, environment_of, topology_of
from vcjax.platforms import compiling_for
from vcjax.training.config import run_from_config

OOM_SCORE_ADJ = "1000"  # out of memory, the system kills the compiler before other processes
OUT_OF_HBM = re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm")  # error message of the TPU compiler
LOWERING = {"gpu": "cuda"}  # JAX's name of a platform in lowering
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class PlanRequest:
    """What to compile, and for which machine.

    Attributes:
        config: configuration of a run as plain dictionaries and lists, see `vcjax.training.config.Run`.
        topology: name of the topology, see `vcjax.planning.topology`.
        stage: index of the training stage.
        program: name of the program, see `vcjax.planning.programs`; the sampler has the batch size of the stage.
    """

    config: Mapping[str, Any]
    topology: str
    stage: int = -1
    program: str = TRAINING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Cost of a compiled program. Bytes are per device.

    Attributes:
        parameters: number of parameters of the networks that are trained or sampled with.
        argument_bytes: bytes of the arguments by kind, such as parameters and optimizer.
        flops: floating-point operations of matrix products and convolutions, over all devices.
        cost: cost of the compiled program.
        steps: number of sampling steps of the program; 1 where it is no sampler.
        calls: number of its calls for a video.
        kernels: kernels of a program for a GPU; empty for other platforms.
        seconds: time of tracing, lowering and compiling.
        compiler_memory: peak memory of the compiler in bytes.
    """

    parameters: int
    argument_bytes: Mapping[str, int]
    flops: float
    cost: Cost
    seconds: float
    compiler_memory: int
    steps: int = 1
    calls: int = 1
    kernels: tuple[Kernel, ...] = ()


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
        env=os.environ | environment_of(topology_of(request.topology)),
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
    kernels = tuple(Kernel(*row) for row in result.pop("kernels"))
    return Report(cost=Cost(**cost, traffic=traffic), kernels=kernels, **result)


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
        program = programs(run)[request.program](run, make_mesh(run.mesh, devices), request.stage)
        traced = program.function.trace(*program.inputs)
        lowered = traced.lower(lowering_platforms=(LOWERING.get(topology.platform, topology.platform),))
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            return failure_of(" ".join(str(error).split()))
    return Report(
        parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(program.kinds["parameters"])),
        argument_bytes={kind: _bytes(tree) for kind, tree in program.kinds.items()},
        steps=program.steps,
        calls=program.calls,
        kernels=tuple(kernels_of(compiled.as_text())) if topology.platform == "gpu" else (),
        flops=count(traced),
        cost=cost_of(compiled),
        seconds=time.monotonic() - began,
        compiler_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
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
        report = compile_in_process(PlanRequest(**json.load(sys.stdin)))
        result = dataclasses.asdict(report)
        if isinstance(report, Report):
            result["kernels"] = [dataclasses.astuple(kernel) for kernel in report.kernels]
    except BadInput as error:
        result = {"bad": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
