import html
import json
import sys

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcjax.conditions.tokenizer import (
    Tokenizer,
    byte_characters,
    byte_pair_tokenizer,
    clean,
    read_merges,
    word_merges,
)
from vcjax.errors import BadInput

WORDS = ["star", "tar", "red", "moving", "a", "art"]


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text(byte_pair_tokenizer(word_merges(WORDS)))
    return Tokenizer(tmp_path / "tokenizer.json", length=8, vocabulary=1000)


def test_every_word_of_a_small_vocabulary_is_one_token(tokenizer):
    for word in WORDS:
        ids = tokenizer(word)
        assert (ids != 0).sum() == 3, word  # start, the word, end
    assert len({int(tokenizer(word)[1]) for word in WORDS}) == len(WORDS)


def test_ids_are_bytes_then_bytes_at_the_end_of_a_word_then_merges_as_in_clip(tokenizer):
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert characters[0] == "!"
    start, *_, end = [i for i in tokenizer("!").tolist() if i] or [0]
    merges = len(word_merges(WORDS))
    assert (start, end) == (512 + merges, 513 + merges)
    assert tokenizer("!")[1] == 256  # the first byte, at the end of a word


def test_a_long_text_ends_with_end_and_a_short_one_with_zeros(tokenizer):
    assert len(tokenizer("red " * 20)) == 8
    assert tokenizer("red " * 20)[-1] == tokenizer("")[1]
    assert tokenizer("red")[3:].tolist() == [0] * 5


def test_text_is_repaired_unescaped_collapsed_and_lower_cased():
    assert clean("  A&amp;amp;B\n\t RED  ") == "a&b red"
    assert clean("schÃ¶n") == "schön"


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"tokenizer.json is missing"):
        Tokenizer(tmp_path / "tokenizer.json", length=8, vocabulary=1000)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match=r"tokenizer.json is not a tokenizer file"):
        Tokenizer(tmp_path / "tokenizer.json", length=8, vocabulary=1000)


def test_a_special_token_in_a_text_is_recognised_only_as_a_separate_piece(tokenizer):
    """As in the original, whose pattern matches runs of punctuation."""
    start, end = tokenizer("")[:2]
    assert tokenizer("<end_of_text>").tolist() == [start, end, end, 0, 0, 0, 0, 0]
    assert tokenizer("red<END_OF_TEXT>")[2] == end
    assert end not in tokenizer("!<end_of_text> red")[:7]


def test_a_vocabulary_that_is_not_clips_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "words.txt.gz").write_bytes(b"not gzip")
    for name, match in (
        ("words.txt", "is not CLIP's"),
        ("words.txt.gz", "cannot be read"),
        ("no", "No such"),
    ):
        with pytest.raises(BadInput, match=match):
            read_merges(tmp_path / name)


def test_a_tokenizer_of_another_kind_or_size_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    content = json.loads(byte_pair_tokenizer(word_merges(WORDS)))
    path.write_text(json.dumps(content | {"pre_tokenizer": None}))
    with pytest.raises(BadInput, match="not a tokenizer of CLIP's kind"):
        Tokenizer(path, length=8, vocabulary=1000)
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="but the text tower has 100"):
        Tokenizer(path, length=8, vocabulary=100)


@given(st.text(alphabet=[chr(code) for code in range(32, 127) if chr(code) != "&"], max_size=40))
def test_plain_text_is_unchanged_by_repair(text):
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    assert clean(text) == " ".join(repaired.split()).lower()


def test_captions_need_no_ftfy(tokenizer, monkeypatch):
    """Training on the sprite world works without ftfy."""
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert (tokenizer("a red star") != 0).sum() == 5
    with pytest.raises(ImportError):
        tokenizer("sch\u00f6n")
