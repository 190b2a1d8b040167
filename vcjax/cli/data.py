"""`vcjax prepare` and `vcjax inspect`: footage, or the sprite world, to a data set for training, and what is in it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vcjax.cli.terminal import progress_bar
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing

MEGABYTE = 1e6
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
    with progress_bar(unit="files") as tell:
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


def inspect(
    dataset: Annotated[Path, typer.Argument(help="Folder of a prepared data set.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Picture to write, .png. (default: outputs/NAME.png)")
    ] = None,
    split: Annotated[str, typer.Option(help="Split that histograms and picture are of.")] = "train",
    clips: Annotated[int, typer.Option(help="Records in the picture.", min=1)] = 6,
    records: Annotated[
        int, typer.Option(help="Records of each split to look at, evenly spread.", min=1)
    ] = 1000,
) -> None:
    """Say what is in a prepared data set: counts, sizes, how things move, how long clips are; and show some of it."""
    from PIL import Image

    from vcjax.data.inspection import contact_sheet, histogram, summarise
    from vcjax.data.records import Prepared

    prepared = Prepared(dataset)
    path = out or Path("outputs") / f"{dataset.resolve().name}.png"
    check_target(path)
    prepared.split(split)  # which must be there
    shape = prepared.shape
    print(
        f"{dataset}: clips of {shape.frames} frames of {shape.height}x{shape.width} at {shape.fps:g} a second, "
        f"for the model {prepared.description.model}"
    )
    for name in prepared.splits:
        summary = summarise(prepared, name, records)
        print(f"\n{name}: {summary.count} records, {summary.disk / MEGABYTE:.1f} MB")
        if summary.looked_at < summary.count:
            print(f"of {summary.looked_at} of them, evenly spread:")
        for part, size in sorted(summary.sizes.items(), key=lambda item: -item[1]):
            print(f"  {part:<16} {size:12.0f} bytes a record")
        if name == split and summary.speeds:
            print("\nmotion, pixels a frame:", *histogram(summary.speeds), sep="\n")
        if name == split and summary.seconds:
            print("\nlength, seconds:", *histogram(summary.seconds), sep="\n")
    sheet = contact_sheet(prepared, split, clips)
    with replacing(path) as unfinished:
        Image.fromarray(sheet).save(unfinished, "PNG")
    print(f"\n{path}")
