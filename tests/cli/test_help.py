"""Help, progress and `vcjax info`: what the command line prints."""

from importlib import resources
from pathlib import Path

import pytest

from tests.cli.calls import FAST, refused
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.weights.folder import read_config

COMMANDS = (
    "generate", "extract", "app", "info", "doctor", "prepare", "inspect", "train", "evaluate", "export", "extend", "convert", "pull", "plan",
)  # fmt: skip


def test_a_pipe_gets_a_line_for_each_phase(vc, tmp_path):
    _, _, err = vc("generate", "--text", "a red circle", *FAST, "--out", tmp_path / "one.gif")
    lines = [line for line in err.splitlines() if line.startswith("[")]
    phases = [line.partition("] ")[2] for line in lines]
    assert len(phases) == len(set(phases)) >= 3
    for phase in ("compiling", "sampling", "decoding"):
        assert any(line.startswith(phase) for line in phases), phase


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(vc, command, option):
    code, out, _ = vc(*command, option)
    assert code == 0
    assert "usage" in out.lower()


def test_help_shows_defaults_with_their_numbers(vc):
    _, out, _ = vc("generate", "--help")
    defaults = read_config(resources.files("vcjax") / "builtin" / "tiny")["defaults"]
    for value in (*defaults.values(), "64x64", "16"):
        shown = f"{value:g}" if isinstance(value, float) else value
        assert f"tiny: {shown})" in " ".join(out.replace("│", " ").split())


def test_info_prints_conditions_networks_sizes_and_defaults(vc, tmp_path, no_extraction_model):
    code, out, _ = vc("info", "tiny")
    assert code == 0
    config = read_config(resources.files("vcjax") / "builtin" / "tiny")
    text = " ".join(out.split())
    for name in config["networks"]:
        assert name in text
    for name in CATALOGUE:
        assert name in text
    for value in (config["clip"]["frames"], config["defaults"]["steps"], config["defaults"]["guidance"]):
        assert f"{value:g}" in text
    code, out, _ = vc("info", no_extraction_model)
    assert code == 0
    assert "depth network" in " ".join(out.split())
    refused(vc("info", "huge"), "no model 'huge'")


def test_lists_are_given_by_comma_repeated_or_both(vc, video, tmp_path):
    for i, names in enumerate((["image,motion,mask"], ["image", "motion", "mask"], ["image,motion", "mask"])):
        only = [word for name in names for word in ("--only", name)]
        code, out, _ = vc("extract", video, *only, "--frames", 3, "--out", tmp_path / str(i))
        assert code == 0
        assert [Path(line).stem for line in out.split()] == ["image", "motion", "mask", "preview"]


def test_help_offers_every_condition_and_nothing_that_is_not_built(vc):
    code, out, _ = vc("generate", "--help")
    assert code == 0
    for flag in (
        "--text",
        "--style",
        "--image-from",
        "--single-sketch",
        "--motion-from",
        "--mask-hide",
        "--depth",
        "--depth-from",
        "--sketch-from",
        "--style-from",
    ):
        assert flag in out
    assert "--text-from" not in out
