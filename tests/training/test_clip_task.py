"""The CLIP task: text and image towers are trained together; words that no image shows stay distinguishable."""

import numpy as np
import pytest

from tests.training.runs import MODEL, one_stage, ready
from vcjax.errors import BadInput
from vcjax.training.build import build_task

STEPS = 200


@pytest.mark.slow
def test_images_retrieve_their_captions_and_words_that_no_image_shows_stay_distinguishable(tmp_path):
    networks = {**MODEL["networks"], "text_projection": {"embed_dim": 16}}
    stage = {"batch_size": 8, "frames": 1, "optimizer": {"learning_rate": 1e-2, "warmup_steps": 10}}
    run = one_stage(
        tmp_path, stage, task="clip", model={**MODEL, "networks": networks}, sprites={"fixed_clips": 8}
    )
    _, state, step, batch = ready(run, 8, 1)
    lines = []
    for _ in range(STEPS):
        state, metrics = step(state, {}, batch)
        shares = {name: float(metrics["sums"][name] / metrics["counts"][name]) for name in metrics["sums"]}
        lines.append({"loss": float(metrics["loss"]), **shares})
    assert lines[0]["token_accuracy"] < 0.5
    assert lines[-1]["token_accuracy"] > 0.95
    assert lines[-1]["image_to_text_accuracy"] > 0.6 > lines[0]["image_to_text_accuracy"]
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert np.isfinite([line["loss"] for line in lines]).all()


def test_a_model_without_the_towers_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"config\.model\.networks must hold vision and text_projection"):
        build_task(one_stage(tmp_path, task="clip"))
