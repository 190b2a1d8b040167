"""Ways to fewer and cheaper steps: scores of the built-in model, seconds and motion of each, against 50 DDIM steps.

    python -m benchmarks.speed --out outputs/speed                  # 64 clips; hours on two cores, resumed where it was
    python -m benchmarks.speed --out outputs/speed --clips 8
    python -m benchmarks.speed --out outputs/speed --fast models/fast    # and a model distilled by configs/distill.py

Each way is an evaluation (`vcjax evaluate`) of the cases that have thresholds, pairs aside; its videos are kept in `--out`.
A score is relative to that of 50 DDIM steps: above 1 is better, and the table has the worst and the mean of the scores with
thresholds. Motion is the mean absolute difference of neighbouring frames, relative to the same: few-step models tend to
freeze.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import vcjax
from vcjax.composer.loading import fingerprint
from vcjax.evaluation.cases import CASES
from vcjax.evaluation.evaluator import EvalProtocol
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.evaluation.thresholds import HIGHER_IS_BETTER, THRESHOLDS

SCORED = dict.fromkeys((t.case, t.metric) for t in THRESHOLDS if CASES[t.case].group in ("single", "tasks"))
REFERENCE = "ddim 50"
SECONDS = "seconds.json"


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to sample: sampler, steps, and further settings of a request; and whether it is of the distilled model."""

    sampler: str
    steps: int
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    fast: bool = False


WAYS = {
    REFERENCE: Way("ddim", 50),
    "ddim 20": Way("ddim", 20),
    "ddim 10": Way("ddim", 10),
    "dpmpp_2m 20": Way("dpmpp_2m", 20),
    "dpmpp_2m 10": Way("dpmpp_2m", 10),
    "unipc 10": Way("unipc", 10),
    "ddim 50, reuse_every 2": Way("ddim", 50, {"reuse_every": 2}),
    "ddim 50, reuse_every 3": Way("ddim", 50, {"reuse_every": 3}),
    "ddim 50, reuse_every 5": Way("ddim", 50, {"reuse_every": 5}),
    "ddim 50, guidance_every 3": Way("ddim", 50, {"guidance_every": 3}),
    "ddim 50, guidance_interval 0.3,5": Way("ddim", 50, {"guidance_interval": (0.3, 5.0)}),
    "lcm 4, distilled": Way("lcm", 4, fast=True),
    "lcm 8, distilled": Way("lcm", 8, fast=True),
}


def main() -> None:
    """Sample, score, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the videos")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--fast", default="", help="model folder of the distilled model")
    parser.add_argument("--ways", default="", help=f"by semicolon, of {'; '.join(WAYS)}")
    options = parser.parse_args()
    names = [name.strip() for name in options.ways.split(";")] if options.ways else list(WAYS)
    rows = {}
    for name in dict.fromkeys([REFERENCE, *names]):
        if not WAYS[name].fast or options.fast:
            rows[name] = measured(
                WAYS[name], options.out / name.replace(" ", "_"), options.clips, options.fast
            )
            print(name, rows[name], flush=True)
    print("| way | seconds a clip | worst score | mean score | motion |")
    print("| --- | --- | --- | --- | --- |")
    reference = rows[REFERENCE]
    for name, row in rows.items():
        ratios = [
            relative(metric, row[metric], value) for metric, value in reference.items() if "/" in metric
        ]
        print(
            f"| {name} | {row['seconds']:.2f} | {np.nanmin(ratios):.2f} | {np.nanmean(ratios):.2f} "
            f"| {row['motion'] / reference['motion']:.2f} |"
        )


def relative(metric: str, value: float, reference: float) -> float:
    """Return a score in units of the reference, above 1 if it is better."""
    better, worse = (value, reference) if HIGHER_IS_BETTER[metric.partition("/")[2]] else (reference, value)
    return better / worse if worse else float("nan")


def measured(way: Way, out: Path, clips: int, fast: str) -> dict[str, float]:
    """Return the scores of a way by case and metric, its seconds a clip, and its motion."""
    model = fast if way.fast else "tiny"
    composer = vcjax.load(model)
    protocol = EvalProtocol(
        model=fingerprint(model), clips=clips, steps=way.steps, guidance=composer.defaults.guidance,
        sampler=way.sampler, settings=way.settings,
    )  # fmt: skip
    evaluator = SpriteEvaluator(composer, protocol, out)
    found: dict[str, float] = {}
    motion = []
    for case in (CASES[name] for name in dict.fromkeys(case for case, _ in SCORED)):
        evaluator.generate(case)
        videos = evaluator.videos(case).astype(np.float32)
        motion.append(np.abs(np.diff(videos, axis=1)).mean())
        for metric, score in evaluator.scores(case, with_baseline=False).items():
            if (case.name, metric) in SCORED:
                found[f"{case.name}/{metric}"] = score["value"]
    found["motion"] = float(np.mean(motion))
    found["seconds"] = seconds(evaluator, out / SECONDS)
    return found


def seconds(evaluator: SpriteEvaluator, path: Path) -> float:
    """Return the seconds of a clip, the fastest of three, measured once."""
    if not path.exists():
        case = CASES["text"]
        evaluator.sample(case, 0)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            evaluator.sample(case, 0)
            times.append(time.perf_counter() - began)
        path.write_text(json.dumps(min(times)))
    return json.loads(path.read_text())


if __name__ == "__main__":
    main()
