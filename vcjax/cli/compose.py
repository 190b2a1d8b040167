"""`vcjax generate` and `vcjax extract`: sample a video from conditions, and extract conditions from a video."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vcjax
from vcjax.cli import options
from vcjax.cli.options import LIST_HINT, Frames, Guidance, Model, NameList, Seed, Size, Steps
from vcjax.cli.terminal import console
from vcjax.conditions.base import SourceVideo
from vcjax.conditions.media import sample_source
from vcjax.conditions.preview import resize_to_clip, side_by_side
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.progress import report_progress

PREVIEW = "preview.mp4"


def generate(
    out: Annotated[Path, typer.Option(help="Video to write: .mp4, .gif, .webp, or .png for a grid.")] = Path(
        "outputs/video.mp4"
    ),
    model: Model = "tiny",
    steps: Steps = None,
    guidance: Guidance = None,
    positive: Annotated[
        NameList,
        typer.Option(
            help=f"Conditions of the positive branch of guidance, {LIST_HINT}.",
            show_default="all that are given",
        ),
    ] = None,
    negative: Annotated[
        NameList,
        typer.Option(
            help=f"Conditions of its negative branch, {LIST_HINT}; '' for none. ",
            show_default="all that are given but text and style",
        ),
    ] = None,
    strength: Annotated[
        NameList,
        typer.Option(help=f"Strength of a condition, as NAME=NUMBER, {LIST_HINT}.", show_default="1 each"),
    ] = None,
    eta: Annotated[float, typer.Option(help="Noise of the sampler: 0 is DDIM, 1 is DDPM.")] = 0.0,
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    devices: Annotated[
        int | None,
        typer.Option(help="Number of devices that share the frames of the video.", show_default="1"),
    ] = None,
    executables: Annotated[
        Path | None,
        typer.Option(
            help="Folder to store compiled executables in, and to load them from; use only one that you trust. ",
            show_default="none, JAX's compilation cache only",
        ),
    ] = None,
    **conditions: Any,
) -> None:
    """Sample a video from any subset of the conditions.

    Maps are given finished (--motion FILE) or extracted from a source video (--motion-from FILE).
    """
    from vcjax.video.write import check_output

    check_output(out)
    values = options.condition_values(conditions)
    with report_progress("steps") as progress:
        progress(f"loading model {model}", 0, 0)
        composer = vcjax.load(model, executables=executables, mesh=options.mesh(devices))
        clip = composer(
            steps=steps,
            guidance=guidance,
            positive=options.names(positive),
            negative=options.names(negative),
            strength=options.strengths(strength),
            eta=eta,
            seed=seed,
            frames=frames,
            size=options.size(size),
            progress=progress,
            **values,
        )
        progress(f"writing {out}", 0, 0)
        clip.save(out)
    print(out)


def extract(
    source: Annotated[Path, typer.Argument(help="Source video: any video or image.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the arrays and the preview.", show_default="outputs/NAME")
    ] = None,
    only: Annotated[
        NameList,
        typer.Option(
            help=f"Conditions to extract, {LIST_HINT}.", show_default="all that the model can extract"
        ),
    ] = None,
    model: Model = "tiny",
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    **further: Any,
) -> None:
    """Extract conditions from a video: arrays, and a preview video that shows them side by side.

    What cannot be extracted, such as text, is shown beside them where it is given.
    """
    out = out or Path("outputs") / source.stem
    composer = vcjax.load(model)
    shape = composer.clip_shape(frames, options.size(size))
    lacking = {
        name: c.missing_networks(composer.functions)
        for name, c in composer.conditions.items()
        if c.extractable
    }
    able = [name for name, networks in lacking.items() if not networks]
    finished = {name: further[name] for name in composer.conditions if further.get(name) is not None}
    names = able if only is None else options.names(only)
    if not names:
        raise BadInput(f"--only must name conditions, such as {','.join(able)}")
    targets = {name: out / f"{name}.npy" for name in dict.fromkeys([*finished, *names])}
    for path in (*targets.values(), out / PREVIEW):
        check_target(path)
    with report_progress("conditions") as progress:
        progress(f"reading {source}", 0, 0)
        clip = sample_source(SourceVideo(source), shape)
        arrays: dict[str, np.ndarray] = {}
        for i, name in enumerate(targets):
            progress(f"extracting {name}", i, len(targets))
            video = SourceVideo(clip, options.extract_options(name, further))
            arrays |= composer.read({name: finished.get(name, video)}, shape, seed)
        progress(f"writing {out}", 0, 0)
        columns = {"source": resize_to_clip(clip.frames, shape), **composer.preview(arrays, shape)}
        for name, path in targets.items():
            with replacing(path) as unfinished, unfinished.open("wb") as file:
                np.save(file, arrays[name])
        side_by_side(columns, shape.fps).save(out / PREVIEW)
    for path in (*targets.values(), out / PREVIEW):
        print(path)
    if only is None:
        for name, networks in lacking.items():
            if networks:
                console.print(
                    f"not extracted: {name}, since this model has no {' and no '.join(networks)} network",
                    soft_wrap=True,
                )
