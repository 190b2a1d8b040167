"""Warnings on standard error."""

from vcjax.cli import terminal
from vcjax.errors import VcjaxWarning


def test_a_damaged_compilation_cache_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "_shown", set())
    for name in ("a", "b", "c"):
        message = (
            f"Error reading persistent compilation cache entry for 'jit_{name}': JaxRuntimeError: damaged"
        )
        terminal.show_warning(message, UserWarning, "compiler.py", 1)
    terminal.show_warning("its last frame is repeated", VcjaxWarning, "a.py", 1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "the compilation cache is damaged" in lines[0]
    assert lines[1] == "warning: its last frame is repeated"
