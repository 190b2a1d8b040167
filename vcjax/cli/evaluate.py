"""The command `vcjax evaluate`: the scoreboard of a model on the sprite world."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

import vcjax
from vcjax.cli.options import Model, names
from vcjax.cli.terminal import console
from vcjax.errors import BadInput


def evaluate(
    model: Model = "tiny",
    clips: Annotated[int, typer.Option(min=1, help="Test clips a setting.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="DDIM steps. (default: the model's)")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of guidance. (default: the model's)")] = None,
    groups: Annotated[str, typer.Option(help="Settings: some of alone,tasks,pairs,curves.")] = "alone,tasks",
    part: Annotated[
        str,
        typer.Option(
            help="Make only part I of N of the videos, as in 0/2, and score nothing: for processes that share."
        ),
    ] = "",
    shown: Annotated[int, typer.Option(min=0, help="Videos of each setting on the page.")] = 4,
    out: Annotated[
        Path, typer.Option(help="Folder for videos, scores and page; what is there is not made again.")
    ] = Path("evaluation"),
) -> None:
    """Score how well a model obeys its conditions, on clips of the sprite world that it has not seen."""
    from vcjax.evaluation.report import PAGE, SCORES, TABLE, report
    from vcjax.evaluation.scoreboard import Protocol, Scoreboard
    from vcjax.evaluation.settings import chosen
    from vcjax.loading import fingerprint

    composer = vcjax.load(model)
    settings = chosen(tuple(names(groups) or ()), tuple(composer.conditions))
    protocol = Protocol(
        model=fingerprint(model),
        clips=clips,
        steps=composer.defaults.steps if steps is None else steps,
        guidance=composer.defaults.guidance if guidance is None else guidance,
    )
    mine = _part(part)
    board = Scoreboard(composer, protocol, out)
    total = len(range(mine[0], clips, mine[1]))
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=total * len(settings))
        for i, setting in enumerate(settings):
            board.make(
                setting,
                lambda name, done, _, i=i: progress.update(bar, description=name, completed=i * total + done),
                mine,
            )
    if part:
        print(f"{total * len(settings)} videos are made: {out}; without --part all are scored")
        return
    scores = report(board, composer, protocol, settings, min(shown, clips), out)
    print((out / TABLE).read_text("utf-8"), end="")
    print(f"{sum(map(len, scores.values()))} figures: {out / SCORES}; the videos: {out / PAGE}")


def _part(text: str) -> tuple[int, int]:
    """Which of how many, of I/N; all where nothing is said."""
    if not text:
        return 0, 1
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise BadInput(f"--part must be I/N with I from 0 to N - 1, such as 0/2, not {text!r}")
    return int(index), int(count)
