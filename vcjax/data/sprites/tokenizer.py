"""Tokenizer of models trained on the sprite world: each word of its captions is one token.

`python -m vcjax.data.sprites.tokenizer` prints the `tokenizer.json` of the built-in model.
"""

from vcjax.conditions.tokenizer import byte_pair_tokenizer, word_merges
from vcjax.data.sprites.caption import VOCABULARY


def sprites_tokenizer() -> str:
    """Return the content of `tokenizer.json`; words outside the vocabulary are encoded as bytes."""
    return byte_pair_tokenizer(word_merges(VOCABULARY))


if __name__ == "__main__":
    print(sprites_tokenizer(), end="")
