"""The style condition: one CLIP image embedding, the look of the video."""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind, VectorCondition
from vcjax.conditions.media import WHITE, array_of, name_of, pictures
from vcjax.conditions.preview import fingerprint
from vcjax.errors import BadInput
from vcjax.video.clip import Clip

Rule = Literal["latent", "picture"]  # how a picture is resized; see `vcjax.video.resize.resize_crop`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style(VectorCondition):
    """The look of the video, as CLIP's image tower sees a picture.

    Attributes:
        picture: side in pixels of the pictures that the model's vision network takes.
    """

    name: ClassVar[str] = "style"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "the look of the video"
    accepts: ClassVar[str] = (
        "a CLIP image embedding (.npy), or a picture where the model has a vision network"
    )
    networks: ClassVar[tuple[str, ...]] = ("vision",)

    picture: int = 224

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "D"]:
        """A finished embedding, or that of a picture, prepared as OpenCLIP prepares pictures."""
        array = array_of(source)
        if array is None:
            self.need(networks)
            return self._embedding(pictures(source, shape, 1, WHITE), "picture", networks)
        if array.shape != (self.width,) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(
                f"{name_of(source)}: style must be {self.width} finite numbers, not {array.dtype} of shape {list(array.shape)}"
            )
        return array.astype(np.float32)

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "D"]:
        """The embedding of the frame in the middle."""
        self.need(networks)
        return self._embedding(clip.frames[len(clip) // 2][None], "latent", networks)

    def _embedding(self, frame: np.ndarray, rule: Rule, networks: Functions) -> np.ndarray:
        from vcjax.video.resize import resize_crop

        return networks["vision"](resize_crop(frame, self.picture, self.picture, rule=rule))[0]

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The embedding as a fingerprint."""
        return fingerprint(array, shape)
