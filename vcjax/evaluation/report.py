"""Report of an evaluation: scores as JSON, Markdown tables, and an HTML page with the videos."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.conditions.base import ClipShape
from vcjax.conditions.preview import enlarge, previews, side_by_side
from vcjax.data import sprites
from vcjax.evaluation.cases import EvalCase
from vcjax.evaluation.condition_sources import CONDITIONS
from vcjax.evaluation.evaluator import TEXT, EvalProtocol
from vcjax.evaluation.metrics import METRICS, better
from vcjax.evaluation.page import Notes, Section, Shown, Table, markdown, page
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.evaluation.thresholds import RELATIVE, RELATIVE_BOUND, Scores, check_thresholds
from vcjax.files import replacing
from vcjax.video.clip import Clip

SCORES, PAGE, TABLE = "scores.json", "index.html", "scores.md"
MIN_SIDE = 128  # pixels of a frame's shorter side on the page; smaller frames are enlarged for legible text
COLUMNS = (
    "case", "metric", "unit", "better", "value", "interval", "baseline", "reference", "normalised",
    "relative to single",
)  # fmt: skip
VERDICT_COLUMNS = ("case", "metric", "threshold", "value", "verdict")
LEGEND = {
    "value": "mean over the clips, with its 95 % bootstrap interval; the column 'better' says whether "
    "a higher or a lower value is better.",
    "baseline (none)": "the same case generated with none of the scored condition: what the model reaches "
    "without it.",
    "reference (truth)": "the target clip itself, encoded and decoded by the autoencoder: what a perfect "
    "video would score.",
    "normalised": "(value - baseline) / (reference - baseline): 0 is as good as none, 1 as the truth.",
}
RELATIVE_LEGEND = {
    "relative to single": "a pair's gain over the baseline divided by the gain of the condition by itself.",
}
VIDEO_LEGEND = {
    "videos": "from left to right the target clip, each condition that the case was given, and the result. "
    "Text is drawn as words, motion as arrows whose colour is their direction; style is a vector "
    "(CLIP's embedding of a frame), drawn as grey squares.",
}
EQUAL = "the baseline equals the reference, so there is no scale from one to the other"
NO_GAIN = "the condition by itself gains nothing over its baseline, so there is no ratio"
NO_BOUND = (
    "the condition by itself gains nothing in some or all bootstrap samples, so the ratio has no interval"
)


def report(evaluator: SpriteEvaluator, cases: Sequence[EvalCase], shown: int, out: Path) -> Scores:
    """Score cases whose videos have been generated, and write JSON, tables and page to a folder.

    Args:
        evaluator: evaluator that generated the videos.
        cases: cases to score.
        shown: number of videos of each case on the page.
        out: folder to write to.

    Returns:
        The scores by case and metric.
    """
    scores = {case.name: evaluator.scores(case) for case in cases if case.scored}
    absent = {case.name: evaluator.absent(case) for case in cases if case.scored}
    tables = [score_table(scores, absent)]
    if verdicts := verdict_table(scores):
        tables.append(verdicts)
    legend = LEGEND | (RELATIVE_LEGEND if RELATIVE_LEGEND.keys() & set(tables[0].columns) else {})
    explained = "\n".join(f"- {term}: {text}" for term, text in legend.items())
    write_scores(out, scores, "\n".join([explained + "\n", *map(markdown, tables)]))
    sections = [
        Section(case.name, _describe(case), _write_comparisons(evaluator, case, shown, out)) for case in cases
    ]
    title = f"vcjax evaluate: {evaluator.protocol.model['name']}"
    content = page(title, _protocol(evaluator.protocol), legend | VIDEO_LEGEND, tables, sections)
    with replacing(out / PAGE) as unfinished:
        unfinished.write_text(content, "utf-8")
    return scores


def comparison(evaluator: SpriteEvaluator, case: EvalCase, position: int, scale: int = 1) -> Clip:
    """Return a video that shows the target clip, the conditions and the generated video side by side.

    Args:
        evaluator: evaluator that generated the video.
        case: case of the video.
        position: position of the clip in the evaluator's `indices`.
        scale: factor by which it is larger than the clip.
    """
    composer, seed = evaluator.composer, int(evaluator.indices[position])
    conditions = evaluator.conditions(case, position)
    arrays = composer.read(conditions, composer.shape, seed)
    texts = {TEXT: conditions[TEXT]} if TEXT in conditions else {}
    columns = {"target": enlarge(np.asarray(evaluator.clips(case.target).frames[position]), scale)}
    for source, _ in case.sources:
        name = CONDITIONS.get(source, source)
        alone = previews(composer.conditions, {name: arrays[name]}, composer.shape, texts, scale)
        columns[source] = alone[name]
    columns["result"] = enlarge(evaluator.video(case, position), scale)
    return side_by_side(columns, composer.shape.fps)


def page_scale(shape: ClipShape) -> int:
    """Return the factor by which clips of this shape are enlarged on the page."""
    return math.ceil(MIN_SIDE / min(shape.height, shape.width))


def write_scores(out: Path, scores: Mapping[str, Any], table: str) -> None:
    """Write the scores as JSON, with null for values that are not finite, and the Markdown tables."""
    with replacing(out / SCORES) as unfinished:
        unfinished.write_text(json.dumps(_finite(scores), indent=1) + "\n", "utf-8")
    with replacing(out / TABLE) as unfinished:
        unfinished.write_text(table, "utf-8")


def score_table(scores: Scores, absent: Mapping[str, Mapping[str, str]]) -> Table:
    """Return the table of the scores.

    Args:
        scores: rows by case and metric, as evaluators return them.
        absent: by case the metrics without a value, and why they have none.
    """
    notes, rows = Notes(), []
    for case, metrics in scores.items():
        for metric in METRICS:
            head = [case, metric.name, metric.unit, better(metric.higher_is_better)]
            if metric.name in metrics:
                rows.append(head + _values(metrics[metric.name], notes))
            elif metric.name in absent.get(case, {}):
                reason = notes.cell(absent[case][metric.name])
                rows.append([*head, reason, *[""] * (len(COLUMNS) - len(head) - 1)])
    return Table("Scores of each case", COLUMNS, rows, notes.lines).without_empty_columns()


def _values(row: Mapping[str, Any], notes: Notes) -> list[str]:
    """Return the cells of a score, from `value` on."""
    normalised, relative = notes.number(row["normalised"], EQUAL), ""
    if "relative_to_single" in row:
        value, low, high = (row["relative_to_single"][key] for key in ("value", "low", "high"))
        relative = notes.number(value, NO_GAIN)
        if math.isfinite(value):
            bounds = f"{low:.2f} to {high:.2f}" if math.isfinite(low + high) else notes.cell(NO_BOUND)
            relative = f"{value:.2f} ({bounds})"
    interval = f"{row['low']:.3g} to {row['high']:.3g}"
    value, baseline, reference = (f"{row[key]:.3g}" for key in ("value", "baseline", "reference"))
    return [value, interval, baseline, reference, normalised, relative]


def verdict_table(scores: Scores) -> Table | None:
    """Return the table of the acceptance thresholds; None where the scores have none."""
    notes, rows = Notes(), []
    for threshold, value, passed in check_thresholds(scores):
        zero = f"the threshold is a share of the {threshold.unit.removeprefix('of ')}, which is 0"
        reason = {RELATIVE: NO_GAIN, RELATIVE_BOUND: NO_BOUND}.get(threshold.unit, zero)
        cells = [threshold.case, threshold.metric, str(threshold), notes.number(value, reason)]
        rows.append([*cells, "passed" if passed else "failed"])
    title = "Acceptance thresholds, with the value in the unit of the threshold"
    return Table(title, VERDICT_COLUMNS, rows, notes.lines) if rows else None


def _describe(case: EvalCase) -> str:
    """Return a sentence on what a case is generated from, and what it is scored for."""
    sources = [f"{source} of the {variant} clip" for source, variant in case.sources]
    made = f"Generated from {' and '.join(sources) or 'no conditions'}."
    if not case.scored:
        return f"{made} Not scored: other cases have it as their baseline."
    scored = f"Scored for {', '.join(case.scored)} against the {case.target} clip."
    return f"{made} {scored} Baseline: {case.baseline}."


def _write_comparisons(evaluator: SpriteEvaluator, case: EvalCase, shown: int, out: Path) -> list[Shown]:
    """Write the comparison videos of a case, and return them with their captions."""
    facts = jax.tree.map(lambda leaf: leaf[:shown], evaluator.clips(case.target).facts)
    given = any(source == TEXT for source, _ in case.sources)
    columns = ["target", *(source for source, _ in case.sources), "result"]
    videos = []
    for position, caption in enumerate(sprites.captions(facts)):
        name = f"shown/{case.name.replace(' ', '_')}-{position:04d}.webp"
        clip = comparison(evaluator, case, position, page_scale(evaluator.composer.shape))
        clip.save(out / name)
        text = evaluator.conditions(case, position)[TEXT] if given else caption
        about = "Text given" if given else "Caption of the target, not given to the model"
        shown_text = f"Clip {evaluator.indices[position]}. {about}: {text}"
        videos.append(Shown(name, clip.frames.shape[1:3], columns, shown_text))
    return videos


def _protocol(protocol: EvalProtocol) -> str:
    """Return a sentence on how the videos were made."""
    return (
        f"Model {protocol.model['name']} on {protocol.clips} clips of the sprite world's test split, "
        f"{protocol.steps} steps of {protocol.sampler}, guidance {protocol.guidance:g}, {protocol.dtype}."
    )


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return value if not isinstance(value, float) or math.isfinite(value) else None
