"""What a scoreboard says, for people: json, a page with the videos beside what was asked for, and a table of Markdown."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.conditions.preview import side_by_side
from vcjax.data import sprites
from vcjax.evaluation.bars import Scores, judged
from vcjax.evaluation.board import Protocol
from vcjax.evaluation.cases import conditions_of
from vcjax.evaluation.scoreboard import Scoreboard
from vcjax.evaluation.settings import Setting
from vcjax.files import replacing
from vcjax.video.clip import Clip

SCORES, PAGE, TABLE = "scores.json", "index.html", "scores.md"
VERDICT_COLUMNS = ("setting", "measure", "bar", "reached", "")
COLUMNS = ("setting", "measure", "value", "interval", "none", "truth", "share", "of alone")
STYLE = "body{font-family:sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}td:nth-child(-n+2){text-align:left}img{margin:.2em}"


def report(board: Scoreboard, settings: Sequence[Setting], shown: int, out: Path) -> Scores:
    """Score what has been made and write json, table and page into a folder; returns the scores by setting and measure.

    Args:
        board: it.
        settings: what has been made.
        shown: videos of each setting on the page.
        out: the folder.
    """
    scores = {setting.name: board.scores(setting) for setting in settings if setting.scored}
    rows, verdicts = _rows(scores), _verdicts(scores)
    tables = [markdown(COLUMNS, rows)] + [markdown(VERDICT_COLUMNS, verdicts)] * bool(verdicts)
    write_scores(out, scores, "\n".join(tables))
    pictures = {setting: _pictures(board, setting, shown, out) for setting in settings}
    with replacing(out / PAGE) as unfinished:
        unfinished.write_text(_page(board.protocol, rows, verdicts, pictures), "utf-8")
    return scores


def beside(board: Scoreboard, setting: Setting, n: int) -> Clip:
    """Video n of a setting: what should be, the conditions, what came."""
    composer, seed = board.composer, int(board.indices[n])
    shape = composer.shape
    columns = {"wanted": np.asarray(board.clips(setting.wanted).frames[n])}
    for name, variant in setting.given:
        clip = jax.tree.map(lambda leaf: leaf[n], board.clips(variant))
        read = composer.read(conditions_of(clip, (name,), shape.fps, seed), shape, seed)
        (columns[name],) = composer.preview(read, shape).values()
    return side_by_side({**columns, "result": board.one(setting, n)}, shape.fps)


def _rows(scores: Scores) -> list[list[str]]:
    """A line of the table for each figure."""
    lines = []
    for setting, measures in scores.items():
        for measure, row in measures.items():
            alone = row.get("of_alone")
            of_alone = f"{alone['value']:.2f} ({alone['low']:.2f} to {alone['high']:.2f})" if alone else ""
            figures = (f"{row[key]:.3g}" for key in ("none", "truth", "share"))
            interval = f"{row['low']:.3g} to {row['high']:.3g}"
            lines.append([setting, measure, f"{row['value']:.3g}", interval, *figures, of_alone])
    return lines


def _verdicts(scores: Scores) -> list[list[str]]:
    """A line for each bar."""
    return [
        [bar.setting, bar.measure, str(bar), f"{value:.3g}", "passed" if passed else "missed"]
        for bar, value, passed in judged(scores)
    ]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "".join("| " + " | ".join(line) + " |\n" for line in (columns, ["---"] * len(columns), *rows))


def write_scores(out: Path, scores: Mapping[str, Any], table: str) -> None:
    """The scores of a run as json, in which a figure that is not finite is null, and as a table of Markdown."""
    with replacing(out / SCORES) as unfinished:
        unfinished.write_text(json.dumps(_finite(scores), indent=1) + "\n", "utf-8")
    with replacing(out / TABLE) as unfinished:
        unfinished.write_text(table, "utf-8")


def _pictures(board: Scoreboard, setting: Setting, shown: int, out: Path) -> list[tuple[str, str]]:
    """Files with videos of a setting, relative to the folder, and their captions."""
    clips = board.clips(setting.wanted)
    captions = sprites.captions(jax.tree.map(lambda leaf: leaf[:shown], clips.facts))
    files = []
    for n, caption in enumerate(captions):
        name = f"shown/{setting.name.replace(' ', '_')}-{n:04d}.webp"
        beside(board, setting, n).save(out / name)
        files.append((name, caption))
    return files


def _page(
    protocol: Protocol,
    rows: list[list[str]],
    verdicts: list[list[str]],
    pictures: Mapping[Setting, list[tuple[str, str]]],
) -> str:
    told = html.escape(
        f"{protocol.clips} clips of the test split a setting, {protocol.steps} steps, "
        f"guidance {protocol.guidance:g}, model {protocol.model['name']}"
    )
    tables = _table(COLUMNS, rows) + (_table(VERDICT_COLUMNS, verdicts) if verdicts else "")
    parts = []
    for setting, files in pictures.items():
        images = "".join(
            f'<img src="{name}" alt="{html.escape(text)}" title="{html.escape(text)}">'
            for name, text in files
        )
        parts.append(f"<h2>{html.escape(setting.name)}</h2>{images}")
    return (
        f'<!doctype html><meta charset="utf-8"><title>vcjax evaluate</title><style>{STYLE}</style>'
        f"<h1>{told}</h1>{tables}{''.join(parts)}\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{name}</th>" for name in columns)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _finite(value: Any) -> Any:
    """The same without NaN and infinity, which json does not know: they are null."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return value if not isinstance(value, float) or math.isfinite(value) else None
