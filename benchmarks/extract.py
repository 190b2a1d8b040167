"""Extraction by stage, ours and the PyTorch originals in the same run: frames a second, difference, programs.

    python -m benchmarks.extract                          # all stages at the released sizes; needs `make parity`
    python -m benchmarks.extract --stages sketch,cleaner  # some of them
    python -m benchmarks.extract --batches 1,4 --frames 4 # so many frames at once

Weights are random, the same on both sides. Each side is timed in turns, so that what else runs on the machine meets
both; the fastest of several turns counts.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vcjax.weights import extraction
from vcjax.weights.convert.released import RELEASED, bijection, shapes_of
from vcjax.weights.networks import random_parameters

STAGES = ("vision", "depth", "sketch", "cleaner")
TURNS = 3  # of which the fastest counts: the machine may be shared
MAP_SIZE = 384


def main() -> None:
    """Time each stage and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", default=",".join(STAGES), help="by comma [default: all]")
    parser.add_argument("--batches", default="1,4", help="frames at once, by comma [default: 1,4]")
    parser.add_argument("--frames", type=int, default=4, help="frames of a clip [default: 4]")
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    print(f"{len(os.sched_getaffinity(0))} cores, {jax.devices()[0].device_kind}")
    header = ("network", "at once", "ours", "original", "ratio", "difference", "compiling", "programs")
    print("| " + " | ".join(f"{name:>10}" for name in header) + " |")
    for stage in options.stages.split(","):
        for row in measured(stage, batches, options.frames):
            print("| " + " | ".join(f"{cell:>10}" for cell in (stage, *row)) + " |", flush=True)


def measured(stage: str, batches: list[int], count: int) -> list[tuple[str, ...]]:
    """Rows of the table: for each number of frames at once, frames a second of both sides and the rest."""
    ours, original = sides(stage)
    rng = np.random.default_rng(0)
    side = RELEASED.vision.size if stage == "vision" and RELEASED.vision else MAP_SIZE
    if stage == "cleaner":
        pictures = rng.random((count, side, side, 1), np.float32)
    else:
        pictures = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    rows = []
    for at_once in batches:
        extraction.pictures_at_once = lambda at_once=at_once: at_once
        before = extraction.answer._cache_size()  # type: ignore[attr-defined]
        start = time.perf_counter()
        ours(pictures[:at_once])
        compiling = time.perf_counter() - start
        mine, theirs = [], []
        for _ in range(TURNS):
            mine.append(timed(lambda: ours(pictures)))
            theirs.append(
                timed(
                    lambda at_once=at_once: np.concatenate(
                        [original(pictures[i : i + at_once]) for i in range(0, count, at_once)]
                    )
                )
            )
        (seconds, answer), (reference, expected) = min(mine, key=first), min(theirs, key=first)
        difference = np.abs(answer - expected).max() / expected.std()
        programs = extraction.answer._cache_size() - before  # type: ignore[attr-defined]
        rows.append(
            (
                f"{at_once}",
                f"{count / seconds:.3f}",
                f"{count / reference:.3f}",
                f"{reference / seconds:.2f}",
                f"{difference:.1e}",
                f"{compiling:.1f} s",
                f"{programs}",
            )
        )
    return rows


def sides(stage: str) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Both sides of a stage, with the same random weights, as functions of pictures."""
    import torch

    from tests.parity import originals

    modules: dict[str, Callable[[], Any]] = {
        "vision": lambda: originals.image_tower(RELEASED.vision),
        "depth": lambda: originals.depth(RELEASED.depth),
        "sketch": lambda: originals.pidinet(),
        "cleaner": originals.cleaner,
    }
    trees = random_parameters(shapes_of(RELEASED, [stage]), 0)
    if stage == "depth":  # so that its last ReLU passes what there is to compare
        trees[stage]["head_2"]["bias"] += 10
    kind = {"vision": "clip"}.get(stage, stage)
    names = ["visual.proj"] if stage == "vision" else []
    between = bijection(kind, names)
    state = between.to_torch(trees)
    if stage == "sketch":  # the original runs plain convolutions too, once it has folded them
        trees = between.to_ours(state, shapes_of(RELEASED, [stage]), stage)
        module = originals.load(originals.VIDEOCOMPOSER, "annotator.sketch.pidinet")
        state = {n: torch.from_numpy(np.array(x)) for n, x in state.items()}
        state = module.convert_pidinet(state, "carv4")
    prefix = {"vision": "visual.", "sketch": "module."}.get(stage, "")
    original = modules[stage]()
    original.load_state_dict(
        {name.removeprefix(prefix): torch.as_tensor(np.array(x)) for name, x in state.items()}, strict=True
    )

    def theirs(pictures: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1)))
        if stage in extraction.NORMALS:
            mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in extraction.NORMALS[stage])
            x = (x.float() / 255 - mean) / deviation
        with torch.inference_mode():
            answer = original(x).numpy()
        return np.moveaxis(answer, 1, -1) if answer.ndim == 4 else answer

    arrays = jax.tree.map(jax.numpy.asarray, trees)
    return extraction.extractors(RELEASED, arrays.__getitem__)[stage], theirs


def timed(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds of a call, and what it gave."""
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def first(pair: tuple[float, Any]) -> float:
    """The seconds."""
    return pair[0]


if __name__ == "__main__":
    main()
