"""A small task with every kind of layer, for tests of meshes and hosts, and its runs."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from tests.training.runs import MODEL
from vcjax.models.blocks import Downsample, ResidualBlock, SpatialTransformer, TemporalTransformer, Upsample
from vcjax.models.layout import Layout
from vcjax.models.stc import STCEncoder
from vcjax.parallel.batches import process_shard
from vcjax.parallel.mesh import make_mesh
from vcjax.training.config import run_from_config
from vcjax.training.task import Loss
from vcjax.weights.networks import random_parameters

FRAMES, SIDE, CHANNELS, TOKENS, WIDTH = 8, 8, 8, 5, 8


class Blocks(nn.Module):
    """An STC-encoder and one block of each kind in the UNet, which compile in a tenth of the time of a UNet."""

    dtype: Any = jnp.float32
    layout: Layout = Layout()

    @nn.compact
    def __call__(self, z, time, map_, tokens, mask, *, deterministic=False):
        images = z.shape[1] == 1
        layout, options = self.layout.for_batch(*z.shape[:2]), (4, self.dtype, "plain")
        encoder = STCEncoder(out_channels=CHANNELS, dtype=self.dtype, layout=self.layout, name="stc")
        x = layout.shard_frames(z + encoder(map_, (SIDE, SIDE), deterministic=deterministic))
        x = layout.gather_params(Downsample)(self.dtype, layout, name="down_sample")(x)
        block = layout.gather_params(ResidualBlock)(2 * CHANNELS, 4, 0.1, self.dtype, layout, name="residual")
        x = block(x, time[:, None], not images, deterministic)
        x = layout.gather_params(SpatialTransformer)(8, *options, layout, name="spatial")(
            x, tokens, mask.sum(1)
        )
        if not images:
            x = layout.gather_params(TemporalTransformer)(2, 8, *options, layout, name="temporal")(x)
        return layout.gather_params(Upsample)(self.dtype, layout, name="up_sample")(x)


class SmallTask:
    """Train the blocks on arrays of random numbers, with dropout."""

    allow_missing = ()

    def __init__(self, mesh, seed=0, dtype=jnp.float32):
        self.mesh, self.seed, self.dtype = mesh, seed, dtype
        self.blocks = Blocks(dtype, Layout(mesh))

    def init(self, key):
        batch = self.batch(np.random.default_rng(0), 1, FRAMES)
        init = partial(Blocks(self.dtype).init, jax.random.key(0), **batch, deterministic=True)
        parameters = random_parameters({"unet": jax.eval_shape(init)["params"]}, self.seed)
        return jax.tree.map(lambda x: jnp.asarray(x, self.dtype), parameters)

    def frozen(self):
        return {}

    def unused(self, batch):
        return "temporal" if batch["z"].shape[1] == 1 else ""

    def batches(self, stage, begin, first):
        shard = process_shard(self.mesh)
        for step in range(first, 10**6):
            images = stage.is_on_images(step - begin)
            rng = np.random.default_rng((self.seed, step))
            batch = self.batch(
                rng, stage.image_batch_size if images else stage.batch_size, 1 if images else FRAMES
            )
            yield jax.tree.map(lambda x: x[shard.indices(len(x))], batch)

    def batch(self, rng, clips, frames):
        def normal(*shape):
            return rng.normal(size=(clips, *shape)).astype(self.dtype)

        return {
            "z": normal(frames, SIDE, SIDE, CHANNELS),
            "time": normal(WIDTH),
            "map_": normal(frames, 4 * SIDE, 4 * SIDE, 1),
            "tokens": normal(TOKENS, WIDTH),
            "mask": np.arange(TOKENS) < rng.integers(1, TOKENS + 1, clips)[:, None],
        }

    def loss(self, parameters, frozen, batch, key, stage):
        prediction = self.blocks.apply({"params": parameters["unet"]}, **batch, rngs={"dropout": key})
        noise = jax.random.normal(key, prediction.shape, self.dtype)
        errors = jnp.square(prediction - noise).mean((1, 2, 3, 4))
        return Loss(
            value=errors.mean(), sums={"error": errors.sum()}, counts={"error": jnp.asarray(len(errors))}
        )

    def samples(self, parameters, frozen):
        return {}


def small_run(out, **changes):
    """Return a run of one stage; `stage` and `changes` override its settings."""
    stage = {"name": "only", "steps": 20, "batch_size": 8, **changes.pop("stage", {})}
    table = {
        "task": "small",
        "model": MODEL,
        "out": str(out),
        "log_every": 1,
        "save_every": 5,
        "ema_decay": 0.9,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},  # has no state, which shortens compilation
        "stages": [stage],
    }
    return run_from_config({**table, **changes})


def task_for(run, devices=None, dtype=jnp.float32):
    """Return the task of a run on a mesh of the given devices."""
    return SmallTask(make_mesh(run.mesh, devices), run.seed, dtype)
