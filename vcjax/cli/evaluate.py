"""The command `vcjax evaluate`: how well a model obeys, on the sprite world or on a prepared data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vcjax
from vcjax.cli.options import Model, names
from vcjax.cli.terminal import progress_bar
from vcjax.errors import BadInput


def evaluate(
    model: Model = "tiny",
    clips: Annotated[int, typer.Option(min=1, help="Clips a setting.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="DDIM steps. (default: the model's)")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of guidance. (default: the model's)")] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Of the sprite world's settings: alone,tasks,pairs,curves. (default: alone,tasks)"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A prepared data set to take clips from instead of the sprite world.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the data set. (default: validation)")] = None,
    features: Annotated[
        str | None,
        typer.Option(help="MODULE:FUNCTION, from videos to features: with --data, for the Frechet distance."),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            help="Make only part I of N of the videos, as in 0/2, and score nothing: for processes that share."
        ),
    ] = "",
    shown: Annotated[int, typer.Option(min=0, help="Videos of each setting to look at.")] = 4,
    out: Annotated[
        Path, typer.Option(help="Folder for videos, scores and page; what is there is not made again.")
    ] = Path("evaluation"),
) -> None:
    """Score how well a model obeys its conditions, on clips that it has not seen."""
    from vcjax.data.records import checksum
    from vcjax.evaluation.board import SPRITES, Protocol
    from vcjax.loading import fingerprint

    if data is None and (features is not None or split is not None):
        raise BadInput("--features and --split need --data")
    if data is not None and groups is not None:
        raise BadInput("--groups are of the sprite world: give it or --data, not both")
    split = split or "validation"
    composer = vcjax.load(model)
    protocol = Protocol(
        model=fingerprint(model),
        clips=clips,
        steps=composer.defaults.steps if steps is None else steps,
        guidance=composer.defaults.guidance if guidance is None else guidance,
        data=SPRITES if data is None else f"{data.resolve().name}:{split}:{checksum(data)}",
        dtype=np.dtype(composer.networks.unet.dtype).name,
    )
    mine, shown = _part(part), min(shown, clips)
    if data is None:
        _on_sprites(composer, protocol, tuple(names(groups or "alone,tasks") or ()), mine, shown, out)
    else:
        _on_footage(composer, protocol, data, split, features, mine, shown, out)


def _on_sprites(
    composer: Any, protocol: Any, groups: tuple[str, ...], mine: tuple[int, int], shown: int, out: Path
) -> None:
    from vcjax.evaluation.report import PAGE, TABLE, report
    from vcjax.evaluation.scoreboard import Scoreboard
    from vcjax.evaluation.settings import chosen

    settings = chosen(groups, tuple(composer.conditions))
    board = Scoreboard(composer, protocol, out)
    if _make(board, settings, mine):
        report(board, settings, shown, out)
        print((out / TABLE).read_text("utf-8"), end="")
        print(out / PAGE)


def _on_footage(
    composer: Any,
    protocol: Any,
    data: Path,
    split: str,
    features: str | None,
    mine: tuple[int, int],
    shown: int,
    out: Path,
) -> None:
    from vcjax.data.records import Prepared
    from vcjax.evaluation.footage import FootageBoard, features_of, report

    given = None if features is None else features_of(features)
    board = FootageBoard(composer, protocol, out, Prepared(data), split, given)
    if _make(board, board.settings, mine):
        print(report(board, shown, out), end="")
        print(out)


def _make(board: Any, settings: Sequence[Any], mine: tuple[int, int]) -> bool:
    """Make the videos of the settings; whether all of them are there to be scored."""
    index, parts = mine
    total = len(range(index, len(board.indices), parts))
    with progress_bar(unit="videos") as tell:
        for i, setting in enumerate(settings):
            for place in range(index, len(board.indices), parts):
                tell(setting.name, i * total + place // parts, len(settings) * total)
                board.make(setting, [place])
    if parts > 1:
        print(f"{total * len(settings)} videos are made; without --part all are scored")
    return parts == 1


def _part(text: str) -> tuple[int, int]:
    """Which of how many, of I/N; all where nothing is said."""
    if not text:
        return 0, 1
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise BadInput(f"--part must be I/N with I from 0 to N - 1, such as 0/2, not {text!r}")
    return int(index), int(count)
