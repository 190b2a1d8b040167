"""The text condition: token ids, made into hidden states by CLIP's text tower."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from vcjax.conditions.base import ClipShape, Condition, Field, Functions, Kind
from vcjax.conditions.preview import fingerprint
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Condition):
    """What the video shows, in words. Without text the model hears the empty string, never zeros."""

    name: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "what the video shows, in words"
    accepts: ClassVar[str] = "a sentence"
    extractable: ClassVar[bool] = False
    absent_is_null: ClassVar[bool] = True
    stored_as: ClassVar[str] = "token ids, exact"

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Int32[np.ndarray, "T"]:
        """Token ids of a sentence."""
        if not isinstance(source, str):
            raise BadInput(f"text must be a sentence, not {type(source).__name__}")
        return networks["tokenizer"](source)

    def embed(self, array: np.ndarray, networks: Functions) -> Float32[np.ndarray, "T D"]:
        """Hidden states of the tokens."""
        return networks["text"](array)

    def null(self, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "T D"]:
        """The embedding of the empty string."""
        return self.embed(self.read("", shape, networks), networks)

    def material(
        self, clip: Clip, caption: str, shape: ClipShape, networks: Functions
    ) -> Int32[np.ndarray, "T"]:
        """Token ids of the caption."""
        return self.read(caption, shape, networks)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """The token ids."""
        return {self.name: Field("int32", (None,))}

    def encode(self, material: Int32[np.ndarray, "T"]) -> dict[str, Any]:
        """As they are."""
        return {self.name: material}

    def decode(self, stored: Mapping[str, Any]) -> Int32[np.ndarray, "T"]:
        """As they are."""
        return stored[self.name]

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The token ids as a fingerprint."""
        return fingerprint(array.astype(np.float32), shape)
