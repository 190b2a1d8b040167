"""Topologies to compile for: TPU slices by name, which need no TPU, and simulated CPU devices."""

import dataclasses
import math
import os
import re
from typing import Any

import jax
from jax.experimental import topologies

from vcjax.errors import BadInput

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
EXAMPLES = "v5e:16x16, v5p:4x4x4, v6e:8x8 or cpu:8"


@dataclasses.dataclass(frozen=True)
class Topology:
    """A machine to compile for.

    Attributes:
        name: name of the slice, such as `v5p:4x4x4`.
        platform: `tpu` or `cpu`.
        count: number of chips, or of simulated devices.
        chip: specification of the chips; None for a CPU.
    """

    name: str
    platform: str
    count: int
    chip: Chip | None


def topology_of(name: str) -> Topology:
    """Return the topology of a name, without starting a backend.

    Raises:
        BadInput: the name is not that of a topology.
    """
    kind, _, size = name.partition(":")
    if kind == "cpu" and size.isdecimal() and int(size) > 0:
        return Topology(name, "cpu", int(size), None)
    chip = CHIPS.get(kind)
    if chip is None or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", size):
        raise BadInput(f"topology must be a chip and its grid, such as {EXAMPLES}, not {name!r}")
    sides = [int(side) for side in size.split("x")]
    if len(sides) != chip.axes:
        raise BadInput(
            f"topology {name} has {len(sides)} axes, but a slice of {kind} has {chip.axes}: such as {EXAMPLES}"
        )
    return Topology(name, "tpu", math.prod(sides), chip)


def devices_of(topology: Topology) -> list[Any]:
    """Return the devices of a topology: those of a TPU only compile, those of a CPU also run.

    Simulated CPU devices are created with JAX's backend, so this must be the first use of it in the process.

    Raises:
        BadInput: libtpu is not installed, or does not know the slice.
    """
    if topology.platform == "cpu":
        jax.config.update("jax_num_cpu_devices", topology.count)
        return jax.devices("cpu")
    os.environ.setdefault(
        "TPU_SKIP_MDS_QUERY", "1"
    )  # or libtpu queries the metadata server of a cloud machine
    try:
        return topologies.get_topology_desc(topology.name, "tpu").devices
    except (RuntimeError, ValueError) as error:  # what JAX and libtpu raise
        reason = " ".join(str(error).split())
        raise BadInput(f"topology {topology.name} cannot be compiled for: {reason}") from error
