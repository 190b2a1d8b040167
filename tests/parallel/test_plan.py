"""Planning: what a step costs is measured on a program compiled elsewhere, and what cannot be compiled is told."""

import importlib.util
import stat

import pytest
from typer.testing import CliRunner

from tests.parallel import by_hand
from tests.training.runs import table
from vcjax import planning
from vcjax.cli import app
from vcjax.cli import plan as cli_plan
from vcjax.errors import BadInput
from vcjax.loading import model_table
from vcjax.parallel.cost import Cost, Traffic
from vcjax.parallel.flops import count
from vcjax.parallel.mesh import one_device
from vcjax.platforms import compiling_for
from vcjax.programs import STEPS_A_CALL
from vcjax.training.config import run_from

GIB = 2**30


def request(tmp_path, topology, **changes):
    """A small autoencoder's step: the quickest to compile of all tasks."""
    configuration = table(
        tmp_path, task="autoencoder", stages=[{"name": "only", "steps": 4, "batch": 8}], **changes
    )
    return planning.Request(table=configuration, topology=topology)


@pytest.mark.slow
def test_a_step_on_simulated_devices(tmp_path):
    """Parameters whole on each of four devices, which sum their gradients."""
    report = planning.compiled_elsewhere(request(tmp_path, "cpu:4"))
    assert isinstance(report, planning.Report)
    assert report.parameters > 1000
    assert report.held["parameters"] == report.held["average"] == 4 * report.parameters
    assert report.held["optimiser"] == pytest.approx(
        2 * report.held["parameters"], rel=0.01
    )  # and two counts
    assert report.cost.arguments == pytest.approx(sum(report.held.values()), rel=0.01)
    assert report.cost.traffic["all-reduce"].bytes >= 4 * report.parameters
    assert report.operations > 1e6
    assert report.memory > 1e8


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu, of the extra tpu")
def test_a_step_on_a_slice_that_is_not_here(tmp_path):
    report = planning.compiled_elsewhere(request(tmp_path, "v5e:2x4", dtype="bfloat16"))
    assert isinstance(report, planning.Report)
    assert report.cost.traffic["all-reduce"].bytes >= 2 * report.parameters  # gradients, summed in bfloat16
    assert report.cost.temporaries > 0
    with pytest.raises(BadInput, match="topology v5e:3x5 cannot be compiled for"):
        planning.compiled_elsewhere(request(tmp_path, "v5e:3x5"))


def stub(tmp_path, monkeypatch, script):
    """What stands in for the interpreter that compiles."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(planning.sys, "executable", str(path))


def test_a_compiler_that_is_ended_is_told_and_ends_nothing_else(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, "kill -9 $$")
    made = planning.compiled_elsewhere(planning.Request(table={}, topology="cpu:1"))
    assert isinstance(made, planning.Failure)
    assert "ended by signal 9" in made.reason
    assert "memory" in made.reason


def test_a_compiler_that_fails_is_told(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, "echo nonsense; echo of no use >&2; exit 1")
    made = planning.compiled_elsewhere(planning.Request(table={}, topology="cpu:1"))
    assert made == planning.Failure(reason="the compiler failed: of no use")


def test_what_does_not_fit_says_how_much_it_would_need():
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 21.50G of 15.75G hbm. Exceeded hbm"
    )
    assert planning.failure_of(message) == planning.Failure(reason="no", needed=int(21.5 * GIB))
    assert planning.failure_of("INTERNAL: something") == planning.Failure(reason="INTERNAL: something")


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--topology", "v5p", "--config=configs/smoke.py"],
            "topology must be a chip and its grid, such as v5e:16x16",
        ),
        (["--topology", "v5p:4x4", "--config=configs/smoke.py"], "has 2 sides, but a slice of v5p has 3"),
        (["--topology", "cpu:2", "--config=configs/nothing.py"], "configuration: "),
        (["--topology", "cpu:2", "--config=configs/smoke.py", "--stage=2"], "--stage must be from 0 to 1"),
        (["--topology", "cpu:2", "--config=configs/smoke.py", "--clips=1,2"], "by comma are for --search"),
        (
            ["--topology", "cpu:2", "--config=configs/smoke.py", "--clips=many"],
            "--clips must be numbers above 0",
        ),
        (
            ["--topology", "cpu:2", "--config=configs/smoke.py", "--rematerialised=x"],
            "none, or some of residual",
        ),
        (["--topology", "cpu:2", "--config=configs/smoke.py", "--fsdp=3"], "mesh of data = -1, fsdp = 3"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_sentence(arguments, message):
    done = run(*arguments)
    assert isinstance(done.exception, BadInput)  # which the command line tells, with code 2
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def report(needed, **changes):
    cost = Cost(
        arguments=needed, outputs=0, aliased=0, temporaries=0, code=0, operations=None, seconds=None,
        traffic={"all-reduce": Traffic(count=3, bytes=GIB)},
    )  # fmt: skip
    values = {"parameters": 5_000_000, "held": {"parameters": GIB}, "operations": 8 * 197e9, "seconds": 3.0}
    return planning.Report(cost=cost, memory=2 * GIB, **{**values, **changes})


def test_a_search_stops_where_more_clips_do_not_fit(monkeypatch):
    asked = []

    def compiled(request):
        stage = request.table["stages"][-1]
        asked.append((request.table["mesh"]["fsdp"], tuple(request.table["rematerialised"]), stage["batch"]))
        if request.table["mesh"]["fsdp"] == 2:
            raise BadInput("a mesh that cannot be")
        kept = 10 if request.table["rematerialised"] else 20
        return report(int(stage["batch"] / 8 * kept * GIB))

    monkeypatch.setattr(planning, "compiled_elsewhere", compiled)
    done = run(
        "--config=configs/smoke.py", "--topology=v5e:2x4", "--search", "--clips=8,16,32", "--fsdp=1,2",
        "--rematerialised=none,spatial+temporal",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert asked == [
        (1, (), 8),
        (1, ("spatial", "temporal"), 8),
        (1, ("spatial", "temporal"), 16),
        (2, (), 8),
        (2, ("spatial", "temporal"), 8),
    ]
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in done.output.splitlines()]
    assert rows[0] == list(cli_plan.COLUMNS)
    fits = cli_plan.COLUMNS.index("fits")
    assert [row[fits] for row in rows[2:]] == ["no", "yes", "no", *["a mesh that cannot be"] * 2]
    at_best = cli_plan.COLUMNS.index("ms at best")
    assert rows[2][at_best] == "1.0"  # 8 chips of 197 TFLOP/s


def test_one_plan_tells_bytes_by_kind(monkeypatch):
    monkeypatch.setattr(planning, "compiled_elsewhere", lambda request: report(4 * GIB))
    done = run("--config=configs/smoke.py", "--topology=v5e:2x4")
    assert done.exit_code == 0, done.output
    for line in (
        "| parameters | 1.000 |",
        "| together | 4.000 |",
        "| all-reduce | 3 | 1.000 |",
        "5 M parameters",
    ):
        assert line in done.output
    monkeypatch.setattr(planning, "compiled_elsewhere", lambda request: planning.Failure(reason="lost"))
    done = run("--config=configs/smoke.py", "--topology=v5e:2x4")
    assert done.exit_code == 1
    assert "lost" in done.output


def test_operations_of_the_sampler_agree_with_a_count_by_hand(tmp_path):
    """Two branches of guidance for each of two clips, in every step of a call."""
    run = run_from(table(tmp_path, model=model_table("tiny"), parts="tiny"))
    parts = planning.without_weights(run)
    with compiling_for("tpu"):
        program, inputs, kinds = planning.sampler(run, one_device(), -1)
        counted = count(program.trace(*inputs))
    unet, shape = parts.networks.unet, parts.shape
    length = parts.networks.text.length + 1
    whole, _ = by_hand.unet(unet, 2 * 2, shape.frames, 8, length, 128, parts.networks.stc.features)
    assert counted == pytest.approx(STEPS_A_CALL * whole, rel=0.03)
    assert kinds["latents"].shape == (2, 16, 8, 8, 8)


@pytest.mark.slow
def test_operations_of_a_step_agree_with_a_count_by_hand(tmp_path):
    """At the sizes of the built-in model; what is left is drawing and resizing clips."""
    model = model_table("tiny")
    configuration = table(
        tmp_path, model=model, parts="tiny", stages=[{"name": "all", "steps": 1, "batch": 2}]
    )
    run = run_from(configuration)
    parts = planning.without_weights(run)
    with compiling_for("tpu"):  # no Winograd, whose products are fewer
        step, inputs, _ = planning.training_step(run, one_device(), 0)
        counted = count(step.trace(*inputs))
    assert counted == pytest.approx(by_hand.training_step(parts, 2), rel=0.03)
