"""`vcjax inspect`: what is in a prepared data set, in figures and as a contact sheet."""

from pathlib import Path
from typing import Annotated

import typer

from vcjax.files import check_target, replacing

MEGABYTE = 1e6


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
