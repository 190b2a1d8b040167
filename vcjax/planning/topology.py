"""Topologies to compile for: TPU slices and NVIDIA GPUs by name, which need not be here, and simulated CPU devices."""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
from jax.experimental import topologies

from vcjax.errors import BadInput
from vcjax.planning.gpus import GPUS, Gpu

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Specification of a TPU chip (cloud.google.com/tpu/docs/v5e, v5p and v6e).

    Attributes:
        memory: bytes of high-bandwidth memory.
        peak_flops: peak FLOP/s in bfloat16.
        axes: axes of the torus that slices are part of.
    """

    memory: int
    peak_flops: float
    axes: int


CHIPS = {
    "v5e": Chip(16 * GIB, 197e12, 2),
    "v5p": Chip(95 * GIB, 459e12, 3),
    "v6e": Chip(32 * GIB, 918e12, 2),
}
TPUS = "v5e:16x16, v5p:4x4x4, v6e:8x8"
EXAMPLES = f"{TPUS}, {', '.join(f'{name}:1' for name in GPUS)}, h100:8 or cpu:8"


@dataclasses.dataclass(frozen=True)
class Topology:
    """A machine to compile for.

    Attributes:
        name: name of the machine, such as `v5p:4x4x4` or `h100:8`.
        platform: `tpu`, `gpu` or `cpu`.
        count: number of chips, or of simulated devices.
        chip: specification of the chips; None for a CPU.
    """

    name: str
    platform: str
    count: int
    chip: Chip | Gpu | None


def topology_of(name: str) -> Topology:
    """Return the topology of a name, without starting a backend.

    Raises:
        BadInput: the name is not that of a topology.
    """
    kind, _, size = name.partition(":")
    if kind == "cpu" and size.isdecimal() and int(size) > 0:
        return Topology(name, "cpu", int(size), None)
    if kind in GPUS and size.isdecimal() and int(size) > 0:
        return Topology(name, "gpu", int(size), GPUS[kind])
    chip = CHIPS.get(kind)
    if chip is None or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", size):
        raise BadInput(f"topology must be a chip and its grid, such as {EXAMPLES}, not {name!r}")
    sides = [int(side) for side in size.split("x")]
    if len(sides) != chip.axes:
        raise BadInput(
            f"topology {name} has {len(sides)} axes, but a slice of {kind} has {chip.axes}: such as {TPUS}"
        )
    return Topology(name, "tpu", math.prod(sides), chip)


def environment_of(topology: Topology) -> dict[str, str]:
    """Return the variables of the environment of a process that compiles for a topology, beside those that it has.

    XLA chooses kernels for GPUs by timing them, and looks for a driver; there is neither.
    """
    variables = {"JAX_PLATFORMS": "cpu"}  # not for an accelerator of this machine
    if topology.platform == "gpu":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0".strip()
        variables |= {"JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1", "XLA_FLAGS": flags}
    return variables


def devices_of(topology: Topology) -> list[Any]:
    """Return the devices of a topology: those of a TPU or a GPU only compile, those of a CPU also run.

    Simulated CPU devices are created with JAX's backend, so this must be the first use of it in the process.

    Raises:
        BadInput: libtpu, or JAX's plugin for CUDA, is not installed, or does not know the machine.
    """
    if topology.platform == "cpu":
        jax.config.update("jax_num_cpu_devices", topology.count)
        return jax.devices("cpu")
    if isinstance(topology.chip, Gpu):
        return _gpus(topology, topology.chip)
    os.environ.setdefault(
        "TPU_SKIP_MDS_QUERY", "1"
    )  # or libtpu queries the metadata server of a cloud machine
    try:
        return topologies.get_topology_desc(topology.name, "tpu").devices
    except (RuntimeError, ValueError) as error:  # what JAX and libtpu raise
        reason = " ".join(str(error).split())
        raise BadInput(f"topology {topology.name} cannot be compiled for: {reason}") from error


def _gpus(topology: Topology, gpu: Gpu) -> list[Any]:
    """Return the devices of a host with GPUs."""
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        raise BadInput(
            f"topology {topology.name} needs JAX's compiler for CUDA, which needs no GPU: pip install 'vcjax[cuda]'"
        )
    grid = f"1x1x{topology.count}"  # slices, hosts, GPUs of a host
    try:
        return topologies.get_topology_desc(
            topology.name, "cuda", target_config=gpu.target_config(), topology=grid
        ).devices
    except (RuntimeError, ValueError) as error:  # what JAX and its plugin raise
        reason = " ".join(str(error).split())
        raise BadInput(f"topology {topology.name} cannot be compiled for: {reason}") from error
