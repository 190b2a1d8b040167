"""Ablations: condition fidelity of models trained with the same recipe, each with one part left out.

    python -m benchmarks.ablations runs/whole runs/no_stc_temporal runs/no_stage_one

Takes runs (the EMA parameters of the last checkpoint) or model folders. Generates videos from text, motion,
and both for the first clips of the sprite world's test split, with the same seeds for all models, and prints
means with bootstrap intervals; *baseline* and *reference* are those of the first model. Videos are stored in
`--out`, so an interrupted run resumes.
"""

import argparse
from pathlib import Path

import vcjax
from vcjax.composer.loading import fingerprint
from vcjax.evaluation.cases import CASES, UNCONDITIONAL
from vcjax.evaluation.evaluator import EvalProtocol
from vcjax.evaluation.page import Table, markdown
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.training.export import export
from vcjax.weights.folder import CONFIG

SCORED = ("text", "motion", "text + motion")


def main() -> None:
    """Print a table with a row for each case and metric and a column for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=Path("outputs/ablations"))
    options = parser.parse_args()
    if len({model.name for model in options.models}) < len(options.models):
        parser.error("models must have different names")
    evaluators = {model.name: make_evaluator(model, options) for model in options.models}
    for evaluator in evaluators.values():
        for name in (UNCONDITIONAL, *SCORED):
            evaluator.generate(CASES[name])
    rows = []
    for name in SCORED:
        scores = [evaluator.scores(CASES[name]) for evaluator in evaluators.values()]
        for metric, row in scores[0].items():
            cells = [
                f"{s[metric]['value']:.3g} ({s[metric]['low']:.3g} to {s[metric]['high']:.3g})"
                for s in scores
            ]
            rows.append([name, metric, *cells, f"{row['baseline']:.3g}", f"{row['reference']:.3g}"])
    columns = ("case", "metric", *evaluators, "baseline", "reference")
    print(markdown(Table("scores", columns, rows)))


def make_evaluator(model: Path, options: argparse.Namespace) -> SpriteEvaluator:
    """Return the evaluator of a model folder, or of a run, which is exported first."""
    out = options.out / model.name
    if not (model / CONFIG).exists():
        export(model, out / "model")
        model = out / "model"
    protocol = EvalProtocol(
        model=fingerprint(model), clips=options.clips, steps=options.steps, guidance=options.guidance
    )
    return SpriteEvaluator(vcjax.load(model), protocol, out)


if __name__ == "__main__":
    main()
