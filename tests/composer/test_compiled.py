"""`generate` and the trainer start from stored executables: nothing is traced, and the output is bit-equal."""

import dataclasses
import shutil
import warnings

import numpy as np
import pytest

import vcjax
from tests.training.runs import LineTask, one_stage, same, small_parts
from vcjax.composer import compiled as module
from vcjax.errors import VcjaxWarning
from vcjax.training.loop import train
from vcjax.training.monitor import METRICS


def test_a_clip_from_stored_executables_and_another_network(tmp_path, monkeypatch):
    parts, executables = small_parts(tmp_path / "parts"), tmp_path / "executables"
    conditions = {
        "text": "a red circle",
        "image": np.full((1, 16, 16, 3), 0.5, np.float32),
        "seed": 3,
        "steps": 1,
    }
    plain = vcjax.load(parts)(**conditions)
    assert same(vcjax.load(parts, executables=executables)(**conditions).frames, plain.frames)
    names = {path.name.split("-")[0] for path in executables.iterdir()}
    assert names == {"encode_text", "encode_tokens", "encode_map", "sample_chunk", "decode"}

    traced = []
    monkeypatch.setattr(module, "apply", lambda network, *_, **__: traced.append(network))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        composer = vcjax.load(parts, executables=executables)
        again = composer(**conditions)
    assert same(again.frames, plain.frames)
    assert traced == []

    monkeypatch.undo()
    unet = composer.networks.unet.clone(attention="plain")
    other = dataclasses.replace(composer, networks=dataclasses.replace(composer.networks, unet=unet))
    with pytest.warns(VcjaxWarning, match="sample_chunk.*was stored before the configuration changed"):
        assert same(other(**conditions).frames, plain.frames)


def test_a_run_from_stored_executables(tmp_path):
    executables = tmp_path / "executables"
    run = one_stage(tmp_path, executables=str(executables))
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
    assert [path.name.split("-")[0] for path in executables.iterdir()] == ["stage_0"]
    first, second = (
        [line.split('"samples_per_second"')[0] for line in text.splitlines()] for text in results
    )
    assert first == second
