"""`vcjax extract`: extract conditions from a video."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vcjax
from vcjax.cli import options
from vcjax.cli.options import LIST_HINT, Frames, Model, NameList, Size
from vcjax.cli.terminal import console
from vcjax.conditions.base import SourceVideo
from vcjax.conditions.media import sample_source
from vcjax.conditions.preview import resize_to_clip, side_by_side
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing, replacing_all
from vcjax.progress import report_progress
from vcjax.video.clip import Clip

PREVIEW = "preview.mp4"


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
    seed: Annotated[
        int, typer.Option(help="Seed of conditions that are drawn at random, such as masks.")
    ] = 0,
    frames: Frames = None,
    size: Size = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    **further: Any,
) -> None:
    """Extract conditions from a video: arrays, and a preview video that shows them side by side.

    A text, which cannot be extracted, is added with --text.
    """
    finished, extraction = options.finished_values(further), options.extract_options(further)
    out = out or Path("outputs") / source.stem
    composer = vcjax.load(model)
    shape = composer.clip_shape(frames, options.size(size))
    lacking = {
        name: c.missing_networks(composer.functions)
        for name, c in composer.conditions.items()
        if c.extractable
    }
    able = [name for name, networks in lacking.items() if not networks]
    names = able if only is None else options.names(only)
    if not names:
        raise BadInput(f"--only must name conditions, such as {','.join(able)}")
    targets = {name: out / f"{name}.npy" for name in dict.fromkeys([*finished, *names])}
    for name in extraction:
        if name not in targets:
            raise BadInput(f"{name} has options of extraction, but is not extracted: add it to --only")
    for path in (*targets.values(), out / PREVIEW):
        check_target(path)
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists: give --overwrite, or another folder")
    with report_progress("conditions") as progress:
        progress(f"reading {source}", 0, 0)
        clip = sample_source(SourceVideo(source), shape)
        arrays: dict[str, np.ndarray] = {}
        for i, name in enumerate(targets):
            progress(f"extracting {name}", i, len(targets))
            video = SourceVideo(clip, extraction.get(name, {}))
            arrays |= composer.read({name: finished.get(name, video)}, shape, seed)
        progress(f"writing {out}", 0, 0)
        texts = {name: text for name, text in finished.items() if name == "text"}
        shown = composer.preview(arrays, shape, texts)
        columns = {"source": resize_to_clip(clip.frames, shape), **shown}
        _write(out, {name: arrays[name] for name in targets}, side_by_side(columns, shape.fps))
    for path in (*targets.values(), out / PREVIEW):
        print(path)
    if only is None:
        for name, networks in lacking.items():
            if networks:
                console.print(
                    f"not extracted: {name}, since this model has no {' and no '.join(networks)} network",
                    soft_wrap=True,
                )


def _write(out: Path, arrays: dict[str, np.ndarray], preview: Clip) -> None:
    """Write arrays and preview, all or none."""
    with replacing_all(out) as staging:
        for name, array in arrays.items():
            with replacing(staging / f"{name}.npy") as unfinished, unfinished.open("wb") as file:
                np.save(file, array)
        preview.save(staging / PREVIEW)
