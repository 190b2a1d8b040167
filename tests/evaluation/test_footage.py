"""Scores on a prepared data set: of a composer that obeys, and of one that makes grey videos."""

import dataclasses
import json
from functools import cached_property

import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from tests.training.runs import MODEL, small_parts
from vcjax.composer import Composer
from vcjax.data.beam import pipeline_options
from vcjax.data.prepare import Job, prepare
from vcjax.data.records import Prepared
from vcjax.data.sprite_clips import SpriteClips
from vcjax.errors import BadInput
from vcjax.evaluation.board import Protocol, decoded
from vcjax.evaluation.footage import (
    CLIPSIM,
    CONSISTENCY,
    END_POINT,
    FRECHET,
    FootageBoard,
    features_of,
    report,
)
from vcjax.evaluation.report import SCORES, TABLE
from vcjax.video.clip import Clip

CLIPS = 3
PROTOCOL = Protocol(model={"name": "perfect"}, clips=CLIPS, steps=2, guidance=2.0, data="mine:validation")
NETWORKS = {**MODEL["networks"], "pair": {"features": 16}}
CONDITIONS = {"text": {}, "motion": {}, "mask": {}}


class Perfect(Composer):
    """Gives the record of its seed as it is, and grey where it is asked for nothing."""

    @cached_property
    def records(self):
        return None

    def __call__(self, *, seed, **given):
        conditions = [name for name in given if name in self.conditions]
        frames = decoded(self, jnp.asarray(self.records[seed]["mean"]))
        return Clip(frames if conditions else np.full_like(frames, 128), 8.0)


def flat(videos):
    return videos.mean((1, 2, 3)).astype(np.float64)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    model = small_parts(folder / "model", {**MODEL, "networks": NETWORKS, "conditions": CONDITIONS})
    job = Job(source=SpriteClips(train=1, validation=CLIPS), model=str(model))
    prepare(job, folder / "data", options=pipeline_options())
    return model, Prepared(folder / "data")


@pytest.fixture(scope="module")
def composer(dataset):
    model, data = dataset
    small = vcjax.load(model)
    perfect = Perfect(**{field.name: getattr(small, field.name) for field in dataclasses.fields(Composer)})
    perfect.__dict__["records"] = data.split("validation")
    return perfect


def test_videos_are_scored_beside_the_clips_themselves(composer, dataset, tmp_path):
    board = FootageBoard(composer, PROTOCOL, tmp_path, dataset[1], "validation", flat)
    names = [setting.name for setting in board.settings]
    assert names == ["nothing", "text", "text + motion", "text + mask", "everything"]
    assert set(board.given(board.settings[-1], 1)) == set(CONDITIONS)
    for setting in board.settings:
        board.make(setting)
    table = report(board, 1, tmp_path)
    scores = json.loads((tmp_path / SCORES).read_text())
    assert list(scores) == names
    for name in names[1:]:
        rows = scores[name]
        assert set(rows) == {CONSISTENCY, CLIPSIM, END_POINT, FRECHET}
        for measure in (CONSISTENCY, CLIPSIM, END_POINT):
            assert rows[measure]["value"] == pytest.approx(rows[measure]["truth"])
        assert rows[FRECHET]["value"] == pytest.approx(0, abs=1e-6)
    grey = scores["nothing"]
    assert grey[CONSISTENCY]["value"] == pytest.approx(1)
    assert grey[FRECHET]["value"] > 1
    assert (tmp_path / TABLE).read_text() == table
    assert len(table.splitlines()) == 2 + 4 * len(names)
    assert len(list((tmp_path / "shown").iterdir())) == len(names)


def test_what_does_not_fit_is_refused(composer, dataset, tmp_path):
    data = dataset[1]
    with pytest.raises(BadInput, match="has 3 clips in validation: fewer than 4"):
        FootageBoard(composer, dataclasses.replace(PROTOCOL, clips=4), tmp_path, data, "validation")
    with pytest.raises(BadInput, match="no split 'test'"):
        FootageBoard(composer, PROTOCOL, tmp_path, data, "test")
    with pytest.raises(BadInput, match="prepare it for this model"):
        FootageBoard(vcjax.load("tiny"), PROTOCOL, tmp_path, data, "validation")
    board = FootageBoard(composer, PROTOCOL, tmp_path, data, "validation", lambda videos: videos.mean())
    board.make(board.settings[0])
    with pytest.raises(BadInput, match=r"finite numbers \[3, D\] for 3 videos, not \[\]"):
        board.scores(board.settings[0])
    with pytest.raises(BadInput, match="must name a function, but math:pi is 3"):
        features_of("math:pi")
    with pytest.raises(BadInput, match="MODULE:FUNCTION, not 'nowhere:f'"):
        features_of("nowhere:f")
    with pytest.raises(BadInput, match="MODULE:FUNCTION, not 'math'"):
        features_of("math")
    assert features_of("math:sqrt")(4) == 2
