"""The mask condition: footage with a region hidden, which the model is to fill."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float32

from vcjax.conditions.base import ClipShape, Functions, Kind
from vcjax.conditions.media import BLACK, array_of, brightness, name_of, pictures
from vcjax.conditions.preview import as_picture
from vcjax.conditions.storage import PictureCondition
from vcjax.errors import BadInput
from vcjax.video.clip import Clip

DRAWN_AT = 512  # side of the square on which random masks are drawn, in the original
KINDS = {"strokes": 0.7, "rectangle": 0.2, "half": 0.1}  # and how often each is drawn
STROKES = (1, 12)
POINTS = (4, 12)
WIDTHS = (12, 100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(PictureCondition):
    """Frames in [-1, 1] times (1 - m), and (1 - m) behind them; m = 1 hides, and is the same in every frame."""

    name: ClassVar[str] = "mask"
    kind: ClassVar[Kind] = "sequence"
    channels: ClassVar[int] = 4
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    bits: ClassVar[float] = 2.3
    stored_as: ClassVar[str] = "frames of 8 bits, JPEG where PNG is too large: real footage above 37 dB"
    summary: ClassVar[str] = "footage with a region hidden, to be filled"
    accepts: ClassVar[str] = (
        "an array (.npy): frames in [-1, 1] times what is visible, and behind them what is (0 or 1)"
    )
    aids: ClassVar[dict[str, str]] = {
        "hide": "a picture whose white parts are hidden; drawn at random without it"
    }

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 4"]:
        """A finished mask condition."""
        array = array_of(source)
        if array is None:
            raise BadInput(
                f"{name_of(source)}: mask must be {self.accepts}; footage is extracted from, with vcjax.extract or --mask-from"
            )
        return self.checked(array, shape, name_of(source))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "F H W 4"]:
        """Footage behind the mask `hide`, or behind one drawn from `seed`."""
        size = self.size(shape)
        frames = self.material(clip, "", shape, networks)
        if aids.get("hide") is None:
            hidden = random_mask(seed, size)
        else:
            hidden = brightness(pictures(aids["hide"], shape, 1, BLACK), size)[0, ..., 0] > 0.5
        return hide(frames, hidden)

    def material(
        self, clip: Clip, caption: str, shape: ClipShape, networks: Functions
    ) -> Float32[np.ndarray, "F H W 3"]:
        """The frames in [-1, 1], none of them hidden: masks are drawn when they are loaded."""
        from vcjax.video.resize import resize_crop

        return resize_crop(clip.frames, *self.size(shape), rule="map").astype(np.float32) / 127.5 - 1

    def at_load(self, material: Float32[np.ndarray, "F H W 3"], seed: int) -> Float32[np.ndarray, "F H W 4"]:
        """The frames behind a random mask."""
        return hide(material, random_mask(seed, material.shape[1:3]))

    def preview(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """The visible part; what is hidden is grey."""
        return as_picture(array[..., :3] / 2 + 0.5, shape)


def hide(
    frames: Float32[np.ndarray, "F H W 3"], hidden: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "F H W 4"]:
    """The mask condition of frames in [-1, 1] and one mask for the whole clip (a tube)."""
    visible = np.broadcast_to((~hidden).astype(np.float32)[None, ..., None], (*frames.shape[:3], 1))
    return np.concatenate([frames * visible, visible], -1)


def random_mask(seed: int, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A mask as drawn in training: 70 % irregular strokes, 20 % a rectangle, 10 % half of the frame; True hides."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    drawing = {"strokes": _strokes, "rectangle": _rectangle, "half": _half}[kind](rng)
    return np.asarray(drawing.resize((size[1], size[0]), Image.Resampling.NEAREST)) > 0


def _canvas():
    from PIL import Image, ImageDraw

    image = Image.new("L", (DRAWN_AT, DRAWN_AT))
    return image, ImageDraw.Draw(image)


def _strokes(rng: np.random.Generator):
    """Thick polylines with round joints that wander over the frame."""
    image, draw = _canvas()
    for _ in range(rng.integers(*STROKES)):
        width = int(rng.integers(*WIDTHS))
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 1.0, rng.integers(*POINTS)))
        lengths = rng.uniform(0.05, 0.25, len(turns)) * DRAWN_AT
        steps = lengths[:, None] * np.stack([np.cos(turns), np.sin(turns)], -1)
        points = np.clip(np.cumsum([rng.uniform(0, DRAWN_AT, 2), *steps], axis=0), 0, DRAWN_AT - 1)
        draw.line([tuple(p) for p in points.tolist()], fill=255, width=width, joint="curve")
        for x, y in points.tolist():
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return image


def _rectangle(rng: np.random.Generator):
    image, draw = _canvas()
    height, width = rng.integers(DRAWN_AT // 5, DRAWN_AT * 4 // 5, 2)
    top, left = rng.integers(0, DRAWN_AT - height), rng.integers(0, DRAWN_AT - width)
    draw.rectangle((left, top, left + width, top + height), fill=255)
    return image


def _half(rng: np.random.Generator):
    image, draw = _canvas()
    middle, last = DRAWN_AT // 2, DRAWN_AT - 1
    boxes = [
        (0, 0, last, middle - 1),
        (0, middle, last, last),
        (0, 0, middle - 1, last),
        (middle, 0, last, last),
    ]
    draw.rectangle(boxes[rng.integers(len(boxes))], fill=255)
    return image
