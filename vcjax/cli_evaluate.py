"""The command `vcjax evaluate`: the scoreboard of a model on the sprite world."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

import vcjax

console = Console(stderr=True)


def evaluate(
    model: Annotated[
        str, typer.Option(help="A built-in model (tiny), or the path of a model folder.")
    ] = "tiny",
    clips: Annotated[int, typer.Option(min=1, help="Test clips a setting.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="DDIM steps. (default: the model's)")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of guidance. (default: the model's)")] = None,
    groups: Annotated[str, typer.Option(help="Settings: some of alone,tasks,pairs,curves.")] = "alone,tasks",
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
    settings = chosen(tuple(groups.split(",")), tuple(composer.conditions))
    protocol = Protocol(
        model=fingerprint(model),
        clips=clips,
        steps=composer.defaults.steps if steps is None else steps,
        guidance=composer.defaults.guidance if guidance is None else guidance,
    )
    board = Scoreboard(composer, protocol, out)
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=clips * len(settings))
        for i, setting in enumerate(settings):
            board.make(
                setting,
                lambda name, done, total, i=i: progress.update(
                    bar, description=name, completed=i * clips + done
                ),
            )
    scores = report(board, composer, protocol, settings, min(shown, clips), out)
    print((out / TABLE).read_text("utf-8"), end="")
    print(f"{sum(map(len, scores.values()))} figures: {out / SCORES}; the videos: {out / PAGE}")
