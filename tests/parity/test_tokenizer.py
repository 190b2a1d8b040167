"""Parity of token ids with OpenCLIP's tokenizer on 500 texts, including markup, mojibake and emoji."""

import random
import unicodedata

import numpy as np
import pytest

from tests.parity import originals
from vcjax.conditions.tokenizer import Tokenizer, byte_pair_tokenizer, read_merges

pytestmark = pytest.mark.parity

COUNT = 500
FRAGMENTS = [
    "a red circle", "Moving LEFT", "don't we'll they've I'm you're he'd it's", "ﬁne “quotes” – and — dashes…",
    "!?!",
    "...", "#hashtag", "@name", "3.14159", "1,000,000", "½ ² ³", "C++", "a/b\\c", "e-mail@example.com",
    "_under_score_",
    "&amp;", "&amp;amp;", "&lt;b&gt;", "&eacute;t&eacute;", "e&#769;", "a&#x308;b", "&#128512;", "&nbsp;",
    "&bogus;",
    "schÃ¶n", "â€œmangledâ€\x9d", "Ã©tÃ©", "\ufffd", "l\u2019amour", "\u0000", "\x1b[31mred\x1b[0m",
    "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "月亮在水面上", "夜の海", "한국어", "русский", "العربية", "עברית", "हिन्दी", "ไทย",
    "Straße", "İstanbul", "ſ", "'ſ", "K", "ǅ", "é", "e\u0301", "Å", "ﷺ", "\u200b", "\u00ad", "\ufeff",
    "\u202e",
    " ", "\t", "\n", "\u3000", "\u00a0", "", "    ",
    "<start_of_text>", "<end_of_text>", "<START_OF_TEXT>", "!<start_of_text>", "<end_of_text><start_of_text>",
    "<|endoftext|>", "</w>", "the</w>", "supercalifragilisticexpialidocious", "zzzzzzzzzzzzzzzzzzzz",
    "'s 't 're", "''''", '"', "(c)", "©", "™", "§", "𝒜𝓁𝓅𝒽𝒶", "𐍈", "a\u0300\u0301\u0302", "٣٤٥", "Ⅷ", "①",
]  # fmt: skip


def assigned_characters(rng, count):
    """Return random assigned Unicode characters; libraries may differ on those of newer versions."""
    found = []
    while len(found) < count:
        character = chr(rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x10000, 0x1FFFF)]))
        if unicodedata.category(character) != "Cn":
            found.append(character)
    return found


def texts():
    """Return the fragments, and distinct random mixtures with and without spaces, some too long."""
    rng = random.Random(0)
    found = dict.fromkeys(FRAGMENTS)
    while len(found) < COUNT:
        count = rng.choice([2, 3, 5, 8, 13, 60])
        pieces = rng.choices(FRAGMENTS, k=count)
        if rng.random() < 0.3:
            pieces += assigned_characters(rng, 5)
        rng.shuffle(pieces)
        found[rng.choice(["", " ", "  "]).join(pieces)] = None
    return list(found)


def test_ids_equal_open_clips(shared, tmp_path):
    vocabulary = shared / "weights" / "bpe_simple_vocab_16e6.txt.gz"
    original = originals.load(originals.OPEN_CLIP, "tokenizer").SimpleTokenizer(str(vocabulary))
    (tmp_path / "tokenizer.json").write_text(byte_pair_tokenizer(read_merges(vocabulary)), "utf-8")
    ours = Tokenizer(tmp_path / "tokenizer.json", length=77, vocabulary=49_408)

    samples = texts()
    assert len(samples) == COUNT
    expected = original(samples).numpy()
    assert (expected[:, -1] == 49407).sum() > 50  # many texts are truncated
    different = [
        text for text, ids in zip(samples, expected, strict=True) if not np.array_equal(ours(text), ids)
    ]
    assert different == []
