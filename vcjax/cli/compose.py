"""`vcjax generate` and `vcjax extract`: a video put together, and taken apart."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vcjax
from vcjax.cli import options
from vcjax.cli.options import Frames, Model, Seed, Size
from vcjax.cli.terminal import console, progress_bar
from vcjax.conditions.base import Footage
from vcjax.conditions.media import sampled
from vcjax.conditions.preview import fitted, side_by_side
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing

PREVIEW = "preview.mp4"

Strengths = Annotated[
    list[str] | None, typer.Option("--strength", help="Factor for a condition, as NAME=NUMBER. Repeatable.")
]


def generate(
    out: Annotated[Path, typer.Option(help="Video to write: .mp4, .gif, .webp, or .png for a grid.")] = Path(
        "outputs/video.mp4"
    ),
    model: Model = "tiny",
    steps: Annotated[int | None, typer.Option(help="Sampling steps. (default: the model's)")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of guidance. (default: the model's)")] = None,
    toward: Annotated[
        str | None, typer.Option(help="Conditions that guidance leads toward, by comma. (default: all)")
    ] = None,
    away: Annotated[
        str | None,
        typer.Option(help="Conditions that it leads away from, by comma. (default: all but text and style)"),
    ] = None,
    strength: Strengths = None,
    eta: Annotated[float, typer.Option(help="Noise of the sampler: 0 is DDIM, 1 is DDPM.")] = 0.0,
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    devices: Annotated[
        int | None, typer.Option(help="How many devices share the frames of the video. (default: one)")
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(help="Folder to keep compiled programs in and to start from; only one that you trust."),
    ] = None,
    **conditions: Any,
) -> None:
    """Make a video from any subset of the conditions.

    Maps come finished (--motion FILE) or are extracted from footage (--motion-from FILE).
    """
    from vcjax.video.write import check_output

    check_output(out)
    given = options.given(conditions)
    composer = vcjax.load(model, programs=programs, mesh=options.mesh(devices))
    with progress_bar() as progress:
        clip = composer(
            steps=steps,
            guidance=guidance,
            toward=options.names(toward),
            away=options.names(away),
            strength=options.strengths(strength),
            eta=eta,
            seed=seed,
            frames=frames,
            size=options.size(size),
            progress=progress,
            **given,
        )
    clip.save(out)
    print(out)


def extract(
    source: Annotated[Path, typer.Argument(help="Footage: any video or picture.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the arrays and the preview. (default: outputs/NAME)")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Conditions to extract, by comma. (default: all the model can)")
    ] = None,
    model: Model = "tiny",
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    **further: Any,
) -> None:
    """Take a video apart: every condition that can be extracted, as arrays and side by side in a preview video.

    What cannot be extracted, such as the text, is shown beside them where it is given.
    """
    out = out or Path("outputs") / source.stem
    composer = vcjax.load(model)
    shape = composer.clip_shape(frames, options.size(size))
    lacking = {name: c.lacks(composer.functions) for name, c in composer.conditions.items() if c.extractable}
    able = [name for name, networks in lacking.items() if not networks]
    finished = {name: further[name] for name in composer.conditions if further.get(name) is not None}
    names = able if only is None else options.names(only)
    if not names:
        raise BadInput(f"--only must name conditions, such as {','.join(able)}")
    targets = {name: out / f"{name}.npy" for name in dict.fromkeys([*finished, *names])}
    for path in (*targets.values(), out / PREVIEW):
        check_target(path)
    clip = sampled(Footage(source), shape)
    footage = {name: Footage(clip, options.aids(name, further)) for name in targets}
    arrays = composer.read(footage | finished, shape, seed)
    columns = {"footage": fitted(clip.frames, shape), **composer.preview(arrays, shape)}
    for name, path in targets.items():
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, arrays[name])
        print(path)
    side_by_side(columns, shape.fps).save(out / PREVIEW)
    print(out / PREVIEW)
    if only is None:
        for name, networks in lacking.items():
            if networks:
                console.print(
                    f"not extracted: {name}, since this model has no {' and no '.join(networks)} network"
                )
