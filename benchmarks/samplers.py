"""Error of samplers with few steps: mean squared difference of latents to those of DDIM with 1000 steps.

    python -m benchmarks.samplers --record samplers.jsonl    # 32 clips of the built-in model: 90 minutes on two cores
    python -m benchmarks.samplers --clips 4

Each clip has its own seed, and a caption and an image of the sprite world's test split. Latents have unit variance.
The record has a line for each clip; clips that it holds are not sampled again.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import vcjax
from vcjax.composer.completion import complete_request
from vcjax.composer.encoding import encode_conditions
from vcjax.composer.sampling import phases_of, sample_latents
from vcjax.data import sprites
from vcjax.progress import no_progress

REFERENCE = ("ddim", 1000)
CASES = (
    ("ddim", 10),
    ("ddim", 20),
    ("ddim", 50),
    ("dpmpp_2m", 10),
    ("dpmpp_2m", 15),
    ("dpmpp_2m", 20),
    ("dpmpp_2m", 30),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--record", type=Path, help="file of measured clips, which a later run continues")
    options = parser.parse_args()
    composer = vcjax.load(options.model)
    clips: list[dict[str, dict[str, float]]] = []
    if options.record and options.record.exists():
        clips = [json.loads(line) for line in options.record.read_text().splitlines()]
    for index in range(len(clips), options.clips):
        clips.append(measured(composer, index))
        print(f"{index + 1} of {options.clips} clips", file=sys.stderr)
        if options.record:
            with options.record.open("a") as file:
                print(json.dumps(clips[-1]), file=file)
    print("| sampler | steps | mean squared error | standard error | seconds a clip |")
    print("| --- | --- | --- | --- | --- |")
    for sampler, steps in CASES:
        measures = [clip[f"{sampler} {steps}"] for clip in clips[: options.clips]]
        errors = [measure["error"] for measure in measures]
        seconds = np.mean([measure["seconds"] for measure in measures])
        print(
            f"| {sampler} | {steps} | {np.mean(errors):.5f} | {np.std(errors) / len(errors) ** 0.5:.5f}"
            f" | {seconds:.1f} |"
        )


def measured(composer: vcjax.Composer, index: int) -> dict[str, dict[str, float]]:
    """Return the error and the seconds of each case for the clip of an index."""
    reference = latents(composer, index, *REFERENCE)
    measures = {}
    for sampler, steps in CASES:
        began = time.monotonic()
        error = float(np.square(latents(composer, index, sampler, steps) - reference).mean())
        measures[f"{sampler} {steps}"] = {"error": error, "seconds": time.monotonic() - began}
    return measures


def latents(composer: vcjax.Composer, index: int, sampler: str, steps: int) -> np.ndarray:
    """Return the latents of the clip of an index."""
    shape = composer.shape
    clips = sprites.batch("test", jnp.array([index]), frames=shape.frames, size=shape.height)
    image = np.asarray(clips.frames[0, :1], np.float32) / 255
    (text,) = sprites.captions(clips.facts)
    request = composer.request(text=text, image=image, negative=[], seed=index)
    request = complete_request(dataclasses.replace(request, sampler=sampler, steps=steps), composer)
    reader = composer.reader(request)
    encoded = encode_conditions(composer, request, reader)
    phases = phases_of(composer, request)
    return np.asarray(sample_latents(composer, request, phases, encoded, reader.tiling, no_progress))


if __name__ == "__main__":
    main()
