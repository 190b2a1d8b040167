"""Lists of folders, manifests and tar files: every file once, in order, with its caption or a reason."""

import csv
import io
import json
import os
import tarfile

import pytest

from vcjax.data.manifest import Item, SkippedFile, assign_split, list_videos, open_item
from vcjax.data.scenes import find_scenes
from vcjax.errors import BadInput


def listed(source, validation=0.0):
    found = list_videos(source, validation)
    items = {each.name: each for each in found if isinstance(each, Item)}
    return items, {each.name: each.reason for each in found if isinstance(each, SkippedFile)}


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


def test_a_folder_lists_each_file_with_its_caption(tmp_path):
    touch(tmp_path / "b.mp4")
    touch(tmp_path / "sub folder" / "走路 1.mp4")
    touch(tmp_path / "sub folder" / "走路 1.txt", b" ein Mann geht\n")
    touch(tmp_path / "a.png")
    touch(tmp_path / ".hidden.mp4")
    items, skipped = listed(tmp_path)
    assert list(items) == ["a.png", "b.mp4", "sub folder/走路 1.mp4"]
    assert items["sub folder/走路 1.mp4"].caption == "ein Mann geht"
    assert items["b.mp4"].caption == ""
    assert skipped == {}


def test_unusable_files_of_a_folder_are_skipped_with_a_reason(tmp_path):
    touch(tmp_path / "b.mp4")
    touch(tmp_path / "b.txt", b"\xff\xfe\xfa")
    touch(tmp_path / "alone.txt", b"of nothing")
    (tmp_path / "again").symlink_to(tmp_path)
    items, skipped = listed(tmp_path)
    assert not items
    assert "not text in UTF-8" in skipped["b.mp4"]
    assert "caption without a video" in skipped["alone.txt"]
    assert "already listed" in skipped["again"]


def test_a_link_that_leads_to_itself_is_listed_and_cannot_be_opened(tmp_path):
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    items, _ = listed(tmp_path)
    with open_item(items["loop.mp4"]) as path, pytest.raises(BadInput, match=r"loop\.mp4 cannot be read"):
        find_scenes(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_manifest_lists_its_rows(tmp_path, kind):
    rows = [
        {"file": "videos/走路 1.mp4", "caption": 'a "man", walking', "split": "test"},
        {"file": "b.mp4", "caption": "", "split": ""},
        {"file": "", "caption": "no file", "split": ""},
        {"file": "b.mp4", "caption": "again", "split": ""},
        {"file": "c.mp4", "caption": "", "split": "No good"},
        {"file": "nul\0.mp4", "caption": "", "split": ""},
    ]
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["file", "caption", "split"])
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "jsonl":
        path.write_text("\n".join([*map(json.dumps, rows), "not json"]), "utf-8")
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    items, skipped = listed(path)
    assert list(items) == ["videos/走路 1.mp4", "b.mp4"]
    first = items["videos/走路 1.mp4"]
    assert (first.caption, first.split) == ('a "man", walking', "test")
    assert first.path == str(tmp_path / "videos/走路 1.mp4")
    assert items["b.mp4"].split == "train"
    assert "listed twice" in skipped["b.mp4"]
    assert "must have text for file" in skipped[f"list.{kind}, row 3"]
    assert "must have text for file" in skipped[f"list.{kind}, row 6"]
    assert "lower-case letters" in skipped[f"list.{kind}, row 5"]
    if kind == "jsonl":
        assert "JSON object" in skipped["list.jsonl, row 7"]


def test_captions_of_a_manifest_are_optional(tmp_path):
    assert listed(touch(tmp_path / "a.csv", b"file\nx.mp4\n"))[0]["x.mp4"].caption == ""
    with pytest.raises(BadInput, match="must have a column 'file'"):
        listed(touch(tmp_path / "b.csv", b"video,caption\nx.mp4,x\n"))


def test_a_tar_lists_samples_with_their_captions(tmp_path):
    members = {
        "000.mp4": b"first",
        "000.txt": b"one",
        "d/001.json": json.dumps({"caption": "two"}).encode(),
        "d/001.seg.mp4": b"second",
        "002.mp4": b"third",
    }
    (tmp_path / "set").mkdir()
    tar_of(tmp_path / "set" / "shard.tar", members)
    items, skipped = listed(tmp_path / "set")
    assert {name: item.caption for name, item in items.items()} == {
        "shard.tar/000.mp4": "one",
        "shard.tar/d/001.seg.mp4": "two",
        "shard.tar/002.mp4": "",
    }
    with open_item(items["shard.tar/d/001.seg.mp4"]) as path:
        assert path.read_bytes() == b"second"
        assert path.suffix == ".mp4"
    assert skipped == {}
    assert list(listed(tmp_path / "set" / "shard.tar")[0]) == list(items)


@pytest.mark.parametrize("size", [3000, 3500])  # in the second header, in the second file
def test_a_truncated_tar_lists_its_complete_members(tmp_path, size):
    content = tar_of(tmp_path / "whole.tar", {"0.mp4": b"a" * 2000, "1.mp4": b"b" * 2000}).read_bytes()
    items, skipped = listed(touch(tmp_path / "cut.tar", content[:size]))
    assert "unexpected end of data" in skipped["cut.tar"]
    with open_item(items["cut.tar/0.mp4"]) as path:
        assert path.read_bytes() == b"a" * 2000
    if "cut.tar/1.mp4" in items:
        with pytest.raises(BadInput, match="truncated"), open_item(items["cut.tar/1.mp4"]):
            pass


def test_errors_name_the_member_of_a_tar(tmp_path):
    items, _ = listed(tar_of(tmp_path / "set.tar", {"0.mp4": b"no video"}))
    with (
        pytest.raises(BadInput, match=r"^set\.tar/0\.mp4 is neither"),
        open_item(items["set.tar/0.mp4"]) as path,
    ):
        find_scenes(path)


def test_splits_depend_on_the_name_alone():
    names = [f"{n}.mp4" for n in range(2000)]
    chosen = [name for name in names if assign_split(name, 0.1) == "validation"]
    assert 150 < len(chosen) < 250  # 200 expected, standard deviation 13
    assert set(chosen) <= {name for name in names if assign_split(name, 0.2) == "validation"}
    assert {assign_split(name, 0.0) for name in names} == {"train"}


def test_other_sources_are_errors(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        list_videos(tmp_path / "nothing", 0.0)
    with pytest.raises(BadInput, match="neither a folder"):
        list_videos(touch(tmp_path / "a.mp4"), 0.0)


def test_names_and_captions_that_are_not_unicode_are_escaped(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "wb") as file:
        file.write(b"x")
    items, _ = listed(tmp_path)
    assert list(items) == ["\\udcff.mp4"]
    with open_item(items["\\udcff.mp4"]) as path:
        assert path.read_bytes() == b"x"
    rows = touch(tmp_path / "list.jsonl", b'{"file": "a.mp4", "caption": "half of \\ud83d"}')
    assert listed(rows)[0]["a.mp4"].caption == "half of \\ud83d"
