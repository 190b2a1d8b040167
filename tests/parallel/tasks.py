"""A small task with every kind of layer in it, for meshes and hosts, and the runs that train it."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vcjax.models.blocks import Downsample, ResidualBlock, SpatialTransformer, TemporalTransformer, Upsample
from vcjax.models.layout import Layout
from vcjax.models.stc import STCEncoder
from vcjax.parallel.batches import share
from vcjax.parallel.mesh import make_mesh
from vcjax.training.config import run_from
from vcjax.training.task import Loss
from vcjax.weights.networks import random_parameters

FRAMES, SIDE, CHANNELS, TOKENS, WIDTH = 8, 8, 8, 5, 8


class Blocks(nn.Module):
    """An encoder of maps and one block of each kind that the UNet has: it compiles in a tenth of a UNet's time."""

    dtype: Any = jnp.float32
    layout: Layout = Layout()

    @nn.compact
    def __call__(self, z, time, map_, tokens, mask, *, deterministic=False):
        images = z.shape[1] == 1
        layout, options = self.layout.suited(*z.shape[:2]), (4, self.dtype, "plain")
        encoder = STCEncoder(features=CHANNELS, dtype=self.dtype, layout=self.layout, name="stc")
        x = layout.by_frames(z + encoder(map_, (SIDE, SIDE), deterministic=deterministic))
        x = layout.gathering(Downsample)(self.dtype, layout, name="down_sample")(x)
        block = layout.gathering(ResidualBlock)(2 * CHANNELS, 4, 0.1, self.dtype, layout, name="residual")
        x = block(x, time[:, None], not images, deterministic)
        x = layout.gathering(SpatialTransformer)(8, *options, layout, name="spatial")(x, tokens, mask)
        if not images:
            x = layout.gathering(TemporalTransformer)(2, 8, *options, layout, name="temporal")(x)
        return layout.gathering(Upsample)(self.dtype, layout, name="up_sample")(x)


class SmallTask:
    """The blocks learn to answer for arrays of random numbers; dropout is on."""

    growing = ()

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

    def batches(self, stage, begin, first):
        ours = share(self.mesh)
        for step in range(first, 10**6):
            images = stage.is_on_images(step - begin)
            rng = np.random.default_rng((self.seed, step))
            batch = self.batch(rng, stage.images if images else stage.batch, 1 if images else FRAMES)
            yield jax.tree.map(lambda x: x[ours.places(len(x))], batch)

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
        answer = self.blocks.apply({"params": parameters["unet"]}, **batch, rngs={"dropout": key})
        noise = jax.random.normal(key, answer.shape, self.dtype)
        errors = jnp.square(answer - noise).mean((1, 2, 3, 4))
        return Loss(
            value=errors.mean(), sums={"error": errors.sum()}, counts={"error": jnp.asarray(len(errors))}
        )

    def samples(self, parameters, frozen):
        return {}


def small_run(out, **changes):
    """A run of one stage; every fifth batch is one of images."""
    stage = {"name": "only", "steps": 20, "batch": 8, **changes.pop("stage", {})}
    table = {
        "task": "small",
        "model": {},
        "out": str(out),
        "log_every": 1,
        "save_every": 5,
        "ema": 0.9,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},  # has no state to compile updates of
        "stages": [stage],
    }
    return run_from({**table, **changes})


def task_for(run, devices=None, dtype=jnp.float32):
    """The task of a run on a mesh of these devices."""
    return SmallTask(make_mesh(run.mesh, devices), run.seed, dtype)
