"""Small runs for the tests: a line to be fitted, and a whole small diffusion model on the sprite world."""

import json
import shutil
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.training.build import build_task
from vcjax.training.config import run_from_config
from vcjax.training.setup import set_up
from vcjax.training.step import make_step
from vcjax.training.task import Loss

MODEL = {
    "name": "small",
    "networks": {
        "unet": {
            "base_channels": 16,
            "channel_multipliers": [1],
            "num_res_blocks": 1,
            "attention_levels": [],
            "head_dim": 8,
            "num_input_heads": 2,
            "latent_channels": 4,
            "norm_groups": 4,
        },
        "stc": {"out_channels": 4},
        "tokens": {"token_dim": 16},
        "autoencoder": {
            "base_channels": 8,
            "channel_multipliers": [1, 1, 1],
            "num_res_blocks": 1,
            "scaling_factor": 1.0,
            "norm_groups": 4,
        },
        "text": {"vocab_size": 1024, "context_length": 32, "width": 16, "layers": 1, "heads": 2},
        "vision": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "heads": 2, "embed_dim": 16},
    },
    "conditions": {
        "text": {},
        "style": {"embed_dim": 16, "image_size": 16},
        "image": {},
        "motion": {},
        "depth": {},
    },
    "schedule": {"zero_terminal_snr": True},
    "prediction": "v",
    "clip": {"frames": 3, "height": 16, "width": 16, "fps": 8.0},
    "defaults": {"steps": 5, "guidance": 2.0},
}
# It compiles in twice the time.
TWO_LEVELS = MODEL | {
    "networks": MODEL["networks"]
    | {"unet": MODEL["networks"]["unet"] | {"channel_multipliers": [1, 2], "attention_levels": [1]}}
}


def small_parts(folder, model=MODEL):
    """A model folder with random weights."""
    folder.mkdir(parents=True)
    shutil.copy(str(resources.files("vcjax") / "builtin" / "tiny" / "tokenizer.json"), folder)
    (folder / "config.json").write_text(json.dumps({"format": 2, **model, "untrained": 0}))
    return folder


def table(tmp_path, **changes):
    """The configuration of a small run of two stages, as a plain table."""
    parts = tmp_path / "parts"
    config = {
        "task": "diffusion",
        "model": MODEL,
        "frozen_from": str(parts if parts.exists() else small_parts(parts)),
        "out": str(tmp_path / "run"),
        "log_every": 1,
        "save_every": 4,
        "optimizer": {"learning_rate": 1e-2, "warmup_steps": 2, "weight_decay": 0.01},
        "stages": [
            {
                "name": "first",
                "steps": 5,
                "batch_size": 2,
                "images_every": 3,
                "image_batch_size": 4,
                "conditions": ["text"],
            },
            {"name": "second", "steps": 5, "batch_size": 2},
        ],
    }
    return {**config, **changes}


def one_stage(tmp_path, stage=None, **changes):
    """A small run of one stage."""
    stages = [{"name": "only", "steps": 4, "batch_size": 2, **(stage or {})}]
    return run_from_config(table(tmp_path, stages=stages, **changes))


class LineTask:
    """Fits y = a x + b; `frozen` is left alone."""

    allow_missing = ()

    def init(self, key):
        return {
            "line": {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)},
            "other": {"kernel": jnp.ones((2, 2))},
        }

    def frozen(self):
        return {}

    def batches(self, stage, begin, first):
        step = first
        while True:
            x = np.random.default_rng(step).normal(size=(stage.batch_size, 1)).astype(np.float32)
            yield {"x": x, "y": 3 * x - 1}
            step += 1

    def unused(self, batch):
        return ""

    def loss(self, parameters, frozen, batch, key, stage):
        line = parameters["line"]
        touched = 0.0 * parameters["other"]["kernel"].sum()
        errors = jnp.square(batch["x"] @ line["kernel"] + line["bias"] - batch["y"]).mean(-1) + touched
        return Loss(
            value=errors.mean(), sums={"error": errors.sum()}, counts={"error": jnp.asarray(len(errors))}
        )

    def samples(self, parameters, frozen):
        return {}


class SickTask(LineTask):
    """Its loss is not a number from the batch of step 6 on."""

    def batches(self, stage, begin, first):
        for step, batch in enumerate(super().batches(stage, begin, first), start=first):
            yield batch if step < 6 else {**batch, "y": batch["y"] * np.float32(np.nan)}


def same(a, b):
    """Whether two trees are equal bit for bit."""
    a, b = jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        x.dtype == y.dtype and np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def ready(run, clips, frames):
    """The task of a run that needs nothing frozen, its first state, its step, and a batch of so many clips."""
    task = build_task(run)
    setup = set_up(run, task)
    state = setup.create_state(task.init(jax.random.key(0, impl="unsafe_rbg")), 0)
    return task, state, make_step(task, setup, 0), task._source.batch(0, clips, frames)
