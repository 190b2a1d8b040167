"""Denoising error of a model in one step from noise, by set of conditions and timestep.

    python -m benchmarks.condition_errors --model tiny

Mean squared error of the predicted x0 at three timesteps, over the first frame and over all frames, on the
first clips of the sprite world's test split. With latents of variance 1, the error is 1 where the conditions
carry no information. It shows which conditions a model has not learned, at a fortieth of the cost of sampling
and with less variance. Rows with redirected text have captions with a wrong direction: their error is larger
if the model has learned these words.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import configs.sprites
from vcjax.composer.loading import folder_of, load_model_config
from vcjax.data import sprites
from vcjax.diffusion.objective import alpha_sigma, q_sample
from vcjax.evaluation.condition_sources import REDIRECTED, render_clips
from vcjax.training.build import build_task
from vcjax.training.config import Dropout, run_from_config
from vcjax.training.config_files import plain
from vcjax.training.diffusion_task import DiffusionTask
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

Errors = Callable[..., tuple[Array, Array]]

TIMESTEPS = (999, 800, 600)
MAPS = ("image", "single_sketch", "motion", "depth", "mask", "sketch")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--clips", type=int, default=24)
    options = parser.parse_args()
    folder = folder_of(options.model)
    config = read_config(folder)
    with tempfile.TemporaryDirectory() as out:
        run = configs.sprites.get_config()
        run.model, run.frozen_from, run.out, run.compute_dtype = (
            load_model_config(options.model),
            options.model,
            out,
            "float32",
        )
        task: Any = build_task(run_from_config(plain(run)))
    if task.composer.prediction != "v":
        raise SystemExit(
            f"{options.model} predicts {task.composer.prediction}, but this script needs v-prediction"
        )
    parameters = {
        name: read_component(folder, config, name, dtype="float32") for name in ("unet", "stc", "tokens")
    }
    print("| conditions | " + " | ".join(f"t = {t}, first frame | all frames" for t in TIMESTEPS) + " |")
    print("| --- " * (1 + 2 * len(TIMESTEPS)) + "|")
    errors = error_function(task, parameters, options.clips)
    every = tuple(task.composer.conditions)
    for names in ((), ("text",), *(("text", name) for name in MAPS), ("image", "motion"), every):
        row("all" if names == every else " + ".join(names) or "unconditional", errors, names)
    for names in (("text",), ("text", "image")):
        row(f"{' + '.join(names)}, redirected text", partial(errors, redirected=True), names)


def row(name: str, errors: Errors, conditions: Collection[str]) -> None:
    """Print a row of the table."""
    cells = [f"{error:.3f}" for t in TIMESTEPS for error in errors(conditions, t)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def error_function(task: DiffusionTask, parameters: Tree, clips: int) -> Errors:
    """Return a function that computes the errors over the first frame and over all frames.

    Its arguments are the names of the conditions, a timestep, and whether to use redirected text.
    """
    frozen, schedule = task.frozen(), task.composer.schedule
    indices, shape = np.arange(clips, dtype=np.int32), task.composer.shape
    indexed = task.source.pick("test", indices, shape.frames)
    scene, latent, noise_key, key = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def make_batch() -> tuple[Any, Array]:
        batch = task.source.training_batch(indexed, scene, split="test")
        return batch, task.encode(frozen, batch, latent)

    batch, x0 = make_batch()
    noise = jax.random.normal(noise_key, x0.shape)
    captions = sprites.captions(render_clips(REDIRECTED, indices, shape).facts)
    redirected_ids = np.stack([task.composer.tokenize(caption) for caption in captions])

    @jax.jit
    def errors(keep_mask: Mapping[str, Array], t: Array, ids: Array) -> tuple[Array, Array]:
        with_text = dataclasses.replace(batch, ids=ids)
        maps = task.maps(parameters, with_text, keep_mask, key)
        tokens, mask = task.tokens(parameters, frozen, with_text, keep_mask, Dropout(), key)
        noisy = q_sample(x0, noise, t, schedule)
        output = apply(task.composer.networks.unet, parameters["unet"], noisy, t, maps, tokens, mask)
        alpha, sigma = (x[:, None, None, None, None] for x in alpha_sigma(schedule, t))
        squared = jnp.square(alpha * noisy - sigma * output - x0)  # x0 from v
        return squared[:, 0].mean(), squared.mean()

    def errors_of(names: Collection[str], t: int, redirected: bool = False) -> tuple[Array, Array]:
        keep_mask = {name: jnp.full(clips, name in names) for name in task.composer.conditions}
        return errors(keep_mask, jnp.full(clips, t), redirected_ids if redirected else batch.ids)

    return errors_of


if __name__ == "__main__":
    main()
