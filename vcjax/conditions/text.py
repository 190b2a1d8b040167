"""The text condition: token ids, made into hidden states by CLIP's text tower."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from vcjax.conditions.base import ClipShape, Condition, Kind, Networks
from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Condition):
    """What the video shows, in words. Without text the model hears the empty string, never zeros."""

    name: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "what the video shows, in words"
    accepts: ClassVar[str] = "a sentence"
    extractable: ClassVar[bool] = False
    absent_is_null: ClassVar[bool] = True

    def read(self, source: Any, shape: ClipShape, networks: Networks) -> Int32[np.ndarray, "T"]:
        """Token ids of a sentence."""
        if not isinstance(source, str):
            raise BadInput(f"text must be a sentence, not {type(source).__name__}")
        return networks["tokenizer"](source)

    def embed(self, array: np.ndarray, networks: Networks) -> Float32[np.ndarray, "T D"]:
        """Hidden states of the tokens."""
        return networks["text"](array)

    def null(self, shape: ClipShape, networks: Networks) -> Float32[np.ndarray, "T D"]:
        """The embedding of the empty string."""
        return self.embed(self.read("", shape, networks), networks)

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The token ids as a fingerprint."""
        return fingerprint(array.astype(np.float32), shape)


def fingerprint(values: np.ndarray, shape: ClipShape) -> np.ndarray:
    """A vector as one grey picture `[1, H, W, 3]` of little squares, row by row, from its least to its greatest."""
    side = int(np.ceil(np.sqrt(values.size)))
    square = np.full(side * side, values.min(), np.float32)
    square[: values.size] = values.ravel()
    spread = max(float(np.ptp(square)), np.finfo(np.float32).tiny)
    square = ((square - square.min()) / spread * 255).astype(np.uint8).reshape(side, side)
    rows = np.arange(shape.height) * side // shape.height
    columns = np.arange(shape.width) * side // shape.width
    return np.repeat(square[rows][:, columns][None, ..., None], 3, axis=-1)
