"""`vcjax prepare` and `vcjax inspect`: make a data set for training from videos, and show what it holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vcjax.cli import options
from vcjax.cli.options import LIST_HINT, Model, NameList
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.progress import report_progress

MEGABYTE = 1e6
SPRITES = "sprites:"  # prefix of numbers of clips, in place of a path


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="Source videos: a folder (captions in NAME.txt beside NAME.mp4), a manifest (.csv, .jsonl or .parquet "
            "with columns file and caption), or a WebDataset .tar; or sprites:TRAIN,VALIDATION,TEST, numbers of clips.",
            show_default=False,
        ),
    ],
    beam: Annotated[
        list[str] | None,
        typer.Argument(help="After --: options of Apache Beam, such as --runner=FlinkRunner."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the data set.", show_default=False)],
    model: Model = "tiny",
    without: Annotated[
        NameList,
        typer.Option(help=f"Conditions of the model that are not stored, {LIST_HINT}.", show_default="none"),
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Fraction of the files for the split validation.", min=0, max=1)
    ] = 0.05,
    cuts: Annotated[bool, typer.Option(help="Avoid scene cuts within clips.")] = True,
    files_per_shard: Annotated[
        int | None,
        typer.Option(help="Files per unit of work.", show_default="by their number, at most 1000", min=1),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads on this machine.", show_default="number of cores", min=1)
    ] = None,
    compute_dtype: Annotated[
        str | None,
        typer.Option(
            help="Type to compute in: float32 or bfloat16.", show_default="float32 on a CPU, else bfloat16"
        ),
    ] = None,
) -> None:
    """Prepare videos for training: cut clips, and compute features once.

    It resumes when it is run again after an interruption.
    """
    import tensorflow_datasets as tfds

    from vcjax.data.beam import pipeline_options
    from vcjax.data.builder import Clips
    from vcjax.data.prepare import Job
    from vcjax.data.shards import DESCRIPTION

    job = Job(
        source=_source(source, validation, cuts),
        model=model,
        compute_dtype=compute_dtype,
        without=tuple(options.names(without) or ()),
        files_per_shard=files_per_shard,
    )
    for argument in beam or ():
        if not argument.startswith("--"):
            raise BadInput(
                f"unexpected argument {argument!r}: give one source, and options of Beam as --NAME=VALUE after --"
            )
    beam_options = pipeline_options(beam or (), workers)
    finished = (out / DESCRIPTION).is_file()
    with report_progress("files") as progress:
        builder = Clips(job=job, data_dir=out, progress=progress)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_options=beam_options))
    _print_dataset(out, finished)


def _print_dataset(out: Path, finished: bool) -> None:
    """Print the splits of a data set, and how many files were skipped."""
    from vcjax.data.prepare import REPORT, read_report
    from vcjax.data.records import PreparedDataset

    if finished:
        print(f"{out} is already complete: nothing was done")
    splits = PreparedDataset(out).splits
    print(
        f"{out}: {sum(splits.values())} clips ({', '.join(f'{n} in {name}' for name, n in splits.items())})"
    )
    for name in ("train", "validation"):
        if not splits.get(name):
            print(f"split {name} is empty: training reads train, evaluation reads validation (--validation)")
    skipped = read_report(out)
    if skipped:
        print(f"skipped: {len(skipped)}; the reasons are in {out / REPORT}")


def _source(source: str, validation: float, cuts: bool) -> Any:
    """Return the source that the argument names: videos, or clips of the sprite world."""
    from vcjax.data.sprite_clips import SpriteClips
    from vcjax.data.videos import Videos

    if not source.startswith(SPRITES):
        return Videos(path=source, validation=validation, cuts=cuts)
    numbers = source.removeprefix(SPRITES).split(",")
    if len(numbers) > 3 or not all(number.isdecimal() for number in numbers):
        raise BadInput(
            f"sprite clips are given as {SPRITES}1000,50,0 (train, validation, test), not {source!r}"
        )
    train, validation_clips, test = [*map(int, numbers), 0, 0, 0][:3]
    return SpriteClips(train=train, validation=validation_clips, test=test)


def inspect(
    dataset: Annotated[Path, typer.Argument(help="Folder of a prepared data set.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Contact sheet to write, .png.", show_default="outputs/NAME.png")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the histograms and of the contact sheet.")] = "train",
    examples: Annotated[int, typer.Option(help="Records on the contact sheet.", min=1)] = 6,
    records: Annotated[
        int, typer.Option(help="Records of each split to read for the statistics, evenly spaced.", min=1)
    ] = 1000,
) -> None:
    """Print statistics of a prepared data set (counts, sizes, motion, lengths), and write a contact sheet."""
    from PIL import Image

    from vcjax.data.inspection import contact_sheet, histogram, summarise
    from vcjax.data.records import PreparedDataset

    prepared = PreparedDataset(dataset)
    path = out or Path("outputs") / f"{dataset.resolve().name}.png"
    check_target(path)
    prepared.split(split)  # raises where it does not exist
    shape = prepared.shape
    print(
        f"{dataset}: clips of {shape.frames} frames of {shape.height}x{shape.width} (height x width) at "
        f"{shape.fps:g} fps, for model {prepared.description.model}"
    )
    for name in prepared.splits:
        summary = summarise(prepared, name, records)
        print(f"\n{name}: {summary.count} records, {summary.disk / MEGABYTE:.1f} MB")
        if summary.examined < summary.count:
            print(f"statistics of {summary.examined} of them, evenly spaced:")
        for part, size in sorted(summary.sizes.items(), key=lambda item: -item[1]):
            print(f"  {part:<16} {size:12.0f} bytes per record")
        if name == split and summary.speeds:
            print("\nmotion, pixels per frame:", *histogram(summary.speeds), sep="\n")
        if name == split and summary.seconds:
            print("\nlength, seconds:", *histogram(summary.seconds), sep="\n")
    sheet = contact_sheet(prepared, split, examples)
    with replacing(path) as unfinished:
        Image.fromarray(sheet).save(unfinished, "PNG")
    print(f"\n{path}")
