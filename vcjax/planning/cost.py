"""Cost of a compiled program per device: memory, FLOPs and collective communication, from XLA's own analysis."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from vcjax.planning.hlo import branches_of, computations_of, repeats_of, size_of

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """Collectives of one kind in a step.

    Attributes:
        count: number of collectives.
        bytes: total over the collectives of the larger of a device's input and output.
    """

    count: int
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a program per device. Bytes are of arrays as the compiler lays them out.

    Attributes:
        arguments: bytes of the arguments.
        outputs: bytes of the outputs.
        aliased: bytes of outputs that reuse donated arguments.
        temporaries: peak bytes of temporary buffers.
        code: bytes of the program itself.
        flops: floating-point operations by the compiler's count, which may count the body of a loop once; None where
            it gives no count.
        seconds: the compiler's estimate of the run time, where it gives one.
        traffic: collectives by kind.
    """

    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    flops: float | None
    seconds: float | None
    traffic: Mapping[str, Traffic]

    @property
    def device_bytes(self) -> int:
        """Required device memory in bytes."""
        return self.arguments + self.outputs - self.aliased + self.temporaries + self.code


def cost_of(compiled: Any) -> Cost:
    """Return the cost of a compiled program, which `jax.jit(f).lower(...).compile()` returns."""
    memory = compiled.memory_analysis()
    analysis = compiled.cost_analysis() or {}
    # Negative where the program has loops of a length that the compiler does not know.
    seconds = analysis.get("optimal_seconds", 0.0)
    return Cost(
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=analysis.get("flops"),
        seconds=seconds if seconds > 0 else None,
        traffic=traffic_of(compiled.as_text()),
    )


def traffic_of(program: str) -> dict[str, Traffic]:
    """Return the collectives of a compiled program by kind, from its HLO text.

    Collectives in a loop count once per iteration where the trip count is known, and of a conditional those of the
    branch with the most bytes, such as that of a sampling step that is not padding. Of an asynchronous collective, the
    `-done` instruction counts.
    """
    computations, entry = computations_of(program)
    known: dict[str, dict[str, tuple[int, int]]] = {}

    def traffic_in(name: str) -> dict[str, tuple[int, int]]:
        if name not in known:
            total: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
            for line in computations[name]:
                _add(total, _collective(line), 1)
                repeats = repeats_of(line)
                for called in _called(line):
                    if called in computations:
                        _add(total, traffic_in(called), repeats)
                branches = [traffic_in(name) for name in branches_of(line) if name in computations]
                _add(total, max(branches, key=_bytes_of, default={}), repeats)
            known[name] = total
        return known[name]

    return {kind: Traffic(count=n, bytes=size) for kind, (n, size) in sorted(traffic_in(entry).items())}


def _add(total: dict[str, tuple[int, int]], more: Mapping[str, tuple[int, int]], repeats: int) -> None:
    for kind, (count, size) in more.items():
        total[kind] = (total[kind][0] + repeats * count, total[kind][1] + repeats * size)


def _collective(line: str) -> dict[str, tuple[int, int]]:
    """Return kind, a count of one, and bytes of a collective instruction; empty for other instructions."""
    found = re.search(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-done)?\(", line)
    if not found:
        return {}
    shapes, kind, _ = found.groups()
    size = size_of(shapes)
    return {kind: (1, size * _group(line) if kind == "reduce-scatter" else size)}


def _group(line: str) -> int:
    """Return the number of devices in a collective's replica group."""
    grid = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    if grid:
        return int(grid[1])
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    return len(listed[1].split(",")) if listed else 1


def _called(line: str) -> list[str]:
    """Return the computations that an instruction calls, except for the branches of a conditional."""
    return re.findall(r"(?:body|calls|to_apply)=\{?%?([\w.-]+)", line)


def _bytes_of(traffic: Mapping[str, tuple[int, int]]) -> int:
    return sum(size for _, size in traffic.values())
