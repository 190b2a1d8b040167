"""`vcjax app` before it serves, what is wrong with its options; and `vcjax doctor`."""

import socket
from importlib import metadata

import pytest

from tests.cli.calls import refused


def test_bad_options_are_one_sentence_and_nothing_is_started(vc, tmp_path):
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(
            vc("app", "--port", port, "--folder", tmp_path / "new"), f"127.0.0.1 port {port} cannot be used"
        )
    refused(vc("app", "--port", 99999, "--folder", tmp_path / "new"), "99999")
    refused(vc("app", "--host", "256.1.1.1", "--token", "x", "--folder", tmp_path / "new"), "256.1.1.1")
    refused(vc("app", "--folder", tmp_path / "file"), "--folder", "cannot be used")
    refused(vc("app", "--model", "nothing"), "nothing")
    refused(vc("app", "--keep-days", 0), "--keep-days")
    refused(vc("app", "--host", "0.0.0.0", "--token", ""), "--token must not be empty")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(vc, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    refused(vc("app"), package, "pip install 'vcjax[app]'")


def test_the_doctor_says_what_is_installed_and_what_is_not(vc, monkeypatch):
    code, out, _ = vc("doctor")
    assert code == 0
    found = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert found["jax"] == metadata.version("jax")
    assert "extra app         installed" in out
    there = metadata.version

    def without_starlette(name):
        if name == "starlette":
            raise metadata.PackageNotFoundError
        return there(name)

    monkeypatch.setattr(metadata, "version", without_starlette)
    _, out, _ = vc("doctor")
    assert "lacks starlette: pip install 'vcjax[app]'" in out
