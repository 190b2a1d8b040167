"""Error of samplers with few steps: mean squared difference of latents to those of DDIM with 1000 steps.

    python -m benchmarks.samplers                   # 32 clips with the built-in model; an hour on two cores
    python -m benchmarks.samplers --clips 4

Each clip has its own seed, and a caption and an image of the sprite world's test split. Latents have unit variance.
"""

import argparse
import dataclasses
import sys
import time

import jax.numpy as jnp
import numpy as np

import vcjax
from vcjax.composer.encoding import encode_conditions
from vcjax.composer.request import complete_request, request_shape
from vcjax.composer.sampling import sample_latents
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
    options = parser.parse_args()
    composer = vcjax.load(options.model)
    errors: dict[tuple[str, int], list[float]] = {case: [] for case in CASES}
    spent = dict.fromkeys(CASES, 0.0)
    for index in range(options.clips):
        reference = latents(composer, index, *REFERENCE)
        for case in CASES:
            began = time.monotonic()
            errors[case].append(float(np.square(latents(composer, index, *case) - reference).mean()))
            spent[case] += time.monotonic() - began
        print(f"{index + 1} of {options.clips} clips", file=sys.stderr)
    print("| sampler | steps | mean squared error | standard error | seconds a clip |")
    print("| --- | --- | --- | --- | --- |")
    for (sampler, steps), values in errors.items():
        error = np.std(values) / len(values) ** 0.5
        seconds = spent[sampler, steps] / options.clips
        print(f"| {sampler} | {steps} | {np.mean(values):.5f} | {error:.5f} | {seconds:.1f} |")


def latents(composer: vcjax.Composer, index: int, sampler: str, steps: int) -> np.ndarray:
    """Return the latents of the clip of an index."""
    shape = composer.shape
    clips = sprites.batch("test", jnp.array([index]), frames=shape.frames, size=shape.height)
    image = np.asarray(clips.frames[0, :1], np.float32) / 255
    (text,) = sprites.captions(clips.facts)
    request = composer.request(text=text, image=image, negative=[], seed=index)
    request = complete_request(dataclasses.replace(request, sampler=sampler, steps=steps), composer)
    shape = request_shape(request, composer)
    arrays = composer.read({name: given.input for name, given in request.conditions.items()}, shape)
    encoded = encode_conditions(composer, request, arrays, shape)
    return np.asarray(sample_latents(composer, request, encoded, no_progress))


if __name__ == "__main__":
    main()
