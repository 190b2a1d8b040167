"""The text condition: token ids, which CLIP's text tower embeds as hidden states."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from vcjax.conditions.base import ClipShape, Condition, Field, Functions, Kind
from vcjax.conditions.preview import text_image
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Condition):
    """Description of the video. An absent text is the empty string, not zeros, or another one that a model was trained with.

    Attributes:
        suffix: appended to every description.
        null_text: what stands for an absent text, and is the text of a negative branch.
    """

    name: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "description of the video"
    accepts: ClassVar[str] = "a sentence"
    extractable: ClassVar[bool] = False
    absent_is_null: ClassVar[bool] = True
    stored_as: ClassVar[str] = "token ids, exact"

    suffix: str = ""
    null_text: str = ""

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Int32[np.ndarray, "T"]:
        """Tokenize a sentence."""
        if not isinstance(source, str):
            raise BadInput(f"text must be a sentence, not {type(source).__name__}")
        return networks["tokenizer"](source + self.suffix)

    def embed(self, array: np.ndarray, networks: Functions) -> Float32[np.ndarray, "T D"]:
        """Return the hidden states of the tokens."""
        return networks["text"](array)

    def null(self, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "T D"]:
        """Return the hidden states of `null_text`."""
        return self.embed(networks["tokenizer"](self.null_text), networks)

    def stored_features(
        self, clip: Clip, caption: str, shape: ClipShape, networks: Functions
    ) -> Int32[np.ndarray, "T"]:
        """Tokenize the caption."""
        return self.read(caption, shape, networks)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the field of the token ids."""
        return {self.name: Field("int32", (None,))}

    def encode(self, stored: Int32[np.ndarray, "T"]) -> dict[str, Any]:
        """Return the token ids unchanged."""
        return {self.name: stored}

    def decode(self, stored: Mapping[str, Any]) -> Int32[np.ndarray, "T"]:
        """Return the token ids unchanged."""
        return stored[self.name]

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return an image of the number of tokens; `previews` draws the words where it has them."""
        return text_image(f"text of {np.count_nonzero(array)} tokens", shape.height, shape.width)
