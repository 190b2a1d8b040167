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
    from vcjax.video.resize import resize_crop

    frames = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
    return resize_crop(np.ascontiguousarray(frames), shape.height, shape.width, rule="map")


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
