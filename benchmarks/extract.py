"""Throughput of the condition extractors against the PyTorch originals: frames/s and difference by network.

    python -m benchmarks.extract                          # all stages; needs `make parity`
    python -m benchmarks.extract --stages sketch,cleaner  # some of them
    python -m benchmarks.extract --batches 1,4 --frames 4 # batch sizes

Both sides have the same random weights. Their runs alternate, so that other load on the machine affects both
alike, and the fastest of several runs counts.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vcjax.weights import extraction
from vcjax.weights.convert.released import bijection, shapes_of
from vcjax.weights.convert.releases import RELEASED
from vcjax.weights.networks import random_parameters

STAGES = ("vision", "depth", "sketch", "cleaner")
TURNS = 3  # runs of each measurement; the fastest counts, since the machine may be shared
MAP_SIZE = 384


def main() -> None:
    """Time each stage and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated [default: all]")
    parser.add_argument("--batches", default="1,4", help="batch sizes, comma-separated [default: 1,4]")
    parser.add_argument("--frames", type=int, default=4, help="frames of a clip [default: 4]")
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    print(f"{len(os.sched_getaffinity(0))} cores, {jax.devices()[0].device_kind}")
    header = ("network", "batch", "frames/s", "original", "speedup", "difference", "compile", "executables")
    print("| " + " | ".join(f"{name:>10}" for name in header) + " |")
    for stage in options.stages.split(","):
        for row in measured(stage, batches, options.frames):
            print("| " + " | ".join(f"{cell:>10}" for cell in (stage, *row)) + " |", flush=True)


def measured(stage: str, batches: list[int], count: int) -> list[tuple[str, ...]]:
    """Return the rows of a network, one for each batch size."""
    ours, original = sides(stage)
    rng = np.random.default_rng(0)
    side = RELEASED.vision.image_size if stage == "vision" and RELEASED.vision else MAP_SIZE
    if stage == "cleaner":
        images = rng.random((count, side, side, 1), np.float32)
    else:
        images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    rows = []
    for batch_size in batches:
        extraction.batch_size = lambda batch_size=batch_size: batch_size
        before = extraction.predict._cache_size()  # type: ignore[attr-defined]
        start = time.perf_counter()
        ours(images[:batch_size])
        compiling = time.perf_counter() - start
        our_runs, reference_runs = [], []
        for _ in range(TURNS):
            our_runs.append(timed(lambda: ours(images)))
            reference_runs.append(
                timed(
                    lambda batch_size=batch_size: np.concatenate(
                        [original(images[i : i + batch_size]) for i in range(0, count, batch_size)]
                    )
                )
            )
        (seconds, output), (reference, expected) = min(our_runs, key=first), min(reference_runs, key=first)
        difference = np.abs(output - expected).max() / expected.std()
        executables = extraction.predict._cache_size() - before  # type: ignore[attr-defined]
        rows.append(
            (
                f"{batch_size}",
                f"{count / seconds:.3f}",
                f"{count / reference:.3f}",
                f"{reference / seconds:.2f}",
                f"{difference:.1e}",
                f"{compiling:.1f} s",
                f"{executables}",
            )
        )
    return rows


def sides(stage: str) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Return our network and the original as functions of images, with the same random weights."""
    import torch

    from tests.parity import originals

    modules: dict[str, Callable[[], Any]] = {
        "vision": lambda: originals.image_tower(RELEASED.vision),
        "depth": lambda: originals.depth(RELEASED.depth),
        "sketch": lambda: originals.pidinet(),
        "cleaner": originals.cleaner,
    }
    trees = random_parameters(shapes_of(RELEASED, [stage]), 0)
    if stage == "depth":  # a positive output, which the last ReLU does not clip
        trees[stage]["head_2"]["bias"] += 10
    kind = {"vision": "clip"}.get(stage, stage)
    names = ["visual.proj"] if stage == "vision" else []
    mapping = bijection(kind, names)
    state = mapping.to_torch(trees)
    if stage == "sketch":  # the original folds its pixel-difference convolutions into plain ones too
        trees = mapping.to_flax(state, shapes_of(RELEASED, [stage]), stage)
        module = originals.load(originals.VIDEOCOMPOSER, "annotator.sketch.pidinet")
        state = {n: torch.from_numpy(np.array(x)) for n, x in state.items()}
        state = module.convert_pidinet(state, "carv4")
    prefix = {"vision": "visual.", "sketch": "module."}.get(stage, "")
    original = modules[stage]()
    original.load_state_dict(
        {name.removeprefix(prefix): torch.as_tensor(np.array(x)) for name, x in state.items()}, strict=True
    )

    def original_network(images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
        if stage in extraction.NORMALISATION:
            mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in extraction.NORMALISATION[stage])
            x = (x.float() / 255 - mean) / std
        with torch.inference_mode():
            output = original(x).numpy()
        return np.moveaxis(output, 1, -1) if output.ndim == 4 else output

    arrays = jax.tree.map(jax.numpy.asarray, trees)
    return extraction.extractors(RELEASED, arrays.__getitem__)[stage], original_network


def timed(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the seconds of a call and its output."""
    start = time.perf_counter()
    output = call()
    return time.perf_counter() - start, output


def first(pair: tuple[float, Any]) -> float:
    """Return the seconds of a timed call."""
    return pair[0]


if __name__ == "__main__":
    main()
