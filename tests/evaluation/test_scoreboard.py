"""The scoreboard: videos are made once, a stopped run goes on, and its figures are those of the measures."""

import dataclasses
import json
from functools import cached_property

import jax
import numpy as np
import pytest

import vcjax
from vcjax.composer import Composer
from vcjax.errors import BadInput
from vcjax.evaluation.board import Protocol
from vcjax.evaluation.cases import OWN, TURNED, clips_of, conditions_of
from vcjax.evaluation.measures import MEASURES
from vcjax.evaluation.report import PAGE, SCORES, TABLE, report
from vcjax.evaluation.scoreboard import Scoreboard
from vcjax.evaluation.settings import SETTINGS, chosen
from vcjax.video.clip import Clip

PROTOCOL = Protocol(model={"name": "perfect"}, clips=2, steps=3, guidance=2.0)


class Perfect(Composer):
    """A composer that obeys: asked for motion it gives the redirected clip, else the clip; asked for nothing, grey."""

    @cached_property
    def asked(self):
        return []

    @cached_property
    def _answers(self):
        indices = np.arange(PROTOCOL.clips, dtype=np.int32)
        return {v: clips_of(v, indices, self.shape).frames for v in (OWN, TURNED)}

    def __call__(self, *, steps, guidance, away, seed, **given):
        self.asked.append((seed, steps, guidance, tuple(away), tuple(given)))
        if not given:
            return Clip(np.full_like(self._answers[OWN][0], 128), 8.0)
        return Clip(self._answers[TURNED if "motion" in given else OWN][seed], 8.0)


@pytest.fixture(scope="module")
def composer():
    tiny = vcjax.load("tiny")
    return Perfect(**{field.name: getattr(tiny, field.name) for field in dataclasses.fields(Composer)})


def test_videos_are_made_once_and_scored_between_their_anchors(composer, tmp_path):
    settings = [SETTINGS[name] for name in ("nothing", "image", "motion", "image + motion")]
    board = Scoreboard(composer, PROTOCOL, tmp_path)
    for setting in settings:
        board.make(setting)
    assert composer.asked[:3] == [(0, 3, 2.0, (), ()), (1, 3, 2.0, (), ()), (0, 3, 2.0, (), ("image",))]
    (tmp_path / "videos" / "image" / "0001.npy").unlink()
    again = Scoreboard(composer, PROTOCOL, tmp_path)
    count = len(composer.asked)
    for setting in settings:
        again.make(setting)
    assert composer.asked[count:] == [(1, 3, 2.0, (), ("image",))]

    scores = report(again, settings, 1, tmp_path)
    first = scores["image + motion"]["PSNR of the first frame, dB"]
    assert first["value"] == 60  # equal frames
    assert first["low"] <= first["value"] <= first["high"]
    assert first["none"] < 20 < first["truth"] < 40  # grey, and through the autoencoder
    assert first["share"] > 1
    assert scores["image + motion"]["object kept"]["of_alone"]["value"] == pytest.approx(1)
    assert json.loads((tmp_path / SCORES).read_text()).keys() == scores.keys()
    figures, verdicts = (tmp_path / TABLE).read_text().split("\n\n")
    assert len(figures.splitlines()) == 2 + sum(map(len, scores.values()))
    verdict = [line for line in verdicts.splitlines() if "object kept" in line and "lower bound" not in line]
    assert verdict == ["| image + motion | object kept | at least 0.85 of alone | 1 | passed |"]
    page = (tmp_path / PAGE).read_text()
    pictures = list((tmp_path / "shown").iterdir())
    assert len(pictures) == len(settings)
    assert all(f"shown/{picture.name}" in page for picture in pictures)


def test_each_gain_is_counted_from_its_own_none(composer, tmp_path):
    """Motion alone is of the clip as it is, in the pair of the redirected one: nothing stands apart from both differently."""
    board, measure = Scoreboard(composer, PROTOCOL, tmp_path), "path error of the object, pixels"
    setting = dataclasses.replace(SETTINGS["image + motion"], scored=("path",), alone=(("path", "motion"),))
    for made in (SETTINGS["nothing"], SETTINGS["motion"], setting):
        board.make(made)
    (path,) = (m for m in MEASURES if m.name == measure)

    def error(name, variant):
        return board._figures(name, variant, path).mean()

    gain = error(setting.name, TURNED) - error("nothing", TURNED)
    alone = error("motion", OWN) - error("nothing", OWN)
    ratio = board.scores(setting)[measure]["of_alone"]["value"]
    if alone < 0:
        assert ratio == pytest.approx(gain / alone)
    else:
        assert np.isnan(ratio)


def test_a_folder_of_another_protocol_is_left_alone(composer, tmp_path):
    Scoreboard(
        composer, dataclasses.replace(PROTOCOL, steps=4), tmp_path
    )  # nothing is made, nothing is agreed
    Scoreboard(composer, PROTOCOL, tmp_path).make(SETTINGS["nothing"])
    Scoreboard(composer, PROTOCOL, tmp_path)
    with pytest.raises(BadInput, match="steps 3, not 4"):
        Scoreboard(composer, dataclasses.replace(PROTOCOL, steps=4), tmp_path)


def test_every_setting_hands_in_what_the_composer_reads(composer, tmp_path):
    board = Scoreboard(composer, PROTOCOL, tmp_path)
    shape = composer.shape
    for setting in chosen(("alone", "tasks"), tuple(composer.conditions)):
        for name, variant in setting.given:
            clip = jax.tree.map(lambda leaf: leaf[0], board.clips(variant))
            read = composer.read(conditions_of(clip, (name,), shape.fps, 0), shape)
            assert all(np.isfinite(array).all() for array in read.values())


def test_videos_can_be_made_one_by_one(composer, tmp_path):
    board, setting = Scoreboard(composer, PROTOCOL, tmp_path), SETTINGS["image"]
    count = len(composer.asked)
    board.make(setting, [1])
    assert [seed for seed, *_ in composer.asked[count:]] == [1]
    board.make(setting, [0])
    assert [seed for seed, *_ in composer.asked[count:]] == [1, 0]
    assert board.frames(setting).shape[0] == 2


def test_a_scoreboard_can_begin_with_another_clip(composer, tmp_path):
    board = Scoreboard(composer, dataclasses.replace(PROTOCOL, clips=1, first=1), tmp_path)
    count = len(composer.asked)
    board.make(SETTINGS["image"])
    assert [seed for seed, *_ in composer.asked[count:]] == [1]
    assert (board.clips(OWN).frames[0] == composer._answers[OWN][1]).all()
    rows = board.scores(SETTINGS["image"], compared=False)
    assert rows["PSNR of the first frame, dB"]["value"] == 60
    assert all("none" not in row for row in rows.values())
