"""`vcjax plan`: what a training step, or what makes a video, needs on a machine that is not here."""

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from vcjax.cli import options
from vcjax.cli.options import LIST_HINT, NameList
from vcjax.errors import BadInput
from vcjax.planning.gpus import GPUS
from vcjax.progress import report_progress

GIB = 2**30
TERA = 1e12
GIGA = 1e9
MILLI = 1e-3
GENERATE = "generate"
COSTLIEST = 20  # kernels that are printed one by one
LAUNCH = (
    "which a kernel can reach at best.\nA plan does not time: it knows neither the launches of kernels, some microseconds "
    "each, nor which implementation is fastest on a device."
)
BLOCKS = ("residual", "spatial", "temporal")  # kinds of block that can be rematerialised
# What --search tries where nothing is given.
POLICIES = ("none", "spatial", "spatial+temporal", "residual+spatial+temporal")
FSDP = ("1", "16", "64")
CLIPS_PER_CHIP = (1, 2, 4, 8)
COLUMNS = (
    "mesh",
    "batch",
    "batch/chip",
    "remat",
    "GiB/chip",
    "fits",
    "TFLOP/chip",
    "ms at peak",
    "estimated ms",
    "GiB communicated",
    "compile s",
)


Arguments = Annotated[
    list[str],
    typer.Argument(metavar="--config=NAME", help="And --config.KEY=VALUE, as in train.", show_default=False),
]
TopologyName = Annotated[
    str,
    typer.Option(
        help=f"TPU slice, such as v5e:16x16, v5p:4x4x4 or v6e:8x8; GPUs of a host: {', '.join(f'{n}:1' for n in GPUS)}, "
        "h100:8; or simulated devices: cpu:8.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    NameList,
    typer.Option(
        help="Clips per step over all chips.", show_default="the stage's; with --search 1, 2, 4, 8 per chip"
    ),
]
MeshFsdp = Annotated[
    NameList,
    typer.Option(
        help="Chips that parameters are sharded over. ",
        show_default=f"the configuration's; with --search {','.join(FSDP)}",
    ),
]
MeshFrames = Annotated[
    NameList,
    typer.Option(
        help="Chips that the frames of a clip are sharded over.", show_default="the configuration's"
    ),
]
Remat = Annotated[
    NameList,
    typer.Option(
        help=f"Kinds of block to rematerialise: none, or some of {'+'.join(BLOCKS)}. "
        f"With --search several, {LIST_HINT}.",
        show_default="the configuration's",
    ),
]


def plan(
    arguments: Arguments,
    topology: TopologyName,
    stage: Annotated[int, typer.Option(help="Index of the training stage; -1 is the last.")] = -1,
    program: Annotated[
        str,
        typer.Option(
            help="Program: training; sampler, or sampler/ and unguided, reuse_every-3, guidance_every-3 or windows; "
            "text, encoder, decoder, an extraction network (vision, depth, sketch, "
            "cleaner), stc/CONDITION; or generate, a table of all that make a video.",
        ),
    ] = "training",
    search: Annotated[
        bool,
        typer.Option("--search", help="Compile every combination of the options below and print one table."),
    ] = False,
    batch_size: BatchSize = None,
    mesh_fsdp: MeshFsdp = None,
    mesh_frames: MeshFrames = None,
    remat: Remat = None,
) -> None:
    """Compile a training step, or what makes a video, for a machine that is not here; print what it needs there."""
    from vcjax.planning.compile import PlanRequest
    from vcjax.planning.programs import programs, programs_of_generate
    from vcjax.planning.topology import topology_of
    from vcjax.training.config import run_from_config
    from vcjax.training.config_files import plain, read_config

    count = topology_of(topology).count
    config = plain(read_config(arguments)[0])
    run = run_from_config(config)  # an error in it is reported before anything is compiled
    known = [*programs(run), GENERATE]
    if program not in known:
        raise BadInput(f"--program must be one of {', '.join(known)}, not {program!r}")
    stages = len(config["stages"])
    if not -stages <= stage < stages:
        raise BadInput(f"--stage must be from 0 to {stages - 1}, or -1 for the last, not {stage}")
    sizes, fsdp, policies = map(options.names, (batch_size, mesh_fsdp, remat))
    if search:
        sizes = sizes or [str(count * clips) for clips in CLIPS_PER_CHIP]
        fsdp, policies = fsdp or list(FSDP), policies or list(POLICIES)
    meshes = itertools.product(
        _numbers("mesh-fsdp", fsdp),
        _numbers("mesh-frames", options.names(mesh_frames)),
        _policies(policies),
    )
    batches = _numbers("batch-size", sizes)
    requests = [
        [PlanRequest(_changed(config, stage, batch, *mesh), topology, stage, program) for batch in batches]
        for mesh in meshes
    ]
    if search and program == GENERATE:
        raise BadInput("--search plans one program: give another --program")
    if search:
        _search(requests)
    elif len(requests) > 1 or len(requests[0]) > 1:
        raise BadInput("an option with several values needs --search")
    elif program == GENERATE:
        raise typer.Exit(_generate(requests[0][0], programs_of_generate(run)))
    else:
        raise typer.Exit(_single(requests[0][0]))


def _search(requests: Iterable[Sequence[Any]]) -> None:
    """Print a row per request; of requests that differ in batch size only, none after the first that does not fit."""
    print(_row(COLUMNS))
    print(_row("---" for _ in COLUMNS))
    for growing in requests:
        for request in growing:
            result = _compile(request)
            print(_row(_cells(request, result)), flush=True)
            if not _fits(request, result):
                break


def _single(request: Any) -> int:
    """Print everything about one request; return the exit code, which is 1 where it does not fit."""
    from vcjax.planning.compile import Failure
    from vcjax.planning.topology import topology_of

    result = _compile(request, keep_error=True)
    for name, cell in zip(COLUMNS, _cells(request, result), strict=True):
        print(f"{name:<16} {cell}")
    if isinstance(result, Failure):
        return 1
    cost = result.cost
    sizes = {
        **result.argument_bytes,
        "all arguments": cost.arguments,
        "new outputs": cost.outputs - cost.aliased,
        "temporaries": cost.temporaries,
        "program": cost.code,
        "total": cost.device_bytes,
    }
    unit = "step" if request.program == "training" else "call"
    unit += f" of {result.steps} steps" if result.steps > 1 else ""
    print(
        f"\n{result.parameters / 1e6:.0f} M parameters; {result.flops / TERA:.1f} TFLOP per {unit} on all chips"
    )
    print(f"the compiler used up to {result.compiler_memory / GIB:.1f} GiB of this machine's memory\n")
    print(_row(["memory", "GiB/chip"]), _row(["---", "---"]), sep="\n")
    for kind, size in sizes.items():
        print(_row([kind, f"{size / GIB:.3f}"]))
    print("\n" + _row([f"collectives per {unit}", "count", "GiB/chip"]), _row(["---"] * 3), sep="\n")
    for kind, traffic in cost.traffic.items():
        print(_row([kind, str(traffic.count), f"{traffic.bytes / GIB:.3f}"]))
    if result.kernels:
        _print_kernels(result, topology_of(request.topology).chip)
    return 0 if _fits(request, result) else 1


def _print_kernels(result: Any, gpu: Any) -> None:
    """Print the kernels of a program by kind, the costliest of them, and what a plan cannot say."""
    from vcjax.planning.kernels import total, totals

    rates, steps = (gpu.reached_bandwidth, gpu.reached_flops), result.steps
    unit = "sampling step" if steps > 1 else "call"
    print("\n" + _row([f"kernels per {unit}", "kernels", "GB", "TFLOP", "no faster than, ms"]))
    print(_row(["---"] * 5))
    rows = {**totals(result.kernels, *rates), "all": total(result.kernels, *rates)}
    for kind, of in rows.items():
        numbers = (of.bytes / steps / GIGA, of.flops / steps / TERA, of.seconds / steps / MILLI)
        print(
            _row(
                [
                    kind,
                    f"{of.kernels / steps:g}",
                    f"{numbers[0]:.2f}",
                    f"{numbers[1]:.3f}",
                    f"{numbers[2]:.2f}",
                ]
            )
        )
    print("\n" + _row(["costliest kernels", "kind", "ms", "MB", "GFLOP"]), _row(["---"] * 5), sep="\n")
    costliest = sorted(result.kernels, key=lambda kernel: -kernel.seconds(*rates))[:COSTLIEST]
    for kernel in costliest:
        cells = [
            kernel.name.removeprefix("jit(").split("/", 1)[-1],
            kernel.kind,
            f"{kernel.seconds(*rates) / kernel.count / MILLI:.3f}",
            f"{kernel.bytes / 1e6:.0f}",
            f"{kernel.flops / GIGA:.1f}",
        ]
        print(_row(cells))
    print(
        f"\n'no faster than' is the larger of bytes at {gpu.reached_bandwidth / TERA:.2f} TB/s and operations at "
        f"{gpu.reached_flops / TERA:.0f} TFLOP/s, {LAUNCH}"
    )


def _generate(request: Any, names: list[str]) -> int:
    """Print a row for each program that makes a video, and their sum; return the exit code."""
    from vcjax.planning.compile import Failure
    from vcjax.planning.kernels import total
    from vcjax.planning.topology import topology_of

    chip: Any = topology_of(request.topology).chip
    columns = ("program", "calls", "parameters, GiB", "temporaries, GiB", "kernels", "GB", "TFLOP")
    print(_row([*columns, "no faster than, ms", "compile s"]), _row(["---"] * 9), sep="\n")
    parameters, temporaries, seconds = 0.0, 0.0, 0.0
    for name in names:
        each = dataclasses.replace(request, program=name)
        result = _compile(each, keep_error=True)
        if isinstance(result, Failure):
            print(_row([name, *[""] * 7, result.reason]))
            return 1
        own = result.argument_bytes["parameters"]
        other = result.cost.device_bytes - own
        parameters, temporaries = parameters + own, max(temporaries, other)
        cells = ["", "", "", ""]
        if result.kernels:
            of = total(result.kernels, chip.reached_bandwidth, chip.reached_flops)
            seconds += result.calls * of.seconds
            cells = [
                str(of.kernels),
                f"{of.bytes / GIGA:.2f}",
                f"{of.flops / TERA:.3f}",
                f"{of.seconds / MILLI:.2f}",
            ]
        sizes = [f"{own / GIB:.3f}", f"{other / GIB:.3f}"]
        print(_row([name, str(result.calls), *sizes, *cells, f"{result.seconds:.0f}"]), flush=True)
    peak = parameters + temporaries
    print(f"\nall parameters and the largest temporaries: {peak / GIB:.2f} GiB")
    if seconds:
        print(f"a video with every condition: no faster than {seconds:.2f} s, {LAUNCH}")
    return 0 if chip is None or peak <= chip.memory else 1


def _compile(request: Any, *, keep_error: bool = False) -> Any:
    """Return the report or the failure of a request; a bad mesh is a failure unless `keep_error`."""
    from vcjax.planning.compile import Failure, compile_in_subprocess

    mesh, batch, _, remat = _described(request)
    with report_progress() as progress:
        progress(f"compiling {request.program}: {mesh}, batch {batch}, remat {remat}", 0, 0)
        try:
            return compile_in_subprocess(request)
        except BadInput as error:
            if keep_error:
                raise
            return Failure(reason=str(error))


def _described(request: Any) -> list[str]:
    """Return the first cells of a row, which are known before compiling."""
    from vcjax.parallel.mesh import AXES
    from vcjax.planning.topology import topology_of

    config = request.config
    batch = config["stages"][request.stage]["batch_size"]
    mesh = " x ".join(f"{axis} {config['mesh'][axis]}" for axis in AXES if config["mesh"][axis] != -1)
    per_chip = batch / topology_of(request.topology).count
    return [mesh or "data", str(batch), f"{per_chip:g}", "+".join(config["remat"]) or "none"]


def _cells(request: Any, result: Any) -> list[str]:
    """Return the cells of a row."""
    from vcjax.planning.compile import Failure
    from vcjax.planning.topology import topology_of

    topology, cells = topology_of(request.topology), _described(request)
    if isinstance(result, Failure):
        required = "" if result.required_bytes is None else f"{result.required_bytes / GIB:.2f}"
        return [*cells, required, result.reason, *[""] * (len(COLUMNS) - len(cells) - 2)]
    flops = result.flops / topology.count
    at_peak = "" if topology.chip is None else f"{flops / topology.chip.peak_flops / MILLI:.1f}"
    estimate = result.cost.seconds
    return [
        *cells,
        f"{result.cost.device_bytes / GIB:.2f}",
        "yes" if _fits(request, result) else "no",
        f"{flops / TERA:.2f}",
        at_peak,
        f"{estimate / MILLI:.1f}" if estimate else "",
        f"{sum(traffic.bytes for traffic in result.cost.traffic.values()) / GIB:.2f}",
        f"{result.seconds:.0f}",
    ]


def _fits(request: Any, result: Any) -> bool:
    """Return whether the program exists and fits a chip's memory; simulated devices have no limit."""
    from vcjax.planning.compile import Failure
    from vcjax.planning.topology import topology_of

    chip = topology_of(request.topology).chip
    return not isinstance(result, Failure) and (chip is None or result.cost.device_bytes <= chip.memory)


def _changed(
    config: dict[str, Any],
    stage: int,
    batch_size: int | None,
    fsdp: int | None,
    frames: int | None,
    remat: list[str] | None,
) -> dict[str, Any]:
    """Return a configuration with other values; None keeps what it has."""
    config = copy.deepcopy(config)
    if batch_size is not None:
        config["stages"][stage]["batch_size"] = batch_size
    config["mesh"] |= {name: n for name, n in {"fsdp": fsdp, "frames": frames}.items() if n is not None}
    if remat is not None:
        config["remat"] = remat
    return config


def _numbers(name: str, words: list[str] | None) -> Sequence[int | None]:
    if words is None:
        return [None]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise BadInput(f"--{name} must be numbers above 0, {LIST_HINT}, not {','.join(words)!r}")
    return [int(word) for word in words]


def _policies(words: list[str] | None) -> Sequence[list[str] | None]:
    if words is None:
        return [None]
    policies = [[] if word == "none" else word.split("+") for word in words]
    for kind in itertools.chain.from_iterable(policies):
        if kind not in BLOCKS:
            raise BadInput(f"--remat must be none, or some of {'+'.join(BLOCKS)}, not {kind!r}")
    return policies


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
