"""Computations for the sharding tests, run in a separate process with eight simulated devices.

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
from tests.parallel.tasks import Blocks, small_run, task_for
from tests.training.runs import TWO_LEVELS, small_parts
from vcjax.models.layout import Layout
from vcjax.parallel.mesh import AXES, MeshShape, make_mesh
from vcjax.parallel.rules import RULES, partition
from vcjax.training.build import build_task
from vcjax.training.config import run_from_config
from vcjax.training.config_files import load_file, plain
from vcjax.training.diffusion_task import DiffusionTask
from vcjax.training.setup import set_up
from vcjax.training.step import make_step

ONE, MIXED = (1, 1, 1), (2, 2, 2)  # data, fsdp, frames
OTHERS = ((1, 1, 2), (1, 4, 1), (8, 1, 1), (1, 1, 8))


def forward():
    """Compare the outputs of one and eight devices, for videos and images, and record shapes of intermediates."""
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
    eight, captured = jax.jit(partial(blocks, Layout(mesh)))(parameters, batch)
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/__call__/0"): (
            x.shape,
            x.sharding.shard_shape(x.shape),
        )
        for path, x in jax.tree.leaves_with_path(captured["intermediates"])
    }
    return {"difference": float(abs(one - eight).max()), "size": float(abs(one).max()), "shapes": shapes}


def losses():
    """Losses of 20 steps in float64 on one device and all axes, of 5 in other cases, and of 1 in float32."""
    float64 = {str(sizes): _losses(sizes, jnp.float64, 20) for sizes in (ONE, MIXED)}
    float64 |= {str(sizes): _losses(sizes, jnp.float64, 5) for sizes in OTHERS}
    images = {"images_every": 1, "image_batch_size": 16}
    return {
        "float64": float64,
        "images": {str(sizes): _losses(sizes, jnp.float64, 5, **images) for sizes in (ONE, MIXED)},
        "accumulation": {
            str(sizes): _losses(sizes, jnp.float64, 5, gradient_accumulation=2) for sizes in (ONE, MIXED)
        },
        "float32": {str(sizes): _losses(sizes, jnp.float32, 1) for sizes in (ONE, MIXED)},
    }


def _losses(sizes, dtype, steps, **stage):
    """Losses and gradient norms of the first steps on a mesh."""
    run = small_run("nowhere", mesh=dict(zip(AXES, sizes, strict=True)), stage=stage)
    task = task_for(run, jax.devices()[: sizes[0] * sizes[1] * sizes[2]], dtype)
    return _train(run, task, task.mesh, task.init(None), {}, steps)


def _train(run, task, mesh, parameters, frozen, steps):
    setup = set_up(run, task, mesh)
    state, frozen = setup.create_state(parameters, 0), setup.frozen(frozen)
    step, batches = make_step(task, setup, 0), task.batches(run.stages[0], 0, 0)
    metrics_log = []
    for number in range(steps):
        batch = setup.batch(next(batches), images=run.stages[0].is_on_images(number))
        state, metrics = step(state, frozen, batch)
        metrics_log.append([float(metrics["loss"]), float(metrics["gradient_norm"])])
        print(dict(mesh.shape), run.stages[0].name, *metrics_log[-1], file=sys.stderr, flush=True)
    return metrics_log


def tiny():
    """Losses of the built-in model in float64, for clips of four frames."""
    return {str(sizes): _tiny(sizes) for sizes in (ONE, MIXED)}


def _tiny(sizes):
    config = load_file("sprites")
    config.compute_dtype, config.stages = "float32", config.stages[1:]
    stage = config.stages[0]
    stage.batch_size = 4
    with stage.unlocked():
        stage.frames, stage.conditions = 4, ("text", "motion")
    config.mesh = dict(zip(AXES, sizes, strict=True))
    run = run_from_config(plain(config))
    mesh = make_mesh(run.mesh, jax.devices()[: sizes[0] * sizes[1] * sizes[2]])
    task = build_task(run, mesh)
    composer = dataclasses.replace(task.composer, networks=task.composer.networks.with_dtype(jnp.float64))
    float64 = DiffusionTask(composer, task.source, layout=Layout(mesh))
    key = jax.random.key(0, impl="unsafe_rbg")
    parameters, frozen = jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x), jnp.float64), (task.init(key), task.frozen())
    )
    return _train(run, float64, mesh, parameters, frozen, 5)


def sampling():
    """Maximum differences of frames between sharded sampling and one device."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        clip = TWO_LEVELS["clip"] | {"frames": 4}
        model = TWO_LEVELS | {"clip": clip, "schedule": {}, "prediction": "epsilon"}
        parts = small_parts(Path(folder) / "parts", model)
        conditions = {
            "text": "a red circle",
            "depth": np.random.default_rng(0).random((4, 16, 16, 1), np.float32),
        }
        seeds = [3, 4]
        one = vcjax.load(parts)
        single = [one(seed=seed, **conditions).frames for seed in seeds]
        frames = vcjax.load(parts, mesh=make_mesh(MeshShape(frames=4), jax.devices()[:4]))
        both = vcjax.load(parts, mesh=MeshShape(data=2, fsdp=2, frames=2))
        return {
            "one clip by frames": _max_difference([frames(seed=3, **conditions).frames], single[:1]),
            "two clips by all axes": _max_difference(
                [clip.frames for clip in both.generate(both.request(seeds=seeds, **conditions))],
                single,
            ),
            "seeds differ": _max_difference(single[:1], single[1:]),
        }


def windows():
    """A long clip in windows on four devices, and on one: difference of latents, and operations of a device."""
    import tempfile

    from vcjax.composer import sampling as module
    from vcjax.composer.completion import complete_request
    from vcjax.composer.encoding import encode_conditions
    from vcjax.composer.sampling import phases_of, sample_latents
    from vcjax.progress import no_progress

    take = module.sample_chunk
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = TWO_LEVELS["clip"] | {"frames": 4}
        model = TWO_LEVELS | {"clip": clip, "schedule": {}, "prediction": "epsilon"}
        parts = small_parts(Path(folder) / "parts", model)
        depth = np.random.default_rng(0).random((18, 16, 16, 1), np.float32)
        for name, mesh in (("one", None), ("four", make_mesh(MeshShape(frames=4), jax.devices()[:4]))):
            composer, calls = vcjax.load(parts, mesh=mesh), []
            module.sample_chunk = lambda *x, calls=calls: calls.append(x) or take(*x)
            request = composer.request(
                text="a red circle", depth=depth, frames=18, steps=4, windows={"offsets": 1}
            )
            request = complete_request(request, composer)
            phases, reader = phases_of(composer, request), composer.reader(request)
            encoded = encode_conditions(composer, request, reader)
            z = sample_latents(composer, request, phases, encoded, reader.tiling, no_progress)
            group = calls[-1][-2].windows.start.shape[
                1
            ]  # groups of windows, the loop of which is counted once
            results[name] = np.asarray(z), take.lower(*calls[-1]).compile().cost_analysis()["flops"] * group
    (one, work), (four, shared) = results["one"], results["four"]
    return {"difference": float(abs(one - four).max() / one.std()), "share of work": shared / work}


def _max_difference(frames, others):
    return max(int(abs(a.astype(int) - b).max()) for a, b in zip(frames, others, strict=True))


COMPUTATIONS = {each.__name__: each for each in (forward, losses, tiny, sampling, windows)}

if __name__ == "__main__":
    name, out = sys.argv[1:]
    if COMPUTATIONS[name] not in (sampling, windows):
        jax.config.update("jax_enable_x64", True)
    Path(out).write_text(json.dumps(COMPUTATIONS[name]()))
