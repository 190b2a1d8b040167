"""Report of an evaluation: scores as JSON, a Markdown table, and an HTML page with the videos."""

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
from vcjax.evaluation.cases import EvalCase
from vcjax.evaluation.condition_sources import conditions_from_clip
from vcjax.evaluation.evaluator import EvalProtocol
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.evaluation.thresholds import Scores, check_thresholds
from vcjax.files import replacing
from vcjax.video.clip import Clip

SCORES, PAGE, TABLE = "scores.json", "index.html", "scores.md"
VERDICT_COLUMNS = ("case", "metric", "threshold", "value", "verdict")
COLUMNS = ("case", "metric", "value", "interval", "baseline", "reference", "normalised", "relative to single")
LEGEND = (
    "baseline: the same case without the scored condition; "
    "reference: the target clip through the autoencoder; "
    "normalised: (value - baseline) / (reference - baseline); "
    "relative to single: a pair's gain over the baseline divided by the gain of the condition by itself."
)
STYLE = "body{font-family:sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}td:nth-child(-n+2){text-align:left}img{margin:.2em}"


def report(evaluator: SpriteEvaluator, cases: Sequence[EvalCase], shown: int, out: Path) -> Scores:
    """Score cases whose videos have been generated, and write JSON, table and page to a folder.

    Args:
        evaluator: evaluator that generated the videos.
        cases: cases to score.
        shown: number of videos of each case on the page.
        out: folder to write to.

    Returns:
        The scores by case and metric.
    """
    scores = {case.name: evaluator.scores(case) for case in cases if case.scored}
    rows, verdicts = _rows(scores), _verdicts(scores)
    tables = [markdown(COLUMNS, rows)] + [markdown(VERDICT_COLUMNS, verdicts)] * bool(verdicts)
    write_scores(out, scores, "\n".join(tables))
    files = {case: _write_comparisons(evaluator, case, shown, out) for case in cases}
    with replacing(out / PAGE) as unfinished:
        unfinished.write_text(_page(evaluator.protocol, rows, verdicts, files), "utf-8")
    return scores


def comparison(evaluator: SpriteEvaluator, case: EvalCase, position: int) -> Clip:
    """Return a video that shows the target clip, the conditions and the generated video side by side."""
    composer, seed = evaluator.composer, int(evaluator.indices[position])
    shape = composer.shape
    columns = {"target": np.asarray(evaluator.clips(case.target).frames[position])}
    for name, variant in case.sources:
        clip = jax.tree.map(lambda leaf: leaf[position], evaluator.clips(variant))
        read = composer.read(conditions_from_clip(clip, (name,), shape.fps, seed), shape, seed)
        (columns[name],) = composer.preview(read, shape).values()
    return side_by_side({**columns, "result": evaluator.video(case, position)}, shape.fps)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "".join("| " + " | ".join(line) + " |\n" for line in (columns, ["---"] * len(columns), *rows))


def write_scores(out: Path, scores: Mapping[str, Any], table: str) -> None:
    """Write the scores as JSON, with null for values that are not finite, and the Markdown table."""
    with replacing(out / SCORES) as unfinished:
        unfinished.write_text(json.dumps(_finite(scores), indent=1) + "\n", "utf-8")
    with replacing(out / TABLE) as unfinished:
        unfinished.write_text(table, "utf-8")


def _rows(scores: Scores) -> list[list[str]]:
    """Return a row of `COLUMNS` for each score."""
    rows = []
    for case, metrics in scores.items():
        for metric, row in metrics.items():
            relative = row.get("relative_to_single")
            relative_text = (
                f"{relative['value']:.2f} ({relative['low']:.2f} to {relative['high']:.2f})"
                if relative
                else ""
            )
            numbers = (f"{row[key]:.3g}" for key in ("baseline", "reference", "normalised"))
            interval = f"{row['low']:.3g} to {row['high']:.3g}"
            rows.append([case, metric, f"{row['value']:.3g}", interval, *numbers, relative_text])
    return rows


def _verdicts(scores: Scores) -> list[list[str]]:
    """Return a row of `VERDICT_COLUMNS` for each threshold."""
    return [
        [threshold.case, threshold.metric, str(threshold), f"{value:.3g}", "passed" if passed else "failed"]
        for threshold, value, passed in check_thresholds(scores)
    ]


def _write_comparisons(
    evaluator: SpriteEvaluator, case: EvalCase, shown: int, out: Path
) -> list[tuple[str, str]]:
    """Write the comparison videos of a case; return their relative paths and their captions."""
    clips = evaluator.clips(case.target)
    captions = sprites.captions(jax.tree.map(lambda leaf: leaf[:shown], clips.facts))
    files = []
    for position, caption in enumerate(captions):
        name = f"shown/{case.name.replace(' ', '_')}-{position:04d}.webp"
        comparison(evaluator, case, position).save(out / name)
        files.append((name, caption))
    return files


def _page(
    protocol: EvalProtocol,
    rows: list[list[str]],
    verdicts: list[list[str]],
    files: Mapping[EvalCase, list[tuple[str, str]]],
) -> str:
    title = html.escape(
        f"{protocol.clips} clips of the test split per case, {protocol.steps} steps, "
        f"guidance {protocol.guidance:g}, model {protocol.model['name']}"
    )
    tables = f"<p>{html.escape(LEGEND)}</p>{_table(COLUMNS, rows)}"
    if verdicts:
        tables += _table(VERDICT_COLUMNS, verdicts)
    sections = []
    for case, videos in files.items():
        images = "".join(
            f'<img src="{name}" alt="{html.escape(text)}" title="{html.escape(text)}">'
            for name, text in videos
        )
        sections.append(f"<h2>{html.escape(case.name)}</h2>{images}")
    return (
        f'<!doctype html><meta charset="utf-8"><title>vcjax evaluate</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{tables}{''.join(sections)}\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{name}</th>" for name in columns)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return value if not isinstance(value, float) or math.isfinite(value) else None
