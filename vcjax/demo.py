"""`make demo`: the paper's nine tasks with the built-in model, with their condition fidelity."""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import vcjax
from vcjax.composer.loading import fingerprint
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.evaluation.cases import CASES
from vcjax.evaluation.evaluator import EvalProtocol
from vcjax.evaluation.report import comparison
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.evaluation.thresholds import THRESHOLDS, check_thresholds

CLIP_INDEX = 0  # index of the clip in the sprite world's test split
TASKS = {  # evaluation case of each task of the paper
    "text": "text",
    "image": "text + image",
    "inpainting": "text + mask",
    "single_sketch": "text + single_sketch",
    "sketch": "text + sketch",
    "depth": "text + depth",
    "motion_transfer": "motion transfer",
    "strokes": "strokes",
    "translation": "translation",
}
FORMATS = ("mp4", "webp", "gif")
# Thresholds that can be checked without generating the videos of a baseline.
WITHOUT_BASELINE = tuple(
    threshold for threshold in THRESHOLDS if threshold.unit in ("", "of reference", "or 3 dB below reference")
)


def main(out: Path, file_format: str) -> None:
    """Write a comparison video of each task with its conditions, and print its condition fidelity."""
    started = time.monotonic()
    composer = vcjax.load("tiny")
    protocol = EvalProtocol(
        model=fingerprint("tiny"),
        clips=1,
        steps=composer.defaults.steps,
        guidance=composer.defaults.guidance,
        first=CLIP_INDEX,
    )
    passing = 0
    with TemporaryDirectory() as folder:
        evaluator = SpriteEvaluator(composer, protocol, Path(folder))
        for task, name in TASKS.items():
            case = CASES[name]
            evaluator.generate(case)
            path = out / f"{task}.{file_format}"
            comparison(evaluator, case, 0).save(path)
            (caption,) = sprites.captions(evaluator.clips(case.target).facts)
            conditions = " + ".join(
                repr(caption) if source == "text" else source for source, _ in case.sources
            )
            scores = {name: evaluator.scores(case, with_baseline=False)}
            verdicts = check_thresholds(scores, WITHOUT_BASELINE)
            passing += all(passed for *_, passed in verdicts)
            fidelity = (
                f"{threshold.metric} {value:.2f} ({threshold}: {'passed' if passed else 'failed'})"
                for threshold, value, passed in verdicts
            )
            print(f"{path}: {conditions}: {'; '.join(fidelity)}", flush=True)
    seconds = time.monotonic() - started
    print(
        f"{len(TASKS)} videos in {seconds:.0f} seconds, "
        f"{passing} of them pass all thresholds of condition fidelity: {out.resolve()}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder to write to")
    parser.add_argument("--format", choices=FORMATS, default="mp4", help="format of the videos")
    options = parser.parse_args()
    try:
        main(options.out, options.format)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
