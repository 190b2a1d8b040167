"""Planning: the cost of a step is that of a compiled program, and what does not compile is reported."""

import importlib.util
import stat

import pytest
from typer.testing import CliRunner

from tests.planning import by_hand
from tests.training.runs import MODEL, table
from vcjax.cli import plan as command
from vcjax.cli.app import app
from vcjax.composer.compiled import STEPS_PER_CALL
from vcjax.composer.loading import load_model_config
from vcjax.errors import BadInput
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import one_device
from vcjax.planning import compile as planning
from vcjax.planning import programs
from vcjax.planning.compile import Failure, PlanRequest, Report
from vcjax.planning.cost import Cost, Traffic
from vcjax.platforms import compiling_for
from vcjax.training.config import run_from_config

GIB = 2**30


def request(tmp_path, topology, **changes):
    """A small autoencoder's step: the quickest to compile of all tasks."""
    config = table(
        tmp_path, task="autoencoder", stages=[{"name": "only", "steps": 4, "batch_size": 8}], **changes
    )
    return PlanRequest(config=config, topology=topology)


@pytest.mark.slow
def test_a_step_on_simulated_devices(tmp_path):
    """Parameters whole on each of four devices, which sum their gradients."""
    report = planning.compile_in_subprocess(request(tmp_path, "cpu:4"))
    assert isinstance(report, Report)
    assert report.parameters > 1000
    assert report.argument_bytes["parameters"] == report.argument_bytes["ema"] == 4 * report.parameters
    assert report.argument_bytes["optimizer"] == pytest.approx(
        2 * report.argument_bytes["parameters"], rel=0.01
    )  # and two counts
    assert report.cost.arguments == pytest.approx(sum(report.argument_bytes.values()), rel=0.01)
    assert report.cost.traffic["all-reduce"].bytes >= 4 * report.parameters
    assert report.flops > 1e6
    assert report.compiler_memory > 1e8


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu, of the extra tpu")
def test_a_step_on_a_slice_that_is_not_here(tmp_path):
    report = planning.compile_in_subprocess(request(tmp_path, "v5e:2x4", dtype="bfloat16"))
    assert isinstance(report, Report)
    assert report.cost.traffic["all-reduce"].bytes >= 2 * report.parameters  # gradients, summed in bfloat16
    assert report.cost.temporaries > 0
    with pytest.raises(BadInput, match="topology v5e:3x5 cannot be compiled for"):
        planning.compile_in_subprocess(request(tmp_path, "v5e:3x5"))


@pytest.mark.slow
def test_the_sampler_is_planned_on_a_mesh_that_shares_the_frames(tmp_path):
    model = {**MODEL, "clip": {**MODEL["clip"], "frames": 4}}
    stages = [{"name": "only", "steps": 4, "batch_size": 1}]
    config = table(tmp_path, model=model, mesh={"frames": 2}, stages=stages)
    report = planning.compile_in_subprocess(PlanRequest(config, "cpu:2", program="sampler"))
    assert isinstance(report, Report)
    assert report.cost.traffic["all-to-all"].count > 1  # frames to pixels and back


def stub(tmp_path, monkeypatch, script):
    """Replace the interpreter that compiles."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(planning.sys, "executable", str(path))


def test_a_killed_compiler_is_reported_and_kills_nothing_else(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, "kill -9 $$")
    made = planning.compile_in_subprocess(PlanRequest(config={}, topology="cpu:1"))
    assert isinstance(made, Failure)
    assert "killed by signal 9" in made.reason
    assert "memory" in made.reason


def test_a_failing_compiler_is_reported(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, "echo nonsense; echo of no use >&2; exit 1")
    made = planning.compile_in_subprocess(PlanRequest(config={}, topology="cpu:1"))
    assert made == Failure(reason="the compiler failed: of no use")


def test_what_does_not_fit_says_how_much_it_would_need():
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 21.50G of 15.75G hbm. Exceeded hbm"
    )
    assert planning.failure_of(message) == Failure(reason="no", required_bytes=int(21.5 * GIB))
    assert planning.failure_of("INTERNAL: something") == Failure(reason="INTERNAL: something")


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--topology", "v5p", "--config=smoke"],
            "topology must be a chip and its grid, such as v5e:16x16",
        ),
        (["--topology", "v5p:4x4", "--config=smoke"], "has 2 axes, but a slice of v5p has 3"),
        (["--topology", "cpu:2", "--config=nothing"], "configuration: "),
        (["--topology", "cpu:2", "--config=smoke", "--stage=2"], "--stage must be from 0 to 1"),
        (["--topology", "cpu:2", "--config=smoke", "--batch-size=1,2"], "several values needs --search"),
        (
            ["--topology", "cpu:2", "--config=smoke", "--batch-size=many"],
            "--batch-size must be numbers above 0",
        ),
        (
            ["--topology", "cpu:2", "--config=smoke", "--remat=x"],
            "none, or some of residual",
        ),
        (["--topology", "cpu:2", "--config=smoke", "--mesh-fsdp=3"], "mesh of data = -1, fsdp = 3"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_sentence(arguments, message):
    done = run(*arguments)
    assert isinstance(done.exception, BadInput)  # which the command line prints, with exit code 2
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def report(needed, **changes):
    cost = Cost(
        arguments=needed, outputs=0, aliased=0, temporaries=0, code=0, flops=None, seconds=None,
        traffic={"all-reduce": Traffic(count=3, bytes=GIB)},
    )  # fmt: skip
    values = {
        "parameters": 5_000_000,
        "argument_bytes": {"parameters": GIB},
        "flops": 8 * 197e9,
        "seconds": 3.0,
    }
    return Report(cost=cost, compiler_memory=2 * GIB, **{**values, **changes})


def test_a_search_stops_where_more_clips_do_not_fit(monkeypatch):
    asked = []

    def compiled(request):
        stage = request.config["stages"][-1]
        asked.append((request.config["mesh"]["fsdp"], tuple(request.config["remat"]), stage["batch_size"]))
        if request.config["mesh"]["fsdp"] == 2:
            raise BadInput("a mesh that cannot be")
        kept = 10 if request.config["remat"] else 20
        return report(int(stage["batch_size"] / 8 * kept * GIB))

    monkeypatch.setattr(planning, "compile_in_subprocess", compiled)
    done = run(
        "--config=smoke", "--topology=v5e:2x4", "--search", "--batch-size=8,16,32", "--mesh-fsdp=1", "--mesh-fsdp=2",
        "--remat=none,spatial+temporal",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert asked == [
        (1, (), 8),
        (1, ("spatial", "temporal"), 8),
        (1, ("spatial", "temporal"), 16),
        (2, (), 8),
        (2, ("spatial", "temporal"), 8),
    ]
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in done.stdout.splitlines()]
    assert rows[0] == list(command.COLUMNS)
    fits = command.COLUMNS.index("fits")
    assert [row[fits] for row in rows[2:]] == ["no", "yes", "no", *["a mesh that cannot be"] * 2]
    at_best = command.COLUMNS.index("ms at peak")
    assert rows[2][at_best] == "1.0"  # 8 chips of 197 TFLOP/s


def test_one_plan_prints_bytes_by_kind(monkeypatch):
    monkeypatch.setattr(planning, "compile_in_subprocess", lambda request: report(4 * GIB))
    done = run("--config=smoke", "--topology=v5e:2x4")
    assert done.exit_code == 0, done.output
    for line in (
        "| parameters | 1.000 |",
        "| total | 4.000 |",
        "| all-reduce | 3 | 1.000 |",
        "5 M parameters",
    ):
        assert line in done.output
    monkeypatch.setattr(planning, "compile_in_subprocess", lambda request: Failure(reason="lost"))
    done = run("--config=smoke", "--topology=v5e:2x4")
    assert done.exit_code == 1
    assert "lost" in done.output


def test_operations_of_the_sampler_agree_with_a_count_by_hand(tmp_path):
    """Two branches of guidance for each of two clips, in every step of a call."""
    run = run_from_config(table(tmp_path, model=load_model_config("tiny"), frozen_from="tiny"))
    composer = programs.without_weights(run)
    with compiling_for("tpu"):
        program = programs.sampler_program(run, one_device(), -1)
        counted = count(program.function.trace(*program.inputs))
    unet, shape = composer.networks.unet, composer.shape
    length = composer.networks.text.context_length + 1
    whole, _ = by_hand.unet(unet, 2 * 2, shape.frames, 8, length, 128, composer.networks.stc.out_channels)
    assert counted == pytest.approx(STEPS_PER_CALL * whole, rel=0.03)
    assert program.kinds["latents"].shape == (2, 16, 8, 8, 8)


@pytest.mark.slow
def test_operations_of_a_step_agree_with_a_count_by_hand(tmp_path):
    """At the sizes of the built-in model; what is left is drawing and resizing clips."""
    model = load_model_config("tiny")
    config = table(
        tmp_path, model=model, frozen_from="tiny", stages=[{"name": "all", "steps": 1, "batch_size": 2}]
    )
    run = run_from_config(config)
    composer = programs.without_weights(run)
    with compiling_for("tpu"):  # no Winograd, whose products are fewer
        step = programs.training_program(run, one_device(), 0)
        counted = count(step.function.trace(*step.inputs))
    assert counted == pytest.approx(by_hand.training_step(composer, 2), rel=0.03)
