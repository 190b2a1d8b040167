"""`vcjax extract` writes all of its files or none, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.calls import refused

ROOT = Path(__file__).resolve().parents[2]
ONLY = ["--only", "motion,image", "--frames", "3"]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.mark.parametrize("exists", [False, True])
def test_a_disk_that_fills_between_two_files_leaves_the_folder_as_it_was(
    vc, video, tmp_path, monkeypatch, exists
):
    out = tmp_path / "out"
    if exists:
        assert vc("extract", video, "--out", out, *ONLY)[0] == 0
    before, save, saved = content(out), np.save, []

    def failing(file, array):
        if saved:
            raise OSError("262144 requested and 0 written")
        saved.append(file)
        save(file, array)

    monkeypatch.setattr(np, "save", failing)
    refused(vc("extract", video, "--out", out, *ONLY, "--overwrite"), f"{out}/image.npy cannot be written")
    assert len(saved) == 1
    assert content(out) == before
    assert out.exists() == exists


PROGRAM = """
import sys, time
from pathlib import Path
import vcjax.cli.terminal as terminal
from vcjax.files import replacing_all
terminal.end_on_sigterm()
with replacing_all(Path(sys.argv[1])) as staging:
    (staging / "a.npy").write_text("unfinished")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_sigterm_deletes_unfinished_files(tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        assert len(list(out.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
    assert not out.exists()


def test_the_command_line_ends_on_sigterm(vc):
    before = signal.getsignal(signal.SIGTERM)
    try:
        vc("--version")
        assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
