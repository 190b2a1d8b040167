"""The tokenizer of models that are trained on the sprite world: each word of its captions is one token.

`python -m vcjax.data.sprites.tokenizer` prints the `tokenizer.json` of the built-in model.
"""

from vcjax.conditions.tokenizer import byte_pair_tokenizer, merges_of
from vcjax.data.sprites.caption import VOCABULARY


def sprites_tokenizer() -> str:
    """The content of `tokenizer.json`; other words are spelled in bytes, so that any text can be read."""
    return byte_pair_tokenizer(merges_of(VOCABULARY))


if __name__ == "__main__":
    print(sprites_tokenizer(), end="")
