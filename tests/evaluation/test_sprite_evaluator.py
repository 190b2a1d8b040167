"""The sprite evaluator: videos are generated once, runs can be resumed, scores have their anchors."""

import dataclasses
import json
from functools import cached_property

import jax
import numpy as np
import pytest

import vcjax
from vcjax.composer.composer import Composer
from vcjax.conditions.preview import LABEL_HEIGHT, text_image
from vcjax.data.sprites import CAMERAS, captions
from vcjax.errors import BadInput
from vcjax.evaluation.cases import CASES, select_cases
from vcjax.evaluation.condition_sources import ORIGINAL, REDIRECTED, conditions_from_clip, render_clips
from vcjax.evaluation.evaluator import EvalProtocol
from vcjax.evaluation.metrics import METRICS
from vcjax.evaluation.report import PAGE, SCORES, TABLE, comparison, report, score_table
from vcjax.evaluation.sprite_evaluator import SpriteEvaluator
from vcjax.video.clip import Clip

PROTOCOL = EvalProtocol(model={"name": "perfect"}, clips=2, steps=3, guidance=2.0)


class Perfect(Composer):
    """Returns the redirected clip if motion is given, else the original clip; grey without conditions."""

    @cached_property
    def calls(self):
        return []

    @cached_property
    def _clips(self):
        indices = np.arange(PROTOCOL.clips, dtype=np.int32)
        return {v: render_clips(v, indices, self.shape).frames for v in (ORIGINAL, REDIRECTED)}

    def generate(self, request, progress=None):
        (seed,), (guidance,) = request.seeds, request.guidance
        self.calls.append((seed, request.steps, guidance, request.negative, tuple(request.conditions)))
        if not request.conditions:
            return [Clip(np.full_like(self._clips[ORIGINAL][0], 128), 8.0)]
        return [Clip(self._clips[REDIRECTED if "motion" in request.conditions else ORIGINAL][seed], 8.0)]


@pytest.fixture(scope="module")
def composer():
    tiny = vcjax.load("tiny")
    return Perfect(**{field.name: getattr(tiny, field.name) for field in dataclasses.fields(Composer)})


def test_videos_are_generated_once_and_scored_with_baseline_and_reference(composer, tmp_path):
    cases = [CASES[name] for name in ("unconditional", "image", "motion", "image + motion")]
    evaluator = SpriteEvaluator(composer, PROTOCOL, tmp_path)
    for case in cases:
        evaluator.generate(case)
    assert composer.calls[:3] == [(0, 3, 2.0, (), ()), (1, 3, 2.0, (), ()), (0, 3, 2.0, (), ("image",))]
    (tmp_path / "videos" / "image" / "0001.npy").unlink()
    resumed = SpriteEvaluator(composer, PROTOCOL, tmp_path)
    count = len(composer.calls)
    for case in cases:
        resumed.generate(case)
    assert composer.calls[count:] == [(1, 3, 2.0, (), ("image",))]

    scores = report(resumed, cases, 1, tmp_path)
    first = scores["image + motion"]["PSNR of the first frame, dB"]
    assert first["value"] == 60  # equal frames
    assert first["low"] <= first["value"] <= first["high"]
    assert first["baseline"] < 20 < first["reference"] < 40  # grey, and decoded from its latents
    assert first["normalised"] > 1
    assert scores["image + motion"]["object identity"]["relative_to_single"]["value"] == pytest.approx(1)
    assert json.loads((tmp_path / SCORES).read_text()).keys() == scores.keys()
    written = (tmp_path / TABLE).read_text()
    tables = [block for block in written.split("\n\n") if block.startswith("| case ")]
    absent = sum(len(resumed.absent(case)) for case in cases if case.scored)
    assert len(tables[0].splitlines()) == 2 + absent + sum(map(len, scores.values()))
    verdict = [
        line for line in tables[1].splitlines() if "object identity" in line and "lower bound" not in line
    ]
    assert verdict == ["| image + motion | object identity | at least 0.85 relative to single | 1 | passed |"]
    page = (tmp_path / PAGE).read_text()
    assert "nan" not in (written + page).lower()
    for case in cases:
        section = page.split(f"<h3>{case.name}</h3>")[1].split("</section>")[0]
        assert f": {captions(resumed.clips(case.target).facts)[0]}</figcaption>" in section
    pictures = list((tmp_path / "shown").iterdir())
    assert len(pictures) == len(cases)
    assert all(f"shown/{picture.name}" in page for picture in pictures)


def test_each_gain_is_over_the_baseline_with_its_own_target(composer, tmp_path):
    """The target of motion by itself is the original clip, that of the pair is the redirected one."""
    evaluator, metric = SpriteEvaluator(composer, PROTOCOL, tmp_path), "trajectory error, pixels"
    case = dataclasses.replace(
        CASES["image + motion"], scored=("trajectory",), single=(("trajectory", "motion"),)
    )
    for each in (CASES["unconditional"], CASES["motion"], case):
        evaluator.generate(each)
    (trajectory,) = (m for m in METRICS if m.name == metric)

    def error(name, variant):
        return evaluator._values(name, variant, trajectory).mean()

    gain = error(case.name, REDIRECTED) - error("unconditional", REDIRECTED)
    single = error("motion", ORIGINAL) - error("unconditional", ORIGINAL)
    ratio = evaluator.scores(case)[metric]["relative_to_single"]["value"]
    if single < 0:
        assert ratio == pytest.approx(gain / single)
    else:
        assert np.isnan(ratio)


def test_a_folder_of_another_protocol_is_rejected(composer, tmp_path):
    # The protocol is written with the first video, so this one leaves no trace.
    SpriteEvaluator(composer, dataclasses.replace(PROTOCOL, steps=4), tmp_path)
    SpriteEvaluator(composer, PROTOCOL, tmp_path).generate(CASES["unconditional"])
    SpriteEvaluator(composer, PROTOCOL, tmp_path)
    with pytest.raises(BadInput, match="steps 3, not 4"):
        SpriteEvaluator(composer, dataclasses.replace(PROTOCOL, steps=4), tmp_path)


def test_the_composer_can_read_the_conditions_of_every_case(composer, tmp_path):
    evaluator = SpriteEvaluator(composer, PROTOCOL, tmp_path)
    shape = composer.shape
    for case in select_cases(("single", "tasks"), tuple(composer.conditions)):
        for name, variant in case.sources:
            clip = jax.tree.map(lambda leaf: leaf[0], evaluator.clips(variant))
            read = composer.read(conditions_from_clip(clip, (name,), shape.fps, 0), shape)
            assert all(np.isfinite(array).all() for array in read.values())


def test_videos_can_be_generated_one_by_one(composer, tmp_path):
    evaluator, case = SpriteEvaluator(composer, PROTOCOL, tmp_path), CASES["image"]
    count = len(composer.calls)
    evaluator.generate(case, [1])
    assert [seed for seed, *_ in composer.calls[count:]] == [1]
    evaluator.generate(case, [0])
    assert [seed for seed, *_ in composer.calls[count:]] == [1, 0]
    assert evaluator.videos(case).shape[0] == 2


def test_an_evaluation_can_start_at_another_clip(composer, tmp_path):
    evaluator = SpriteEvaluator(composer, dataclasses.replace(PROTOCOL, clips=1, first=1), tmp_path)
    count = len(composer.calls)
    evaluator.generate(CASES["image"])
    assert [seed for seed, *_ in composer.calls[count:]] == [1]
    assert (evaluator.clips(ORIGINAL).frames[0] == composer._clips[ORIGINAL][1]).all()
    rows = evaluator.scores(CASES["image"], with_baseline=False)
    assert rows["PSNR of the first frame, dB"]["value"] == 60
    assert all("baseline" not in row for row in rows.values())


def test_a_metric_that_no_clip_counts_for_is_a_dash_with_its_reason(composer, tmp_path):
    evaluator, case = SpriteEvaluator(composer, PROTOCOL, tmp_path), CASES["motion"]
    for each in (CASES["unconditional"], case):
        evaluator.generate(each)
    clips = evaluator.clips(ORIGINAL)
    static = clips.facts._replace(camera=np.full_like(clips.facts.camera, CAMERAS.index("static")))
    evaluator._clips[ORIGINAL] = clips._replace(facts=static)
    scores, absent = {case.name: evaluator.scores(case)}, {case.name: evaluator.absent(case)}
    metric = "end-point error under a moving camera"
    assert metric not in scores[case.name]
    table = score_table(scores, absent)
    assert [row[4] for row in table.rows if row[1] == metric] == ["\N{EN DASH} (1)"]
    assert "none of the evaluated clips is among" in table.notes[0]
    assert "camera moves" in table.notes[0]


def test_the_comparison_shows_the_conditions_that_the_video_was_generated_from(composer, tmp_path):
    evaluator, case, given = SpriteEvaluator(composer, PROTOCOL, tmp_path), CASES["text + mask"], {}

    class Recording(Perfect):
        def generate(self, request, progress=None):
            given.update({name: each.value for name, each in request.conditions.items()})
            return super().generate(request)

    fields = {field.name: getattr(composer, field.name) for field in dataclasses.fields(Composer)}
    recording = SpriteEvaluator(Recording(**fields), PROTOCOL, tmp_path)
    recording.generate(case, [1])
    frames = comparison(evaluator, case, 1, scale=2).frames
    panels = np.split(frames[:, LABEL_HEIGHT:], 4, axis=2)
    (words,) = text_image(given["text"], 128, 128)
    np.testing.assert_array_equal(panels[1], np.broadcast_to(words, panels[1].shape))
    mask = composer.conditions["mask"].preview(given["mask"], composer.shape)
    np.testing.assert_array_equal(panels[2][:, ::2, ::2], mask)
    np.testing.assert_array_equal(panels[3][:, 1::2, 1::2], evaluator.video(case, 1))
    labels = frames[0, :LABEL_HEIGHT].any((0, 2)).reshape(4, 128)
    assert [int(np.flatnonzero(label).min()) for label in labels] == pytest.approx([2] * 4, abs=1)
