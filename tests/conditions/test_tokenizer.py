import pytest

from vcjax.conditions.tokenizer import Tokenizer, byte_letters, byte_pair_tokenizer, clean, merges_of
from vcjax.errors import BadInput

WORDS = ["star", "tar", "red", "moving", "a", "art"]


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text(byte_pair_tokenizer(merges_of(WORDS)))
    return Tokenizer(tmp_path / "tokenizer.json", length=8)


def test_every_word_of_a_small_vocabulary_is_one_token(tokenizer):
    for word in WORDS:
        ids = tokenizer(word)
        assert (ids != 0).sum() == 3, word  # start, the word, end
    assert len({int(tokenizer(word)[1]) for word in WORDS}) == len(WORDS)


def test_ids_are_clips_bytes_then_bytes_at_the_end_of_a_word_then_merges(tokenizer):
    letters = byte_letters()
    assert len(set(letters)) == 256
    assert letters[0] == "!"
    start, *_, end = [i for i in tokenizer("!").tolist() if i] or [0]
    merges = len(merges_of(WORDS))
    assert (start, end) == (512 + merges, 513 + merges)
    assert tokenizer("!")[1] == 256  # the first byte, at the end of a word


def test_a_long_text_ends_with_end_and_a_short_one_with_zeros(tokenizer):
    assert len(tokenizer("red " * 20)) == 8
    assert tokenizer("red " * 20)[-1] == tokenizer("")[1]
    assert tokenizer("red")[3:].tolist() == [0] * 5


def test_text_is_repaired_unescaped_folded_and_lowered():
    assert clean("  A&amp;amp;B\n\t RED  ") == "a&b red"
    assert clean("schÃ¶n") == "schön"


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"tokenizer.json is missing"):
        Tokenizer(tmp_path / "tokenizer.json", length=8)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match=r"tokenizer.json is not a tokenizer file"):
        Tokenizer(tmp_path / "tokenizer.json", length=8)
