"""Writing: files appear complete and together, or not at all, and what was there before stays until then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vcjax.errors import BadInput
from vcjax.files import check_target, copy_file, locked, replacing, replacing_all


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_error_of_reading_another_file_is_not_one_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "a" / "new.txt"):
        Path("/elsewhere/of/another").read_bytes()
    assert list((tmp_path / "a").iterdir()) == []


def test_a_write_that_was_cut_short_has_a_reason(tmp_path):
    error = OSError("262144 requested and 0 written")  # what numpy.save raises on a full disk
    with pytest.raises(BadInput, match="the disk may be full"), replacing(tmp_path / "a.npy"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append("sync") or sync(descriptor))
    monkeypatch.setattr(Path, "replace", lambda *paths: order.append("replace") or replace(*paths))
    with replacing(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("new")
    assert order == ["sync", "replace", "sync"]  # the second is the folder's


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_files_of_a_folder_are_replaced_together_or_not_at_all(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "other.txt").write_text("kept")

    def write():
        with replacing_all(tmp_path) as staging:
            (staging / "a.txt").write_text("new")
            raise error

    with pytest.raises(error):
        write()
    assert content(tmp_path) == {"a.txt": "old", "other.txt": "kept"}
    with replacing_all(tmp_path) as staging:
        (staging / "a.txt").write_text("new")
        (staging / "b.txt").write_text("new")
    assert content(tmp_path) == {"a.txt": "new", "b.txt": "new", "other.txt": "kept"}


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path):
    with pytest.raises(BadInput, match=r"new/a\.txt: what it is"), replacing_all(tmp_path / "new") as staging:
        raise BadInput(f"{staging / 'a.txt'}: what it is")
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_makes_others_valid_moves_last(tmp_path, monkeypatch):
    moved, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda *paths: moved.append(paths[1].name) or replace(*paths))
    with replacing_all(tmp_path, last="a.json") as staging:
        for name in ("a.json", "b.txt", "c.txt"):
            (staging / name).write_text("new")
    assert moved[-1] == "a.json"
    assert len(moved) == 3


def test_a_source_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"source\.txt cannot be read"):
        copy_file(tmp_path / "source.txt", tmp_path / "target.txt")
    (tmp_path / "source.txt").write_text("text")
    copy_file(tmp_path / "source.txt", tmp_path / "target.txt")
    assert (tmp_path / "target.txt").read_text() == "text"


def test_a_folder_is_held_by_one_process(tmp_path):
    program = """
import sys
from pathlib import Path
from vcjax.files import locked
with locked(Path(sys.argv[1]), "run"):
    print("held")
"""

    def other():
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
        )

    with locked(tmp_path, "run"):
        assert "is in use by another run" in other().stderr
        assert list(tmp_path.iterdir()) == []
    assert other().stdout == "held\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/".join("a" * 1500), "folders do not exist"),
        ("/".join("a" * 2500), "too long"),
        ("x" * 300, "name too long"),
    ],
)
def test_a_path_that_cannot_be_made_is_refused_before_the_work(tmp_path, name, message):
    with pytest.raises(BadInput, match=f"(?i){message}"):
        check_target(tmp_path / name / "out.mp4")


def test_an_error_of_reading_a_file_beside_it_is_not_one_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "new.txt"):
        (tmp_path / "beside.txt").read_bytes()
