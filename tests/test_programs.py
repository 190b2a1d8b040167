"""`generate` and the trainer start from stored programs: nothing is traced, and what comes out is the same to the bit."""

import dataclasses
import shutil
import warnings

import numpy as np
import pytest

import vcjax
from tests.training.runs import LineTask, one_stage, same, small_parts
from vcjax import composer as module
from vcjax.errors import VcjaxWarning
from vcjax.training.loop import train
from vcjax.training.watch import METRICS


def test_a_clip_from_stored_programs_and_another_network(tmp_path, monkeypatch):
    parts, programs = small_parts(tmp_path / "parts"), tmp_path / "programs"
    given = {"text": "a red circle", "image": np.full((1, 16, 16, 3), 0.5, np.float32), "seed": 3, "steps": 1}
    plain = vcjax.load(parts)(**given)
    assert same(vcjax.load(parts, programs=programs)(**given).frames, plain.frames)
    names = {path.name.split("-")[0] for path in programs.iterdir()}
    assert names == {"encode_text", "encode_tokens", "encode_map", "take_steps", "decode"}

    traced = []
    monkeypatch.setattr(module, "apply", lambda network, *_, **__: traced.append(network))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        composer = vcjax.load(parts, programs=programs)
        again = composer(**given)
    assert same(again.frames, plain.frames)
    assert traced == []

    monkeypatch.undo()
    unet = composer.networks.unet.clone(attention="plain")
    other = dataclasses.replace(composer, networks=dataclasses.replace(composer.networks, unet=unet))
    with pytest.warns(VcjaxWarning, match="take_steps.*was stored before the configuration changed"):
        assert same(other(**given).frames, plain.frames)


def test_a_run_from_stored_programs(tmp_path):
    programs = tmp_path / "programs"
    run = one_stage(tmp_path, programs=str(programs))
    results = []

    class Traced(LineTask):
        traces = 0

        def loss(self, *inputs):
            Traced.traces += 1
            return super().loss(*inputs)

    for _ in range(2):
        shutil.rmtree(run.out, ignore_errors=True)
        assert train(run, Traced()) == run.steps
        results.append((tmp_path / "run" / METRICS).read_text())
    assert Traced.traces == 1
    assert [path.name.split("-")[0] for path in programs.iterdir()] == ["stage_0"]
    told = [[line.split('"samples_a_second"')[0] for line in text.splitlines()] for text in results]
    assert told[0] == told[1]
