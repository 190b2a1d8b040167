"""`vcjax prepare`: footage, or the sprite world, to a data set for training."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from vcjax.errors import BadInput

SPRITES = "sprites:"  # before the numbers of clips, in the place of footage


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="Footage: a folder (captions in NAME.txt beside NAME.mp4), a manifest (.csv, .jsonl, .parquet with "
            "columns file and caption), or a WebDataset .tar. Or sprites:TRAIN,VALIDATION,TEST, numbers of clips.",
            show_default=False,
        ),
    ],
    beam: Annotated[
        list[str] | None,
        typer.Argument(help="Behind a lone --: options of Apache Beam, such as --runner=FlinkRunner."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the data set.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="A built-in model (tiny), or the path of a model folder.")
    ] = "tiny",
    without: Annotated[str, typer.Option(help="Conditions of the model that are not stored, by comma.")] = "",
    validation: Annotated[
        float, typer.Option(help="Share of the files for the split validation.", min=0, max=1)
    ] = 0.05,
    cuts: Annotated[bool, typer.Option(help="Keep clips clear of scene cuts.")] = True,
    files_per_shard: Annotated[
        int | None, typer.Option(help="Files that are one piece of work. (default: by their number)", min=1)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads on this machine. (default: as many as cores)", min=1)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Type to compute in: float32 or bfloat16. (default: what suits the device)"),
    ] = None,
) -> None:
    """Prepare footage for training: cut clips, and compute once what training needs of them.

    Run it again after it was stopped: it goes on where it was.
    """
    import tensorflow_datasets as tfds

    from vcjax.data.beam import pipeline_options
    from vcjax.data.builder import Clips
    from vcjax.data.prepare import REPORT, Job, read_report
    from vcjax.data.records import DESCRIPTION, Prepared

    job = Job(
        source=_source(source, validation, cuts),
        model=model,
        dtype=dtype,
        without=tuple(name.strip() for name in without.split(",") if name.strip()),
        files_per_shard=files_per_shard,
    )
    for argument in beam or ():
        if not argument.startswith("--"):
            raise BadInput(
                f"{argument!r} is too much: give one source, and options of Beam as --NAME=VALUE behind --"
            )
    options = pipeline_options(beam or (), workers)
    finished = (out / DESCRIPTION).is_file()
    with _bar() as tell:
        builder = Clips(job=job, data_dir=out, tell=tell)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_options=options))
    if finished:
        print(f"{out} is finished already: nothing was to be done")
    splits = Prepared(out).splits
    print(
        f"{out}: {sum(splits.values())} clips ({', '.join(f'{n} in {name}' for name, n in splits.items())})"
    )
    lost = read_report(out)
    if lost:
        print(f"not kept: {len(lost)}; the reasons are in {out / REPORT}")


def _source(source: str, validation: float, cuts: bool) -> Any:
    """What the argument names: footage, or clips of the sprite world."""
    from vcjax.data.footage import Videos
    from vcjax.data.sprite_clips import SpriteClips

    if not source.startswith(SPRITES):
        return Videos(path=source, validation=validation, cuts=cuts)
    numbers = source.removeprefix(SPRITES).split(",")
    if len(numbers) > 3 or not all(number.isdecimal() for number in numbers):
        raise BadInput(
            f"the sprite world is asked for as {SPRITES}1000,50,0 (train, validation, test), not {source!r}"
        )
    train, validation_clips, test = [*map(int, numbers), 0, 0, 0][:3]
    return SpriteClips(train=train, validation=validation_clips, test=test)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar with the time left, told of a stage, what is done of it, and how much it is."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)
