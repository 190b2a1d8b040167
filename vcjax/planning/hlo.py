"""The text of a compiled program (HLO): its computations, and what a line of it says."""

import math
import re

BITS = re.compile(r"[a-z]+(\d+)")  # in the name of a type: bf16, s32, f8e4m3fn; `pred` has none
SHAPE = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")


def computations_of(program: str) -> tuple[dict[str, list[str]], str]:
    """Return the lines of each computation by name, and the name of the entry computation."""
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


def repeats_of(line: str) -> int:
    """Return the known trip count of a loop; 1 for other instructions, and for loops without one."""
    count = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
    return int(count[1]) if count else 1


def branches_of(line: str) -> list[str]:
    """Return the computations of the branches of a conditional."""
    listed = re.search(r"branch_computations=\{([^}]*)\}", line)
    if listed:
        return re.findall(r"%?([\w.-]+)", listed[1])
    return re.findall(r"(?:true|false)_computation=%?([\w.-]+)", line)


def size_of(shape: str) -> int:
    """Return the bytes of the arrays in the text of a shape."""
    total = 0
    for kind, sides in SHAPE.findall(shape):
        bits = BITS.match(kind)
        total += math.prod(int(side) for side in sides.split(",") if side) * int(bits[1] if bits else 8) // 8
    return total
