"""`vcjax plan`: what a training step, or the sampler, costs on a machine that is not here, compiled for it."""

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from vcjax.errors import BadInput

GIB = 2**30
TERA = 1e12
MILLI = 1e-3
KINDS = ("residual", "spatial", "temporal")
# What --search tries where nothing is said.
POLICIES = "none,spatial,spatial+temporal,residual+spatial+temporal"
FSDP = "1,16,64"
CLIPS_A_CHIP = (1, 2, 4, 8)
COLUMNS = (
    "mesh",
    "clips",
    "a chip",
    "rematerialised",
    "GiB a chip",
    "fits",
    "TFLOP a chip",
    "ms at best",
    "compiler's ms",
    "GiB exchanged",
    "compiled in s",
)


def plan(
    configuration: Annotated[
        list[str],
        typer.Argument(
            metavar="--config=FILE", help="And --config.KEY=VALUE, as for train.", show_default=False
        ),
    ],
    topology: Annotated[
        str,
        typer.Option(
            help="v5e:16x16, v5p:4x4x4, v6e:8x8 and the like, or simulated devices: cpu:8.",
            show_default=False,
        ),
    ],
    stage: Annotated[int, typer.Option(help="Index of the stage; -1 is the last.")] = -1,
    sampler: Annotated[
        bool, typer.Option("--sampler", help="Plan the sampler instead of a stage's step.")
    ] = False,
    search: Annotated[
        bool,
        typer.Option("--search", help="Try several of the options below, listed by comma; print a table."),
    ] = False,
    clips: Annotated[
        str | None, typer.Option(help="Clips a step, on all chips. (default: the stage's batch)")
    ] = None,
    fsdp: Annotated[str | None, typer.Option(help="Chips that parameters are split over.")] = None,
    frames: Annotated[str | None, typer.Option(help="Chips that each clip is split over.")] = None,
    rematerialised: Annotated[
        str | None,
        typer.Option(help="Kinds of block to rematerialise: none, or some of " + "+".join(KINDS) + "."),
    ] = None,
) -> None:
    """Compile a step for a machine that is not here, and say what it costs there."""
    from vcjax.parallel.topology import topology_of
    from vcjax.planning import Request
    from vcjax.training.__main__ import read_configuration
    from vcjax.training.config import run_from

    chips = topology_of(topology).count
    table = dataclasses.asdict(run_from(read_configuration(configuration)))
    if not -len(table["stages"]) <= stage < len(table["stages"]):
        raise BadInput(
            f"--stage must be from 0 to {len(table['stages']) - 1}, or -1 for the last, not {stage}"
        )
    if search:
        clips = clips or ",".join(str(chips * each) for each in CLIPS_A_CHIP)
        fsdp, rematerialised = fsdp or FSDP, rematerialised or POLICIES
    meshes = itertools.product(_numbers("fsdp", fsdp), _numbers("frames", frames), _policies(rematerialised))
    choices = [
        [Request(table=_changed(table, stage, n, *mesh), topology=topology, stage=stage, sampler=sampler)
         for n in _numbers("clips", clips)]
        for mesh in meshes
    ]  # fmt: skip
    if search:
        _search(choices)
    elif len(choices) > 1 or len(choices[0]) > 1:
        raise BadInput("several values by comma are for --search")
    else:
        raise typer.Exit(_tell(choices[0][0]))


def _search(choices: Iterable[Sequence[Any]]) -> None:
    """A row for each choice; of those that differ in the number of clips alone, none behind the first that does not fit."""
    from vcjax.planning import Failure, compiled_elsewhere

    print(_row(COLUMNS))
    print(_row("---" for _ in COLUMNS))
    for more_and_more in choices:
        for request in more_and_more:
            try:
                made = compiled_elsewhere(request)
            except BadInput as error:
                made = Failure(reason=str(error))
            print(_row(_cells(request, made)), flush=True)
            if not _fits(request, made):
                break


def _tell(request: Any) -> int:
    """Everything about one choice; the exit code, which is 1 where it does not fit."""
    from vcjax.planning import Failure, compiled_elsewhere

    made = compiled_elsewhere(request)
    for name, cell in zip(COLUMNS, _cells(request, made), strict=True):
        print(f"{name:<16} {cell}")
    if isinstance(made, Failure):
        return 1
    cost = made.cost
    sizes = {
        **made.held,
        "all arguments": cost.arguments,
        "new outputs": cost.outputs - cost.aliased,
        "temporaries": cost.temporaries,
        "program": cost.code,
        "together": cost.needed,
    }
    once = "a call" if request.sampler else "a step"
    print(
        f"\n{made.parameters / 1e6:.0f} M parameters; {made.operations / TERA:.1f} TFLOP {once} on all chips"
    )
    print(f"compiling took up to {made.memory / GIB:.1f} GiB of this machine's memory\n")
    print(_row(["bytes a chip", "GiB"]), _row(["---", "---"]), sep="\n")
    for kind, size in sizes.items():
        print(_row([kind, f"{size / GIB:.3f}"]))
    print("\n" + _row(["exchanged a step", "times", "GiB a chip"]), _row(["---"] * 3), sep="\n")
    for kind, traffic in cost.traffic.items():
        print(_row([kind, str(traffic.count), f"{traffic.bytes / GIB:.3f}"]))
    return 0 if _fits(request, made) else 1


def _cells(request: Any, made: Any) -> list[str]:
    """The cells of a row."""
    from vcjax.parallel.topology import topology_of
    from vcjax.planning import Failure

    topology, table = topology_of(request.topology), request.table
    stage, mesh = table["stages"][request.stage], table["mesh"]
    sizes = " x ".join(f"{axis} {size}" for axis, size in mesh.items() if size != -1)
    clips = [str(stage["batch"]), f"{stage['batch'] / topology.count:g}"]
    cells = [sizes or "data", *clips, "+".join(table["rematerialised"]) or "none"]
    if isinstance(made, Failure):
        needed = "" if made.needed is None else f"{made.needed / GIB:.2f}"
        return [*cells, needed, made.reason, *[""] * (len(COLUMNS) - len(cells) - 2)]
    a_chip = made.operations / topology.count
    at_best = "" if topology.chip is None else f"{a_chip / topology.chip.rate / MILLI:.1f}"
    estimate = made.cost.seconds
    return [
        *cells,
        f"{made.cost.needed / GIB:.2f}",
        "yes" if _fits(request, made) else "no",
        f"{a_chip / TERA:.2f}",
        at_best,
        f"{estimate / MILLI:.1f}" if estimate else "",
        f"{sum(traffic.bytes for traffic in made.cost.traffic.values()) / GIB:.2f}",
        f"{made.seconds:.0f}",
    ]


def _fits(request: Any, made: Any) -> bool:
    """Whether there is a program, and memory for it; simulated devices have as much as it takes."""
    from vcjax.parallel.topology import topology_of
    from vcjax.planning import Failure

    chip = topology_of(request.topology).chip
    return not isinstance(made, Failure) and (chip is None or made.cost.needed <= chip.memory)


def _changed(
    table: dict[str, Any],
    stage: int,
    clips: int | None,
    fsdp: int | None,
    frames: int | None,
    policy: list[str] | None,
) -> dict[str, Any]:
    """The configuration with what is chosen; None leaves it as it is."""
    table = copy.deepcopy(table)
    if clips is not None:
        table["stages"][stage]["batch"] = clips
    table["mesh"] |= {name: n for name, n in {"fsdp": fsdp, "frames": frames}.items() if n is not None}
    if policy is not None:
        table["rematerialised"] = policy
    return table


def _numbers(name: str, text: str | None) -> list[int | None]:
    if text is None:
        return [None]
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise BadInput(f"--{name} must be numbers above 0, by comma where there are several, not {text!r}")
    return [int(word) for word in words]


def _policies(text: str | None) -> Sequence[list[str] | None]:
    if text is None:
        return [None]
    policies = [[] if word.strip() == "none" else word.strip().split("+") for word in text.split(",")]
    for kind in itertools.chain.from_iterable(policies):
        if kind not in KINDS:
            raise BadInput(f"--rematerialised must be none, or some of {'+'.join(KINDS)}, not {kind!r}")
    return policies


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
