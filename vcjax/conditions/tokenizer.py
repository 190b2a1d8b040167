"""CLIP's byte-pair tokenizer with OpenCLIP's text cleaning and padding, from a local `tokenizer.json`."""

import gzip
import html
import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from vcjax.errors import BadInput
from vcjax.input_files import MEGABYTE, read_bytes

START, END = "<start_of_text>", "<end_of_text>"
PADDING = 0
END_OF_WORD = "</w>"
MAX_VOCABULARY = 16 * MEGABYTE  # of CLIP's vocabulary file, which has 3, compressed or not
NUM_MERGES = 49_408 - 2 * 256 - 2  # of CLIP's vocabulary
# Contractions, words, single digits, and runs of other characters except whitespace. The pattern ignores
# case, as the original does; this matters only for letters such as the long s, which lower-casing leaves
# unchanged.
PATTERN = rf"(?i){START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"


class Tokenizer:
    """Map text to token ids: start, tokens, end, padded with zeros; long texts are cut before the end token.

    ```python
    ids = Tokenizer(folder / "tokenizer.json", length=77, vocabulary=49_408)("a red circle")      # int32 [77]
    ```

    Args:
        path: path of `tokenizer.json`.
        length: number of ids, padding included.
        vocabulary: size of the text tower's vocabulary.

    Raises:
        BadInput: the file is missing, is not a CLIP tokenizer, or has more tokens than `vocabulary`.
    """

    def __init__(self, path: Path, length: int, vocabulary: int):
        from tokenizers import Tokenizer as FastTokenizer

        if not path.is_file():
            raise BadInput(f"{path} is missing: a model folder needs its tokenizer")
        try:
            self._pieces = FastTokenizer.from_file(str(path))
        except Exception as error:
            if type(error) is not Exception:  # the library raises exactly this type for a damaged file
                raise
            raise BadInput(f"{path} is not a tokenizer file: {error}") from error
        self._special: dict[str, Any] = {token: self._pieces.token_to_id(token) for token in (START, END)}
        if self._pieces.pre_tokenizer is None or None in self._special.values():
            raise BadInput(f"{path} is not a tokenizer of CLIP's kind: it lacks pieces, {START} or {END}")
        if self._pieces.get_vocab_size() > vocabulary:
            raise BadInput(
                f"{path} has {self._pieces.get_vocab_size()} tokens, but the text tower has {vocabulary}"
            )
        self._length = length
        self._start, self._end = self._special.values()

    def __call__(self, text: str) -> Int32[np.ndarray, "T"]:
        """Tokenize one text."""
        ids = [self._start, *self._ids(clean(text)), self._end]
        if len(ids) > self._length:
            ids = [*ids[: self._length - 1], self._end]
        return np.asarray(ids + [PADDING] * (self._length - len(ids)), np.int32)

    def _ids(self, text: str) -> Iterator[int]:
        """Yield the ids of a cleaned text; special tokens are recognised only as separate pieces."""
        for piece, _ in self._pieces.pre_tokenizer.pre_tokenize_str(text):
            if piece in self._special:
                yield self._special[piece]
            else:
                yield from (token.id for token in self._pieces.model.tokenize(piece))


def clean(text: str) -> str:
    """Clean text as OpenCLIP does: repair Unicode, unescape HTML twice, collapse whitespace, lower-case.

    Printable ASCII without an ampersand needs no repair, so captions of the sprite world do not need ftfy.
    """
    if not (text.isascii() and text.isprintable() and "&" not in text):
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def byte_pair_tokenizer(merges: Iterable[tuple[str, str]]) -> str:
    """Return the content of `tokenizer.json` for a list of merges, with CLIP's order of ids.

    The ids are the 256 bytes, the 256 bytes at the end of a word, one token per merge, start and end: 49,408
    in total with CLIP's own merges.
    """
    from tokenizers import AddedToken, Regex
    from tokenizers import Tokenizer as FastTokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    merges = list(merges)
    characters = byte_characters()
    pieces = [
        *characters,
        *(character + END_OF_WORD for character in characters),
        *(a + b for a, b in merges),
        START,
        END,
    ]
    tokenizer = FastTokenizer(
        BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=END_OF_WORD,
            fuse_unk=False,
        )
    )
    split = Split(Regex(PATTERN), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (START, END)]
    )
    return tokenizer.to_str(pretty=False)


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Read CLIP's merges from its vocabulary file, `bpe_simple_vocab_16e6.txt.gz` or its uncompressed form.

    The first line is a heading. Of the others the first `NUM_MERGES` are used: with the bytes and the two
    special tokens they make up the 49,408 ids.

    Raises:
        BadInput: the file is missing, damaged or another one.
    """
    data = read_bytes(path, MAX_VOCABULARY)
    try:
        if path.suffix == ".gz":  # of which no more than the limit is decompressed
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_VOCABULARY)
        lines = data.decode("utf-8").split("\n")[1 : NUM_MERGES + 1]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as CLIP's vocabulary: {error}") from error
    merges = [
        (first, second) for first, separator, second in (line.partition(" ") for line in lines) if separator
    ]
    if len(merges) != NUM_MERGES:
        raise BadInput(f"{path} is not CLIP's vocabulary: give bpe_simple_vocab_16e6.txt.gz of OpenAI's CLIP")
    return merges


def byte_characters() -> list[str]:
    """Return a printable character for each byte, in the order of CLIP's ids: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = 256 - len(printable)
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(others)]


def word_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return merges that make each ASCII word one token, for a small vocabulary.

    The merges of earlier words are applied to a word first; what is left is merged from the left.
    """
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        pieces = _apply_merges([*word[:-1], word[-1] + END_OF_WORD], ranks)
        while len(pieces) > 1:
            ranks[(pieces[0], pieces[1])] = len(ranks)
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return list(ranks)


def _apply_merges(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Apply byte-pair merges to one word: repeatedly the earliest merge that occurs."""
    while pairs := [pair for pair in pairwise(pieces) if pair in ranks]:
        best = min(pairs, key=ranks.__getitem__)
        out, i = [], 0
        while i < len(pieces):
            joined = tuple(pieces[i : i + 2]) == best
            out.append("".join(best) if joined else pieces[i])
            i += 2 if joined else 1
        pieces = out
    return pieces
