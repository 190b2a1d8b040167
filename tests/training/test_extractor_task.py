"""Training tasks of the extraction networks."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.runs import MODEL, one_stage, ready
from vcjax.errors import BadInput
from vcjax.training.build import build_task
from vcjax.training.extractor_task import depth_loss, sketch_loss

NETWORKS = {
    "depth": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 4, "heads": 2, "neck_channels": [8, 8, 16, 16], "fusion_channels": 16},
    "sketch": {"base_channels": 8, "dilation_channels": 4},
}  # fmt: skip
RATES = {"depth": 1e-3, "sketch": 3e-3}  # at three times that, depth ends at a constant
CLIP = {"frames": 2, "height": 32, "width": 32, "fps": 8.0}


def run_of(tmp_path, name, **changes):
    networks = {**MODEL["networks"], name: NETWORKS[name]}
    stage = {"batch_size": 4, "frames": 2, "optimizer": {"learning_rate": RATES[name], "warmup_steps": 0}}
    conditions = {**MODEL["conditions"], "depth": {"divisor": 1.0}, "sketch": {}}
    model = {**MODEL, "networks": networks, "conditions": conditions, "clip": CLIP}
    return one_stage(tmp_path, stage, task=name, model=model, sprites={"fixed_clips": 4}, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_the_maps_of_a_few_clips(tmp_path, name):
    run = run_of(tmp_path, name)
    task, state, step, batch = ready(run, 4, 2)
    losses = []
    for _ in range(100):
        state, metrics = step(state, {}, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    (clip,) = task.samples(state.parameters, {}).values()
    assert clip.frames.shape[0] == 8
    assert clip.frames.std() > 1


def test_a_perfect_prediction_has_the_lowest_loss():
    target = jnp.asarray(np.random.default_rng(0).random((2, 4, 4, 1), np.float32))
    assert np.allclose(depth_loss(target, target), 0, atol=1e-6)
    assert (np.asarray(depth_loss(target + 1, target)) > 0.9).all()
    lines = (target > 0.5).astype(jnp.float32)
    assert (np.asarray(sketch_loss(lines, lines)) < 1e-4).all()
    assert np.isfinite(np.asarray(sketch_loss(1 - lines, lines))).all()
    assert (np.asarray(sketch_loss(1 - lines, lines)) > 1).all()


def test_a_model_without_the_network_or_the_condition_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"config\.model\.conditions must hold sketch"):
        build_task(one_stage(tmp_path, task="sketch"))
    with pytest.raises(BadInput, match=r"config\.model\.networks must hold depth"):
        build_task(one_stage(tmp_path, task="depth"))
