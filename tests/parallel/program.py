"""What the tests of sharding run in a process of its own, with eight simulated devices.

python -m tests.parallel.program forward out.json
"""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import vcjax
from configs import sprites
from tests.parallel.tasks import Blocks, small_run, task_for
from tests.training.runs import TWO_LEVELS, small_parts
from vcjax.models.layout import Layout
from vcjax.parallel.mesh import AXES, MeshShape, make_mesh
from vcjax.parallel.rules import RULES, partition
from vcjax.training.assemble import task_of
from vcjax.training.config import run_from
from vcjax.training.diffusion import DiffusionTask
from vcjax.training.plan import plan
from vcjax.training.step import make_step

ONE, MIXED = (1, 1, 1), (2, 2, 2)  # data, fsdp, frames
OTHERS = ((1, 1, 2), (1, 4, 1), (8, 1, 1), (1, 1, 8))


def forward():
    """For videos and images, what one device answers, how far eight are from it, and how all that lies in between."""
    return {"videos": _forward(frames=8), "images": _forward(frames=1)}


def _forward(frames):
    task = task_for(small_run("nowhere", mesh={"data": 1}), jax.devices()[:1], jnp.float64)
    batch = task.batch(np.random.default_rng(0), 8, frames)
    parameters = task.init(None)["unet"]

    def blocks(layout, parameters, batch):
        network = Blocks(jnp.float64, layout)
        options = {"deterministic": True, "capture_intermediates": True, "mutable": ["intermediates"]}
        return network.apply({"params": parameters}, **batch, **options)

    mesh = make_mesh(MeshShape(data=2, fsdp=2, frames=2))
    one, _ = jax.jit(partial(blocks, Layout()))(parameters, batch)
    parameters = jax.device_put(parameters, partition(mesh, RULES, {"unet": parameters})["unet"])
    eight, between = jax.jit(partial(blocks, Layout(mesh)))(parameters, batch)
    lie = {
        jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/__call__/0"): (
            x.shape,
            x.sharding.shard_shape(x.shape),
        )
        for path, x in jax.tree.leaves_with_path(between["intermediates"])
    }
    return {"difference": float(abs(one - eight).max()), "size": float(abs(one).max()), "lie": lie}


def losses():
    """Losses of 20 steps in float64 on one device and over all axes, of 5 on other meshes and of images; by float32 the first."""
    wide = {str(sizes): _losses(sizes, jnp.float64, 20) for sizes in (ONE, MIXED)}
    wide |= {str(sizes): _losses(sizes, jnp.float64, 5) for sizes in OTHERS}
    images = {"images_every": 1, "images": 16}
    return {
        "float64": wide,
        "images": {str(sizes): _losses(sizes, jnp.float64, 5, **images) for sizes in (ONE, MIXED)},
        "pieces": {str(sizes): _losses(sizes, jnp.float64, 5, accumulate=2) for sizes in (ONE, MIXED)},
        "float32": {str(sizes): _losses(sizes, jnp.float32, 1) for sizes in (ONE, MIXED)},
    }


def _losses(sizes, dtype, steps, **stage):
    """Losses and norms of the gradient of the first steps on a mesh."""
    run = small_run("nowhere", mesh=dict(zip(AXES, sizes, strict=True)), stage=stage)
    task = task_for(run, jax.devices()[: sizes[0] * sizes[1] * sizes[2]], dtype)
    return _told(run, task, task.mesh, task.init(None), {}, steps)


def _told(run, task, mesh, parameters, frozen, steps):
    planned = plan(run, task, mesh)
    state, frozen = planned.begin(parameters, 0), planned.frozen(frozen)
    step, batches = make_step(task, planned, 0), task.batches(run.stages[0], 0, 0)
    told = []
    for number in range(steps):
        batch = planned.batch(next(batches), images=run.stages[0].is_on_images(number))
        state, metrics = step(state, frozen, batch)
        told.append([float(metrics["loss"]), float(metrics["gradient_norm"])])
        print(dict(mesh.shape), run.stages[0].name, *told[-1], file=sys.stderr, flush=True)
    return told


def tiny():
    """Losses of the built-in model in float64, on four frames."""
    return {str(sizes): _tiny(sizes) for sizes in (ONE, MIXED)}


def _tiny(sizes):
    config = sprites.get_config()
    config.dtype, config.stages = "float32", config.stages[1:]
    stage = config.stages[0]
    stage.batch = 4
    with stage.unlocked():
        stage.frames, stage.conditions = 4, ("text", "motion")
    config.mesh = dict(zip(AXES, sizes, strict=True))
    run = run_from(config)
    mesh = make_mesh(run.mesh, jax.devices()[: sizes[0] * sizes[1] * sizes[2]])
    task = task_of(run, mesh)
    composer = dataclasses.replace(task.composer, networks=task.composer.networks.with_dtype(jnp.float64))
    wide = DiffusionTask(composer, task.source, "plain", Layout(mesh))
    key = jax.random.key(0, impl="unsafe_rbg")
    parameters, frozen = jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x), jnp.float64), (task.init(key), task.frozen())
    )
    return _told(run, wide, mesh, parameters, frozen, 5)


def sampling():
    """How far latents and frames of sharded sampling are from one device's."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        clip = TWO_LEVELS["clip"] | {"frames": 4}
        model = TWO_LEVELS | {"clip": clip, "schedule": {}, "prediction": "epsilon"}
        parts = small_parts(Path(folder) / "parts", model)
        given = {"text": "a red circle", "depth": np.random.default_rng(0).random((4, 16, 16, 1), np.float32)}
        seeds = [3, 4]
        one = vcjax.load(parts)
        alone = [one(seed=seed, **given).frames for seed in seeds]
        frames = vcjax.load(parts, mesh=make_mesh(MeshShape(frames=4), jax.devices()[:4]))
        both = vcjax.load(parts, mesh=MeshShape(data=2, fsdp=2, frames=2))
        return {
            "one clip by frames": _furthest([frames(seed=3, **given).frames], alone[:1]),
            "two clips by all axes": _furthest([clip.frames for clip in both.many(seeds, **given)], alone),
            "seeds differ": _furthest(alone[:1], alone[1:]),
        }


def _furthest(frames, others):
    return max(int(abs(a.astype(int) - b).max()) for a, b in zip(frames, others, strict=True))


if __name__ == "__main__":
    name, out = sys.argv[1:]
    if name != "sampling":
        jax.config.update("jax_enable_x64", True)
    Path(out).write_text(
        json.dumps({"forward": forward, "losses": losses, "tiny": tiny, "sampling": sampling}[name]())
    )
