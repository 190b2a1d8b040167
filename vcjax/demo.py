"""`make demo`: the nine tasks of VideoComposer, composed by the built-in model from clips that it has never seen, and judged."""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import vcjax
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.evaluation.bars import BARS, judged
from vcjax.evaluation.board import Protocol
from vcjax.evaluation.report import beside
from vcjax.evaluation.scoreboard import Scoreboard
from vcjax.evaluation.settings import SETTINGS
from vcjax.loading import fingerprint

CLIP = 0  # of the sprite world's test split
TASKS = {  # the paper's, by the scoreboard's names for them
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
FORMS = ("mp4", "webp", "gif")
TOLD_ALONE = tuple(
    bar for bar in BARS if bar.unit in ("", "of truth", "or 3 below truth")
)  # by one setting's videos


def main(out: Path, form: str) -> None:
    """Make a video for each task, beside its conditions, and say whether it does what it was asked for."""
    started = time.monotonic()
    composer = vcjax.load("tiny")
    protocol = Protocol(
        model=fingerprint("tiny"),
        clips=1,
        steps=composer.defaults.steps,
        guidance=composer.defaults.guidance,
        first=CLIP,
    )
    obeyed = 0
    with TemporaryDirectory() as folder:
        board = Scoreboard(composer, protocol, Path(folder))
        for task, name in TASKS.items():
            setting = SETTINGS[name]
            board.make(setting)
            path = out / f"{task}.{form}"
            beside(board, setting, 0).save(path)
            (caption,) = sprites.captions(board.clips(setting.wanted).facts)
            given = " + ".join(repr(caption) if giver == "text" else giver for giver, _ in setting.given)
            verdicts = judged({name: board.scores(setting, compared=False)}, TOLD_ALONE)
            obeyed += all(passed for *_, passed in verdicts)
            told = (
                f"{bar.measure} {reached:.2f} ({bar}: {'yes' if passed else 'no'})"
                for bar, reached, passed in verdicts
            )
            print(f"{path}: {given}: {'; '.join(told)}", flush=True)
    seconds = time.monotonic() - started
    print(
        f"{len(TASKS)} videos in {seconds:.0f} seconds, {obeyed} of them as they should be: {out.resolve()}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder to write to")
    parser.add_argument("--form", choices=FORMS, default="mp4", help="of the videos")
    options = parser.parse_args()
    try:
        main(options.out, options.form)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
