"""The text and image towers learn together, and the text tower forgets no word."""

import numpy as np
import pytest

from tests.training.runs import MODEL, one_stage, ready
from vcjax.errors import BadInput
from vcjax.training.assemble import task_of

STEPS = 200


@pytest.mark.slow
def test_pictures_find_their_captions_and_words_stay_apart_that_no_picture_shows(tmp_path):
    networks = {**MODEL["networks"], "pair": {"features": 16}}
    stage = {"batch": 8, "frames": 1, "optimizer": {"learning_rate": 1e-2, "warmup": 10}}
    run = one_stage(tmp_path, stage, task="clip", model={**MODEL, "networks": networks}, fixed_clips=8)
    _, state, step, batch = ready(run, 8, 1)
    told = []
    for _ in range(STEPS):
        state, metrics = step(state, {}, batch)
        shares = {name: float(metrics["sums"][name] / metrics["counts"][name]) for name in metrics["sums"]}
        told.append({"loss": float(metrics["loss"]), **shares})
    assert told[0]["words_told"] < 0.5
    assert told[-1]["words_told"] > 0.95
    assert told[-1]["text_found"] > 0.6 > told[0]["text_found"]
    assert told[-1]["loss"] < 0.5 * told[0]["loss"]
    assert np.isfinite([line["loss"] for line in told]).all()


def test_a_model_without_the_towers_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"config\.model\.networks must hold vision and pair"):
        task_of(one_stage(tmp_path, task="clip"))
