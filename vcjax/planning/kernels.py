"""Kernels of a compiled GPU program: what each moves and computes, and the time that none can beat.

A kernel is an instruction of the program that the device runs. It moves its operands and its results once; of an operand
that it only reads a part of, that part. What the text of a program does not show is left out: choices that are timed on a
device, caches, and the time to launch a kernel.
"""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from vcjax.planning.hlo import SHAPE, branches_of, computations_of, repeats_of, size_of

# Instructions that move nothing.
FREE = frozenset(
    {
        "parameter",
        "bitcast",
        "get-tuple-element",
        "constant",
        "tuple",
        "after-all",
        "partition-id",
        "opt-barrier",
    }
)
INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*?)\)(.*)")
CUSTOM_CALL = re.compile(r'custom_call_target="([^"]+)"')
PALLAS = "__gpu$xla.gpu.triton"
GEGLU = "geglu"


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a program.

    Attributes:
        kind: product, convolution, attention, sum, transpose, pointwise, copy, collective, the name of a kernel of
            `vcjax.kernels`, or the instruction.
        name: where it comes from in the model, such as `UNet/middle_spatial/in/dot_general`.
        count: how often it runs.
        bytes: bytes that one run moves.
        flops: floating-point operations of products and convolutions in one run.
    """

    kind: str
    name: str
    count: int
    bytes: int
    flops: float

    def seconds(self, bandwidth: float, rate: float) -> float:
        """Return the time of all its runs that no kernel can beat, at bytes and operations per second."""
        return self.count * max(self.bytes / bandwidth, self.flops / rate)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction of a program.

    Attributes:
        name: name of its result.
        result: shape of the result, as text.
        operation: operation, such as `fusion`.
        operands: names of the operands.
        attributes: the rest of the line.
    """

    name: str
    result: str
    operation: str
    operands: tuple[str, ...]
    attributes: str

    def called(self, attribute: str) -> str | None:
        """Return the computation that an attribute names, such as `calls` or `body`."""
        found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.attributes)
        return found[1] if found else None


def kernels_of(program: str) -> list[Kernel]:
    """Return the kernels of a compiled program from its text, in the order of the program.

    Kernels in a loop count once per iteration where the number of iterations is known, else once; of a conditional the
    branch with the most bytes counts.
    """
    computations, entry = parse(program)
    return list(_kernels_in(computations, entry, 1))


def parse(program: str) -> tuple[dict[str, list[Instruction]], str]:
    """Return the instructions of each computation by name, and the name of the entry computation."""
    lines, entry = computations_of(program)
    return {name: list(_instructions(of)) for name, of in lines.items()}, entry


def _instructions(lines: Sequence[str]) -> Iterator[Instruction]:
    for line in lines:
        if found := INSTRUCTION.match(line):
            name, result, operation, operands, attributes = found.groups()
            names = tuple(operand.strip().split(" ")[-1].lstrip("%") for operand in operands.split(","))
            yield Instruction(name, result, operation, names, attributes)


def _kernels_in(computations: Mapping[str, Sequence[Instruction]], name: str, count: int) -> Iterator[Kernel]:
    shapes = {each.name: each.result for each in computations[name]}
    for each in computations[name]:
        if each.operation in FREE or each.operation.endswith("-done"):
            continue
        if each.operation == "while":
            repeats = count * repeats_of(each.attributes)
            yield from _kernels_in(computations, each.called("body") or "", repeats)
        elif each.operation == "conditional":
            branches = [list(_kernels_in(computations, b, count)) for b in branches_of(each.attributes)]
            yield from max(branches, key=lambda kernels: sum(k.bytes for k in kernels), default=[])
        elif each.operation == "call":
            yield from _kernels_in(computations, each.called("to_apply") or "", count)
        else:
            yield _kernel(computations, shapes, each, count)


def _kernel(
    computations: Mapping[str, Sequence[Instruction]],
    shapes: Mapping[str, str],
    each: Instruction,
    count: int,
) -> Kernel:
    source = re.search(r'op_name="([^"]+)"', each.attributes)
    name = source[1] if source else each.name
    operands = [size_of(shapes.get(operand, "")) for operand in each.operands]
    flops, kind = 0.0, each.operation
    if each.operation == "fusion" or each.operation == "async-start":
        body = computations.get(each.called("calls") or "", [])
        flops = sum((_product_flops(computations, i, body) for i in body), 0.0)
        operations = {instruction.operation for instruction in body}
        kind = (
            "product" if flops else
            next((k for k, o in (("sum", "reduce"), ("transpose", "transpose")) if o in operations), "pointwise")
        )  # fmt: skip
        operands = [_read(body, index, size) for index, size in enumerate(operands)]
    elif each.operation == "custom-call":
        kind, flops = _custom_call(each, shapes, name)
    elif any(word in each.operation for word in ("all-", "reduce-scatter", "collective")):
        kind = "collective"
    return Kernel(kind, name, count, size_of(each.result) + sum(operands), flops)


def _read(body: Sequence[Instruction], index: int, size: int) -> int:
    """Return the bytes that a fused computation reads of an operand: of one that is only sliced, the slices."""
    parameter = next((i for i in body if i.operation == "parameter" and i.operands == (str(index),)), None)
    if parameter is None:
        return size
    names, sliced = {parameter.name}, 0
    for each in body:  # in the order of the program
        if not names.intersection(each.operands):
            continue
        if each.operation in ("bitcast", "reshape"):
            names.add(each.name)
        elif each.operation in ("slice", "dynamic-slice"):
            sliced += size_of(each.result)
        else:
            return size
    return min(size, sliced) if sliced else size


def _product_flops(
    computations: Mapping[str, Sequence[Instruction]], each: Instruction, body: Sequence[Instruction]
) -> float:
    """Return the operations of a product, or of those in a computation that an instruction calls."""
    if each.operation == "dot":
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", each.attributes)
        left = next((i.result for i in body if i.name == each.operands[0]), "")
        sides, (shape, *_) = (
            [int(axis) for axis in contracted[1].split(",")] if contracted else [],
            _sides(left),
        )
        return 2.0 * math.prod(_sides(each.result)[0]) * math.prod(shape[axis] for axis in sides)
    inner = computations.get(each.called("calls") or "", [])
    return sum((_product_flops(computations, instruction, inner) for instruction in inner), 0.0)


def _custom_call(each: Instruction, shapes: Mapping[str, str], name: str) -> tuple[str, float]:
    """Return kind and operations of a call of a library, or of a kernel in Triton."""
    target = CUSTOM_CALL.search(each.attributes)
    kind = target[1] if target else each.operation
    arrays = [_sides(shapes.get(operand, ""))[0] for operand in each.operands if operand in shapes]
    result = _sides(each.result)[0]
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", each.attributes)
    if labels:
        kernel = arrays[1]
        if "BackwardFilter" in kind:  # the result is the kernel, the second operand the gradient
            kernel, result = result, arrays[1]
        output = kernel[labels[2].index("o")]
        return "convolution", 2.0 * math.prod(result) * math.prod(kernel) / output
    if "fmha" in kind:
        query, key = arrays[:2]  # [B, N, H, D]
        return "attention", (2.5 if "Backward" in kind else 1.0) * 4.0 * math.prod(query) * key[1]
    if kind == PALLAS:
        return _pallas(name, arrays, result)
    return kind, 0.0


def _pallas(name: str, arrays: Sequence[Sequence[int]], result: Sequence[int]) -> tuple[str, float]:
    """Return name and operations of a kernel of `vcjax.kernels`."""
    kind = name.split("/")[-2] if name.endswith("pallas_call") else name
    if kind == GEGLU:
        return kind, 4.0 * math.prod(result) * arrays[0][-1]
    return kind, 0.0


def _sides(shape: str) -> list[list[int]]:
    """Return the sides of each array in the text of a shape; of a text without one, those of a scalar."""
    found = [[int(n) for n in sides.split(",") if n] for _, sides in SHAPE.findall(shape)]
    return found or [[]]


@dataclasses.dataclass(frozen=True)
class KindTotal:
    """All kernels of a kind.

    Attributes:
        kernels: number of runs.
        bytes: bytes that they move.
        flops: floating-point operations.
        seconds: the time that they cannot beat.
    """

    kernels: int
    bytes: int
    flops: float
    seconds: float


def totals(kernels: Sequence[Kernel], bandwidth: float, rate: float) -> dict[str, KindTotal]:
    """Return the totals of each kind, the most expensive first, at bytes and operations per second."""
    by_kind: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        by_kind[kernel.kind].append(kernel)
    found = {kind: total(group, bandwidth, rate) for kind, group in by_kind.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))


def total(kernels: Sequence[Kernel], bandwidth: float, rate: float) -> KindTotal:
    """Return the total of kernels."""
    return KindTotal(
        sum(k.count for k in kernels),
        sum(k.count * k.bytes for k in kernels),
        sum(k.count * k.flops for k in kernels),
        sum(k.seconds(bandwidth, rate) for k in kernels),
    )
