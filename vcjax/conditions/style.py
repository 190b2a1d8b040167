"""The style condition: one CLIP image embedding, the look of the video."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind, VectorCondition
from vcjax.conditions.media import array_of, name_of
from vcjax.conditions.preview import fingerprint
from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style(VectorCondition):
    """The look of the video, as CLIP's image tower sees a picture."""

    name: ClassVar[str] = "style"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "the look of the video"
    accepts: ClassVar[str] = "a CLIP image embedding (.npy)"
    networks: ClassVar[tuple[str, ...]] = ("vision",)
    extractable: ClassVar[bool] = False

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "D"]:
        """A finished embedding."""
        array = array_of(source)
        if array is None:
            self.need(networks)
            raise BadInput(f"{name_of(source)}: style must be {self.accepts}")
        if array.shape != (self.width,) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(
                f"{name_of(source)}: style must be {self.width} finite numbers, not {array.dtype} of shape {list(array.shape)}"
            )
        return array.astype(np.float32)

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The embedding as a fingerprint."""
        return fingerprint(array, shape)
