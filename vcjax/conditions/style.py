"""The style condition: one CLIP image embedding."""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind, VectorCondition
from vcjax.conditions.media import WHITE, describe_source, load_array, load_frames
from vcjax.conditions.preview import vector_image
from vcjax.errors import BadInput
from vcjax.video.clip import Clip

Rule = Literal["latent", "picture"]  # how an image is resized; see `vcjax.video.resize.resize_crop`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style(VectorCondition):
    """Style of the video: the embedding of an image by CLIP's image tower.

    A picture (`read`) is resized and cropped by OpenCLIP's rule, and the middle frame of a video (`extract`) by the one of
    the released model's training, so that the two embeddings of one still differ slightly.

    Attributes:
        image_size: side in pixels of the input of the model's vision network.
    """

    name: ClassVar[str] = "style"
    kind: ClassVar[Kind] = "tokens"
    summary: ClassVar[str] = "style of the video"
    accepts: ClassVar[str] = "a CLIP image embedding (.npy), or an image where the model has a vision network"
    networks: ClassVar[tuple[str, ...]] = ("vision",)

    image_size: int = 224

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "D"]:
        """Read an embedding, or embed an image with OpenCLIP's preprocessing."""
        array = load_array(source)
        if array is None:
            self.require_networks(networks)
            return self._embed_frame(load_frames(source, shape, 1, WHITE), "picture", networks)
        if array.shape != (self.embed_dim,) or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(
                f"{describe_source(source)}: style must be {self.embed_dim} finite numbers, "
                f"not {array.dtype} of shape {list(array.shape)}"
            )
        return array.astype(np.float32)

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "D"]:
        """Embed the middle frame."""
        self.require_networks(networks)
        return self._embed_frame(clip.frames[len(clip) // 2][None], "latent", networks)

    def _embed_frame(self, frame: np.ndarray, rule: Rule, networks: Functions) -> np.ndarray:
        from vcjax.video.resize import resize_crop

        return networks["vision"](resize_crop(frame, self.image_size, self.image_size, rule=rule))[0]

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return an image of the embedding."""
        return vector_image(array, shape)
