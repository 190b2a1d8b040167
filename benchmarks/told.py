"""How much of a clip each set of conditions tells a model, in one step from noise: where its training falls behind.

    python -m benchmarks.told --model tiny

Mean squared error of the clean latent that the UNet tells from noise at three timesteps, of the first frame and of all,
on the first clips of the sprite world's test split; where latents have variance 1, 1 is to be told nothing. A full
generation shows the same faults, but costs forty times as much and adds its own noise. Where text is turned, it says another
direction than the object takes: a model that knows these words errs more then.
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
from vcjax.data import sprites
from vcjax.diffusion.objective import q_sample, signal_and_noise
from vcjax.evaluation.cases import TURNED, clips_of
from vcjax.loading import folder_of, model_table
from vcjax.training.assemble import task_of
from vcjax.training.config import Dropout, run_from
from vcjax.training.diffusion import DiffusionTask
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

Errors = Callable[..., tuple[Array, Array]]

TIMESTEPS = (999, 800, 600)
MAPS = ("image", "single_sketch", "motion", "depth", "mask", "sketch")


def main() -> None:
    """Print a table."""
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
        run.model, run.parts, run.out, run.dtype = model_table(options.model), options.model, out, "float32"
        task: Any = task_of(run_from(run))
    if task.composer.prediction != "v":
        raise SystemExit(
            f"{options.model} predicts {task.composer.prediction}, not v, which this script asks for"
        )
    parameters = {
        name: read_component(folder, config, name, dtype="float32") for name in ("unet", "stc", "tokens")
    }
    print("| given | " + " | ".join(f"t = {t}, first frame | all" for t in TIMESTEPS) + " |")
    print("| --- " * (1 + 2 * len(TIMESTEPS)) + "|")
    told = errors_of(task, parameters, options.clips)
    every = tuple(task.composer.conditions)
    for given in ((), ("text",), *(("text", name) for name in MAPS), ("image", "motion"), every):
        tell("all" if given == every else " + ".join(given) or "nothing", told, given)
    for given in (("text",), ("text", "image")):
        tell(f"{' + '.join(given)}, turned", partial(told, turned=True), given)


def tell(name: str, told: Errors, given: Collection[str]) -> None:
    """Print a row."""
    cells = [f"{error:.3f}" for t in TIMESTEPS for error in told(given, t)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def errors_of(task: DiffusionTask, parameters: Tree, clips: int) -> Errors:
    """A function of the conditions that are given, a timestep, and whether text is `turned`: the errors of the first frame and
    of all.
    """
    frozen, schedule = task.frozen(), task.composer.schedule
    indices, shape = np.arange(clips, dtype=np.int32), task.composer.shape
    picked = task.source.pick("test", indices, shape.frames)
    scene, latent, noise_key, key = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def example() -> tuple[Any, Array]:
        made = task.source.example(picked, scene, split="test")
        return made, task.encode(frozen, made, latent)

    made, clean = example()
    noise = jax.random.normal(noise_key, clean.shape)
    captions = sprites.captions(clips_of(TURNED, indices, shape).facts)
    otherwise = np.stack([task.composer.tokenize(caption) for caption in captions])

    @jax.jit
    def errors(kept: Mapping[str, Array], t: Array, ids: Array) -> tuple[Array, Array]:
        example = dataclasses.replace(made, ids=ids)
        maps = task.maps(parameters, example, kept, key)
        tokens, mask = task.tokens(parameters, frozen, example, kept, Dropout(), key)
        noisy = q_sample(clean, noise, t, schedule)
        answer = apply(task.composer.networks.unet, parameters["unet"], noisy, t, maps, tokens, mask)
        signal, sigma = (x[:, None, None, None, None] for x in signal_and_noise(schedule, t))
        squared = jnp.square(signal * noisy - sigma * answer - clean)
        return squared[:, 0].mean(), squared.mean()

    def of(names: Collection[str], t: int, turned: bool = False) -> tuple[Array, Array]:
        kept = {name: jnp.full(clips, name in names) for name in task.composer.conditions}
        return errors(kept, jnp.full(clips, t), otherwise if turned else made.ids)

    return of


if __name__ == "__main__":
    main()
