"""What a compiled program costs a device: bytes, operations, and what devices send one another, by its own analysis."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BITS = re.compile(r"[a-z]+(\d+)")  # in the name of a type: bf16, s32, f8e4m3fn; `pred` has none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """The collectives of one kind that a step runs.

    Attributes:
        count: how many.
        bytes: of the larger of what each device gives and gets, in all.
    """

    count: int
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a program costs one device. Bytes are of arrays as the compiler lays them out.

    Attributes:
        arguments: bytes that it is given.
        outputs: bytes that it gives back.
        aliased: bytes of outputs that lie in arguments' places, which were donated.
        temporaries: bytes of everything between, at most.
        code: bytes of the program itself.
        operations: floating-point operations, as the compiler counts them (a loop's body may count once); None where
            it does not tell.
        seconds: the compiler's estimate of a run, where it gives one.
        traffic: collectives by kind.
    """

    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    operations: float | None
    seconds: float | None
    traffic: Mapping[str, Traffic]

    @property
    def needed(self) -> int:
        """Bytes of device memory."""
        return self.arguments + self.outputs - self.aliased + self.temporaries + self.code


def cost_of(compiled: Any) -> Cost:
    """The cost of what `jax.jit(f).lower(...).compile()` gave."""
    memory = compiled.memory_analysis()
    told = compiled.cost_analysis() or {}
    seconds = told.get(
        "optimal_seconds", 0.0
    )  # below 0 where the program has loops whose length it does not see
    return Cost(
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        operations=told.get("flops"),
        seconds=seconds if seconds > 0 else None,
        traffic=traffic_of(compiled.as_text()),
    )


def traffic_of(program: str) -> dict[str, Traffic]:
    """The collectives of a compiled program, from its text in XLA's HLO.

    Loops count as often as they say they run. Of a collective that is started and awaited apart, the end counts.
    """
    computations, entry = _computations(program)
    known: dict[str, dict[str, tuple[int, int]]] = {}

    def of(name: str) -> dict[str, tuple[int, int]]:
        if name not in known:
            total: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
            for line in computations[name]:
                _add(total, _collective(line), 1)
                repeats = _repeats(line)
                for called in _called(line):
                    if called in computations:
                        _add(total, of(called), repeats)
            known[name] = total
        return known[name]

    return {kind: Traffic(count=n, bytes=size) for kind, (n, size) in sorted(of(entry).items())}


def _add(total: dict[str, tuple[int, int]], more: Mapping[str, tuple[int, int]], repeats: int) -> None:
    for kind, (count, size) in more.items():
        total[kind] = (total[kind][0] + repeats * count, total[kind][1] + repeats * size)


def _computations(program: str) -> tuple[dict[str, list[str]], str]:
    """Lines of instructions by the name of their computation, and which is the program's entry."""
    found: dict[str, list[str]] = {}
    entry = current = ""
    for line in program.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line)
        if head:
            current = head[2]
            found[current] = []
            entry = current if head[1] else entry
        elif current and " = " in line:
            found[current].append(line)
    return found, entry


def _collective(line: str) -> dict[str, tuple[int, int]]:
    """Kind, one, and bytes of an instruction that is a collective; nothing otherwise."""
    found = re.search(rf" = (.*?) ({'|'.join(COLLECTIVES)})(-done)?\(", line)
    if not found:
        return {}
    shapes, kind, _ = found.groups()
    size = sum(_bytes(*shape) for shape in re.findall(r"(\w+)\[([\d,]*)\]", shapes))
    return {kind: (1, size * _group(line) if kind == "reduce-scatter" else size)}


def _bytes(dtype: str, sides: str) -> int:
    bits = BITS.match(dtype)
    return math.prod(int(side) for side in sides.split(",") if side) * int(bits[1] if bits else 8) // 8


def _group(line: str) -> int:
    """How many devices take part in a collective together."""
    grid = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    if grid:
        return int(grid[1])
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    return len(listed[1].split(",")) if listed else 1


def _repeats(line: str) -> int:
    """How often a loop says that it runs; 1 for all else, and for a loop that does not say."""
    count = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
    return int(count[1]) if count else 1


def _called(line: str) -> list[str]:
    """The computations that an instruction runs: of the branches of a condition the first."""
    names = re.findall(r"(?:body|calls|to_apply|true_computation)=\{?%?([\w.-]+)", line)
    branches = re.search(r"branch_computations=\{%?([\w.-]+)", line)
    return names + ([branches[1]] if branches else [])
