"""Pipelines of Beam: what is wrong with the input of a worker is one sentence, and anything else is raised as it is."""

import pytest

from vcjax.data import prepare as preparation
from vcjax.data.beam import _raising_failures, _Reporting, pipeline_options, run
from vcjax.data.prepare import Job, prepare
from vcjax.data.sprite_clips import SpriteClips
from vcjax.errors import BadInput


def fail(item):
    raise BadInput(f"{item} cannot be written; make space")


def test_the_sentence_of_a_worker_is_all_that_is_printed(capfd):
    with pytest.raises(BadInput, match=r"^b cannot be written; make space$"):
        run(fail, ["b", "b", "b"], pipeline_options(workers=2), lambda: None)
    assert capfd.readouterr() == ("", "")


def test_the_sentence_of_another_process_is_found_in_its_traceback():
    elsewhere = _Reporting(fail)  # of a run that this process does not know
    with pytest.raises(BadInput):
        elsewhere("b")
    text = (
        "Traceback ...\nvcjax.errors.BadInput: b cannot be written; make space [while running 'Map(...)']\n"
    )
    with pytest.raises(BadInput, match=r"^b cannot be written; make space$"), _raising_failures("run"):
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match="another"), _raising_failures("run"):
        raise RuntimeError("another error")


def test_a_preparation_that_fails_leaves_no_unfinished_file(tmp_path, monkeypatch):
    def failing(*_):
        (tmp_path / ".0.part").write_text("unfinished")
        raise BadInput("the disk is full")

    monkeypatch.setattr(preparation, "run", failing)
    with pytest.raises(BadInput, match="the disk is full"):
        prepare(Job(source=SpriteClips(train=1)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".work"]
