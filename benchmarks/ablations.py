"""What a thing that was left out in training was worth: models of the same recipe side by side on the scoreboard.

    python -m benchmarks.ablations runs/whole runs/no_stc_temporal runs/no_stage_one

takes runs (the last checkpoint's averaged parameters) or model folders, makes the videos of text, motion, and both, on the
first clips of the sprite world's test split with the same seeds, and prints means with bootstrap intervals; *none* and *truth*
are the first's. Videos are kept in `--out`, so that a run that is stopped goes on.
"""

import argparse
from pathlib import Path

import vcjax
from vcjax.evaluation.board import Protocol
from vcjax.evaluation.report import markdown
from vcjax.evaluation.scoreboard import Scoreboard
from vcjax.evaluation.settings import NOTHING, SETTINGS
from vcjax.loading import fingerprint
from vcjax.training.export import export
from vcjax.weights.folder import CONFIG

SCORED = ("text", "motion", "text + motion")


def main() -> None:
    """Print a table."""
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
    boards = {model.name: board_of(model, options) for model in options.models}
    for board in boards.values():
        for name in (NOTHING, *SCORED):
            board.make(SETTINGS[name])
    rows = []
    for name in SCORED:
        scores = [board.scores(SETTINGS[name]) for board in boards.values()]
        for measure, row in scores[0].items():
            cells = [
                f"{s[measure]['value']:.3g} ({s[measure]['low']:.3g} to {s[measure]['high']:.3g})"
                for s in scores
            ]
            rows.append([name, measure, *cells, f"{row['none']:.3g}", f"{row['truth']:.3g}"])
    print(markdown(("setting", "measure", *boards, "none", "truth"), rows))


def board_of(model: Path, options: argparse.Namespace) -> Scoreboard:
    """The scoreboard of a model folder, or of a run, which is exported first."""
    out = options.out / model.name
    if not (model / CONFIG).exists():
        export(model, out / "model")
        model = out / "model"
    protocol = Protocol(
        model=fingerprint(model), clips=options.clips, steps=options.steps, guidance=options.guidance
    )
    return Scoreboard(vcjax.load(model), protocol, out)


if __name__ == "__main__":
    main()
