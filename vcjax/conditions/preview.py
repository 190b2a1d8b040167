"""Conditions to look at: maps as pictures, and a clip with all its conditions side by side."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from vcjax.conditions.base import ClipShape
from vcjax.video.clip import Clip

LABEL_HEIGHT = 16
LABEL_WIDTH = 84  # of the longest name in Pillow's own font


def as_picture(values: Float[np.ndarray, "F H W C"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Maps in [0, 1] of 1 or 3 channels as frames of the clip's size."""
    frames = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return fitted(np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3))), shape)


def fitted(frames: UInt8[np.ndarray, "F H W 3"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Frames of any size at the clip's size."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, shape.height, shape.width, rule="map")


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


def side_by_side(columns: Mapping[str, UInt8[np.ndarray, "F H W 3"]], fps: float) -> Clip:
    """Named frames of one size beside one another, each below its name; single pictures are held."""
    from PIL import Image, ImageDraw

    count = max(len(frames) for frames in columns.values())
    panels = []
    for name, frames in columns.items():
        _, height, width, _ = frames.shape
        label = Image.new("RGB", (max(width, LABEL_WIDTH), LABEL_HEIGHT))
        ImageDraw.Draw(label).text((2, 2), name, fill="white")
        panel = np.zeros((count, height + LABEL_HEIGHT, label.width, 3), np.uint8)
        panel[:, :LABEL_HEIGHT] = np.asarray(label)
        held = np.concatenate([frames, np.repeat(frames[-1:], count - len(frames), axis=0)])
        left = (label.width - width) // 2
        panel[:, LABEL_HEIGHT:, left : left + width] = held
        panels.append(panel)
    return Clip(np.concatenate(panels, axis=2), fps)
