"""`vcjax app` before it serves: what is wrong with its options."""

import socket

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
