"""Evaluation on a prepared data set: scores of the clips themselves and of grey videos."""

import dataclasses
import json
from functools import cached_property

import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from tests.training.runs import MODEL, small_parts
from vcjax.composer.composer import Composer
from vcjax.conditions.motion import Motion
from vcjax.data.beam import pipeline_options
from vcjax.data.prepare import Job, prepare
from vcjax.data.records import PreparedDataset
from vcjax.data.sprite_clips import SpriteClips
from vcjax.errors import BadInput
from vcjax.evaluation.dataset_evaluator import (
    CLIPSIM,
    CONSISTENCY,
    FRECHET,
    DatasetEvaluator,
    load_features,
    report,
)
from vcjax.evaluation.evaluator import EvalProtocol, decode_latents
from vcjax.evaluation.report import SCORES, TABLE
from vcjax.video.clip import Clip

CLIPS = 3
(END_POINT,) = Motion.measures
PROTOCOL = EvalProtocol(model={"name": "perfect"}, clips=CLIPS, steps=2, guidance=2.0, data="mine:validation")
NETWORKS = {**MODEL["networks"], "text_projection": {"embed_dim": 16}}
CONDITIONS = {"text": {}, "motion": {}, "mask": {}}


class Perfect(Composer):
    """Returns the clip of the record that the seed names; grey without conditions."""

    @cached_property
    def records(self):
        return None

    def generate(self, request, progress=None):
        frames = decode_latents(self, jnp.asarray(self.records[request.seeds[0]]["mean"]))
        return [Clip(frames if request.conditions else np.full_like(frames, 128), 8.0)]


def flat(videos):
    return videos.mean((1, 2, 3)).astype(np.float64)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    model = small_parts(folder / "model", {**MODEL, "networks": NETWORKS, "conditions": CONDITIONS})
    job = Job(source=SpriteClips(train=1, validation=CLIPS), model=str(model))
    prepare(job, folder / "data", options=pipeline_options())
    return model, PreparedDataset(folder / "data")


@pytest.fixture(scope="module")
def composer(dataset):
    model, data = dataset
    small = vcjax.load(model)
    perfect = Perfect(**{field.name: getattr(small, field.name) for field in dataclasses.fields(Composer)})
    perfect.__dict__["records"] = data.split("validation")
    return perfect


def test_videos_are_scored_with_the_clips_as_reference(composer, dataset, tmp_path):
    evaluator = DatasetEvaluator(composer, PROTOCOL, tmp_path, dataset[1], "validation", flat)
    names = [case.name for case in evaluator.cases]
    assert names == ["unconditional", "text", "text + motion", "text + mask", "all conditions"]
    assert set(evaluator.conditions(evaluator.cases[-1], 1)) == set(CONDITIONS)
    for case in evaluator.cases:
        evaluator.generate(case)
    table = report(evaluator, 1, tmp_path)
    scores = json.loads((tmp_path / SCORES).read_text())
    assert list(scores) == names
    for name in names[1:]:
        rows = scores[name]
        assert set(rows) == {CONSISTENCY, CLIPSIM, END_POINT.name, FRECHET}
        for metric in (CONSISTENCY, CLIPSIM, END_POINT.name):
            assert rows[metric]["value"] == pytest.approx(rows[metric]["reference"])
        assert rows[FRECHET]["value"] == pytest.approx(0, abs=1e-6)
    grey = scores["unconditional"]
    assert grey[CONSISTENCY]["value"] == pytest.approx(1)
    assert grey[FRECHET]["value"] > 1
    assert (tmp_path / TABLE).read_text() == table
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4 * len(names)
    assert all(("| lower |" in line) == (END_POINT.name in line or FRECHET in line) for line in lines)
    assert table.splitlines()[-1].startswith("(1) the Frechet distance")
    assert "nan" not in table
    assert len(list((tmp_path / "shown").iterdir())) == len(names)


def test_invalid_arguments_are_rejected(composer, dataset, tmp_path):
    data = dataset[1]
    with pytest.raises(BadInput, match="has 3 clips in validation: fewer than 4"):
        DatasetEvaluator(composer, dataclasses.replace(PROTOCOL, clips=4), tmp_path, data, "validation")
    with pytest.raises(BadInput, match="no split 'test'"):
        DatasetEvaluator(composer, PROTOCOL, tmp_path, data, "test")
    with pytest.raises(BadInput, match="prepare it for this model"):
        DatasetEvaluator(vcjax.load("tiny"), PROTOCOL, tmp_path, data, "validation")
    evaluator = DatasetEvaluator(
        composer, PROTOCOL, tmp_path, data, "validation", lambda videos: videos.mean()
    )
    evaluator.generate(evaluator.cases[0])
    with pytest.raises(BadInput, match=r"finite numbers \[3, D\] for 3 videos, not \[\]"):
        evaluator.scores(evaluator.cases[0])
    with pytest.raises(BadInput, match="must name a function, but math:pi is 3"):
        load_features("math:pi")
    with pytest.raises(BadInput, match=r"MODULE:NAME.*not 'nowhere:f'"):
        load_features("nowhere:f")
    with pytest.raises(BadInput, match=r"MODULE:NAME.*not 'math'"):
        load_features("math")
    assert load_features("math:sqrt")(4) == 2
