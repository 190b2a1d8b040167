"""`vcjax generate`: sample videos from conditions, from a list of requests, or as an earlier video was sampled."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import vcjax
from vcjax.cli import options
from vcjax.cli.composition import composition
from vcjax.cli.options import (
    LIST_HINT,
    GuidanceEvery,
    Interval,
    Model,
    NameList,
    Rescale,
    ReuseEvery,
    SamplerName,
    Size,
    Steps,
)
from vcjax.cli.terminal import console
from vcjax.diffusion.timesteps import SPACINGS
from vcjax.errors import BadInput
from vcjax.input_files import parse_json, read_text
from vcjax.progress import ProgressCallback, no_progress, report_progress

Weights = Annotated[
    NameList,
    typer.Option(
        help="Guidance weight; with several branches a weight for each but the first, by comma.",
        show_default=options.model_default("defaults.guidance"),
    ),
]
Positive = Annotated[
    NameList,
    typer.Option(
        help=f"Conditions of the positive branch of guidance, {LIST_HINT}.",
        show_default="all that are given",
    ),
]
Negative = Annotated[
    NameList,
    typer.Option(
        help=f"Conditions of its negative branch, {LIST_HINT}; '' for none.",
        show_default="all that are given but text and style",
    ),
]
Branch = Annotated[
    list[str] | None,
    typer.Option(
        help="Conditions of one branch of a chain of guidance, by comma; '' for none. Repeat it for each branch, from "
        "the first on, in place of --negative and --positive.",
        show_default="the negative and the positive branch",
    ),
]
Seeds = Annotated[
    NameList,
    typer.Option(
        help="Seed of the initial noise, and of everything drawn at random. Several seeds, "
        f"{LIST_HINT}, give as many videos, NAME_SEED.mp4.",
        show_default="0",
    ),
]
SpacingName = Annotated[
    str | None,
    typer.Option(
        help=f"Spacing of timesteps: {', '.join(SPACINGS)}.",
        show_default="the sampler's",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        help="Number of frames; all: as many as the first source video has.",
        show_default=options.model_default("clip.frames"),
    ),
]
Loop = Annotated[bool, typer.Option("--loop", help="Let the first frame follow the last one.")]
Composite = Annotated[
    bool, typer.Option("--composite", help="Copy the visible pixels of the mask condition to the video.")
]
Devices = Annotated[
    int | None, typer.Option(help="Number of devices that share the frames of the video.", show_default="1")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Video to write: .mp4, .mov, .webm, .gif, .webp, .png for a grid, or images such as frames/%04d.png.",
        show_default="outputs/video.mp4; with --replay outputs/FILE",
    ),
]
Replay = Annotated[
    Path | None,
    typer.Option(
        help="Video of an earlier generation, which is sampled again from the request that it holds.",
        show_default=False,
    ),
]
Batch = Annotated[
    Path | None,
    typer.Option(
        help="File with a request in JSON per line, and its file as out. Videos that exist with the same request are "
        "kept; failures are listed at the end.",
        show_default=False,
    ),
]
ShowConditions = Annotated[
    Path | None,
    typer.Option(
        help="Folder for images of what the model takes from each condition, NAME.png with a cell for each frame; nothing is "
        "sampled.",
        show_default=False,
    ),
]


def generate(
    out: Out = None,
    model: Model = "tiny",
    sampler: SamplerName = None,
    spacing: SpacingName = None,
    steps: Steps = None,
    guidance: Weights = None,
    guidance_interval: Interval = None,
    guidance_rescale: Rescale = 0.0,
    guidance_every: GuidanceEvery = 1,
    reuse_every: ReuseEvery = 1,
    positive: Positive = None,
    negative: Negative = None,
    branch: Branch = None,
    negative_text: Annotated[str, typer.Option(help="Text of the first branch of guidance.")] = "",
    eta: Annotated[float, typer.Option(help="Noise of the sampler ddim: 0 is DDIM, 1 is DDPM.")] = 0.0,
    seed: Seeds = None,
    frames: Frames = None,
    size: Size = None,
    loop: Loop = False,
    composite: Composite = False,
    replay: Replay = None,
    batch: Batch = None,
    show_conditions: ShowConditions = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    devices: Devices = None,
    **further: Any,
) -> None:
    """Sample a video from any subset of the conditions.

    Maps are given finished (--motion FILE) or extracted from a source video (--motion-from FILE). The video file holds
    its request, for --replay.
    """
    from vcjax.composer.request import request_from_arguments

    given = options.condition_values(further)
    composed = composition(further, mask_given="mask" in given)
    request = request_from_arguments(
        model,
        positive=options.names(positive),
        negative=options.names(negative),
        branches=None if branch is None else [options.names([names]) or [] for names in branch],
        negative_text=negative_text,
        guidance=options.number_list("--guidance", guidance, float),
        **options.guidance_settings(guidance_interval, guidance_rescale, guidance_every, reuse_every),
        sampler=sampler,
        spacing=spacing,
        steps=steps,
        eta=eta,
        seeds=options.number_list("--seed", seed, int) or [0],
        frames=options.frame_count(frames),
        size=options.size(size),
        loop=loop,
        composite=composite,
        **given,
        **composed,
    )
    load = _loader(devices)
    if show_conditions is not None:
        _show(request, show_conditions, load, overwrite, (out, replay, batch))
        return
    if replay is not None or batch is not None:
        raise typer.Exit(_from_file(request, replay, batch, out, load, overwrite))
    with report_progress("steps") as progress:
        results = [
            _generate(path, each, load, overwrite, progress)
            for path, each in _outputs(out or Path("outputs/video.mp4"), request)
        ]
    for line in results:
        _print(line)


def _loader(devices: int | None) -> Callable[[str], Any]:
    """Return a function that loads a model, each once."""

    @functools.cache
    def load(name: str) -> Any:
        return vcjax.load(name, mesh=options.mesh(devices))

    return load


def _show(
    request: Any,
    folder: Path,
    load: Callable[[str], Any],
    overwrite: bool,
    other_files: tuple[Path | None, ...],
) -> None:
    """Write images of the conditions of a request."""
    from vcjax.video.clip import Clip
    from vcjax.video.write import check_output

    if any(path is not None for path in other_files):
        raise BadInput("--show-conditions samples nothing: leave --out, --replay and --batch")
    if not request.conditions:
        raise BadInput("--show-conditions needs a condition, such as --text")
    paths = {name: folder / f"{name}.png" for name in request.conditions}
    for path in paths.values():
        check_output(path)
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists: give --overwrite, or another folder")
    with report_progress("conditions") as progress:
        composer = load(request.model)
        progress("reading conditions", 0, 0)
        for name, frames in composer.condition_images(request).items():
            Clip(frames, composer.shape.fps).save(paths[name])
    for path in paths.values():
        if path.exists():  # a condition of strength 0 is absent
            print(path)


def _from_file(
    request: Any,
    replay: Path | None,
    batch: Path | None,
    out: Path | None,
    load: Callable[[str], Any],
    overwrite: bool,
) -> int:
    """Generate from a video or from a batch file; return the exit code."""
    from vcjax.composer.request import Request

    if replay is not None and batch is not None:
        raise BadInput("--replay and --batch exclude one another: give one of them")
    if request.to_json() != Request().to_json():
        name = "batch" if replay is None else "replay"
        raise BadInput(f"--{name} takes its request from the file: leave the other options")
    if replay is not None:
        _replay(replay, out or Path("outputs") / replay.name, load)
        return 0
    assert batch is not None
    if out is not None:
        raise BadInput("--out is for one request: name the file of each request in --batch as out")
    return _batch(batch, load, overwrite)


def _outputs(out: Path, request: Any) -> Iterator[tuple[Path, Any]]:
    """Yield a request of one seed, and its file, for each seed; all files are checked before the first is yielded."""
    from vcjax.video.write import check_output

    seeds = request.seeds
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"seeds must differ, not {', '.join(map(str, seeds))}")
    paths = [out] if len(seeds) == 1 else [out.with_stem(f"{out.stem}_{seed}") for seed in seeds]
    for path in paths:
        check_output(path, with_audio=request.audio is not None)
    for path, seed in zip(paths, seeds, strict=True):
        yield path, dataclasses.replace(request, seeds=(seed,))


def _generate(
    path: Path, request: Any, load: Callable[[str], Any], overwrite: bool, progress: ProgressCallback
) -> tuple[Path, str]:
    """Write the video of a request of one seed, unless it exists; return its path and a summary.

    Raises:
        BadInput: the request is invalid, or the file is another video and is not to be replaced.
    """
    from vcjax.composer.completion import complete_request
    from vcjax.composer.record import generation_record, read_record, same_result, save_with_record
    from vcjax.video.sequence import frame_path

    began = time.monotonic()
    progress(f"loading model {request.model}", 0, 0)
    composer = load(request.model)
    request = complete_request(request, composer)
    record = generation_record(request)
    existing = frame_path(path, 0)  # of an image sequence
    if existing.exists() and not overwrite:
        try:
            kept = same_result(read_record(existing), record)
        except BadInput as error:
            raise BadInput(
                f"{path} exists and holds no request: give --overwrite, or another file"
            ) from error
        if kept:
            return path, "exists with the same request and is kept: --overwrite replaces it"
        raise BadInput(f"{path} exists with another request: give --overwrite, or another file")
    if not request.conditions and not request.negative_text:
        _warn(f"{path}: no condition is given, so the video is unconditional")
    if request.frames == 1 < composer.shape.frames:
        _warn(f"{path}: one frame is asked of a model of clips of {composer.shape.frames} frames")
    (clip,) = composer.generate(request, progress)
    progress(f"writing {path}", 0, 0)
    save_with_record(clip, path, record)
    return path, (
        f"seed {request.seeds[0]}, {request.steps} steps of {request.sampler}, {len(clip)} frames of "
        f"{clip.height}x{clip.width} (height x width) at {clip.fps:g} fps, {time.monotonic() - began:.1f} seconds"
    )


def _replay(replay: Path, out: Path, load: Callable[[str], Any]) -> None:
    """Sample a video again from the request that it holds.

    Raises:
        BadInput: the file holds no request, or its model or files have changed.
    """
    from vcjax.composer.record import differences, generation_record, read_record
    from vcjax.composer.request import Request
    from vcjax.video.write import check_output

    check_output(out)
    if out.suffix.lower() != replay.suffix.lower():
        raise BadInput(f"{out} must end in {replay.suffix}, as {replay} does")
    record = read_record(replay)
    request = Request.from_json(record["request"])
    inputs, environment = differences(record, generation_record(request))
    if inputs:
        raise BadInput(f"{replay} cannot be sampled again: {'; '.join(inputs)}")
    if environment:
        _warn(f"{replay} may differ from its replay: {'; '.join(environment)}")
    with report_progress("steps") as progress:
        result = _generate(out, request, load, True, progress)
    _print(result)


def _batch(file: Path, load: Callable[[str], Any], overwrite: bool) -> int:
    """Write the videos of a list of requests; return the exit code, 1 where requests failed."""
    failures: list[str] = []
    outputs: set[Path] = set()
    lines = _lines(file)
    with report_progress("requests") as progress:
        for index, (number, line) in enumerate(lines):
            progress("generating", index, len(lines))
            try:
                out, request = _request_of(line)
                for path, each in _outputs(out, request):
                    if path.absolute() in outputs:
                        raise BadInput(f"{path} is the file of an earlier request too")
                    outputs.add(path.absolute())
                    _print(_generate(path, each, load, overwrite, no_progress))
            except BadInput as error:
                failures.append(f"{file}:{number}: {error}")
    for failure in failures:
        _warn(failure)
    if failures:
        _warn(f"{len(failures)} of {len(lines)} requests failed")
    return 1 if failures else 0


def _lines(file: Path) -> list[tuple[int, str]]:
    """Return the lines of a batch file that are not empty, with their numbers."""
    lines = [
        (number, line) for number, line in enumerate(read_text(file).splitlines(), start=1) if line.strip()
    ]
    if not lines:
        raise BadInput(f"{file} holds no request")
    return lines


def _request_of(line: str) -> tuple[Path, Any]:
    """Return the file and the request of a line of a batch."""
    from vcjax.composer.request import Request

    table = parse_json(line, "the request")
    if not isinstance(table, dict) or not isinstance(table.get("out"), str):
        raise BadInput('a request must be a table with its file as "out"')
    out = table.pop("out")
    return Path(out), Request.from_json(table)


def _print(result: tuple[Path, str]) -> None:
    """Print a path, and on standard error what is there."""
    path, summary = result
    print(path, flush=True)
    _warn(f"{path}: {summary}")


def _warn(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
