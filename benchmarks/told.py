"""How much of a clip each set of conditions tells a model, in one step from noise: where its training falls behind.

    python -m benchmarks.told --model tiny

Mean squared error of the clean latent that the UNet tells from noise at three timesteps, of the first frame and of all,
on the first clips of the sprite world's test split; where latents have variance 1, 1 is to be told nothing. A full
generation shows the same faults, but costs forty times as much and adds its own noise.
"""

import argparse
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from configs import sprites
from vcjax.diffusion.objective import q_sample, signal_and_noise
from vcjax.loading import folder_of, model_table
from vcjax.training.assemble import task_of
from vcjax.training.config import Dropout, run_from
from vcjax.training.diffusion import DiffusionTask
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

Errors = Callable[[Collection[str], int], tuple[Array, Array]]

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
        run = sprites.get_config()
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
    for given in ((), ("text",), *(("text", name) for name in MAPS), ("image", "motion"), None):
        names = tuple(task.composer.conditions) if given is None else given
        cells = [f"{error:.3f}" for t in TIMESTEPS for error in told(names, t)]
        print(
            f"| {'all' if given is None else ' + '.join(given) or 'nothing'} | {' | '.join(cells)} |",
            flush=True,
        )


def errors_of(task: DiffusionTask, parameters: Tree, clips: int) -> Errors:
    """A function of the conditions that are given and a timestep: the errors of the first frame and of all."""
    frozen, schedule = task.frozen(), task.composer.schedule
    picked = task.source.pick("test", np.arange(clips, dtype=np.int32), task.composer.shape.frames)
    scene, latent, noise_key, key = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def example() -> tuple[Any, Array]:
        made = task.source.example(picked, scene, split="test")
        return made, task.encode(frozen, made, latent)

    made, clean = example()
    noise = jax.random.normal(noise_key, clean.shape)

    @jax.jit
    def errors(kept: Mapping[str, Array], t: Array) -> tuple[Array, Array]:
        maps = task.maps(parameters, made, kept, key)
        tokens, mask = task.tokens(parameters, frozen, made, kept, Dropout(), key)
        noisy = q_sample(clean, noise, t, schedule)
        answer = apply(task.composer.networks.unet, parameters["unet"], noisy, t, maps, tokens, mask)
        signal, sigma = (x[:, None, None, None, None] for x in signal_and_noise(schedule, t))
        squared = jnp.square(signal * noisy - sigma * answer - clean)
        return squared[:, 0].mean(), squared.mean()

    def of(names: Collection[str], t: int) -> tuple[Array, Array]:
        kept = {name: jnp.full(clips, name in names) for name in task.composer.conditions}
        return errors(kept, jnp.full(clips, t))

    return of


if __name__ == "__main__":
    main()
