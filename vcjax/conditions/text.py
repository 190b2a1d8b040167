"""The text condition: token ids, which CLIP's text tower embeds as hidden states."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int32

from vcjax.conditions.base import ClipShape, Condition, Drawing, Field, Functions, Kind
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
    accepts: ClassVar[str] = "a sentence, or several as '0: a circle; 40: a square', each from its frame on"
    extractable: ClassVar[bool] = False
    absent_is_null: ClassVar[bool] = True
    drawing: ClassVar[Drawing] = "text"
    words: ClassVar[tuple[str, ...]] = ("value",)
    stored_as: ClassVar[str] = "token ids, exact"

    suffix: str = ""
    null_text: str = ""

    def at(self, value: Any, frame: int) -> Any:
        """Return the sentence that holds at a frame."""
        table = sentences(value)
        return value if table is None else table[max(start for start in table if start <= frame)]

    def changes(self, value: Any) -> tuple[int, ...]:
        """Return the first frame of each sentence."""
        return tuple(sentences(value) or ())

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


def sentences(value: Any) -> dict[int, str] | None:
    """Return the sentences of a text that changes with time, by the frame that each begins at; None for one sentence.

    ```python
    sentences("0: a red circle; 40: a blue square")     # as sentences({0: "a red circle", 40: "a blue square"})
    ```

    Raises:
        BadInput: the first does not begin at frame 0, or two at the same frame.
    """
    if isinstance(value, Mapping):
        pairs = [(str(frame), sentence) for frame, sentence in value.items()]
    elif isinstance(value, str) and re.fullmatch(r"\s*\d+:[^;]*(;\s*\d+:[^;]*)*", value):
        pairs = [(part.split(":", 1)[0], part.split(":", 1)[1]) for part in value.split(";")]
    else:
        return None
    table: dict[int, str] = {}
    for frame, sentence in pairs:
        if not frame.strip().isdecimal() or not isinstance(sentence, str):
            raise BadInput(
                f"text by time must have sentences by frame, such as {{0: 'a circle'}}, not {value!r}"
            )
        if int(frame) in table:
            raise BadInput(f"text by time has two sentences from frame {int(frame)} on: give one")
        table[int(frame)] = sentence.strip()
    if 0 not in table:
        raise BadInput(f"text by time must begin at frame 0, not {min(table, default=None)}")
    return dict(sorted(table.items()))
