"""Previews of conditions: maps as RGB images, text as words, and a clip beside all its conditions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, UInt8

from vcjax.conditions.base import ClipShape, Condition
from vcjax.video.clip import Clip

ARROW_CELLS = 8  # cells of the grid of arrows, along the shorter side
MIN_ARROW = 0.1  # arrows shorter than this fraction of the clip's longest are left out
BARBS = 0.4 * np.exp(np.array([-2.6j, 2.6j]))  # tip to ends of the barbs, for an arrow along x of length 1
LABEL_HEIGHT = 16
LABEL_WIDTH = 84  # pixels of the longest condition name in Pillow's default font
MIN_FONT = 8  # pixels; smaller letters of Pillow's font are illegible
LINES = 8  # lines of the largest font that fill a frame
LEADING = 1.15  # distance of lines over the size of the font
MARGIN = 2  # pixels around text
CUT = "..."  # end of a text that does not fit
NO_TEXTS: Mapping[str, str] = MappingProxyType({})


def to_rgb(values: Float[np.ndarray, "F H W C"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Convert maps in [0, 1] of 1 or 3 channels to RGB frames of the clip's size."""
    frames = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return resize_to_clip(np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3))), shape)


def resize_to_clip(frames: UInt8[np.ndarray, "F H W 3"], shape: ClipShape) -> UInt8[np.ndarray, "F h w 3"]:
    """Resize and crop frames to the clip's size."""
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, shape.height, shape.width, rule="map")


def draw_arrows(
    field: Float[np.ndarray, "F H W 2"], shape: ClipShape, over: UInt8[np.ndarray, "_ h w 3"] | None = None
) -> UInt8[np.ndarray, "F h w 3"]:
    """Draw a motion field as arrows, one for the longest vector of each cell.

    Colour is direction. The clip's longest vector is drawn as long as a cell.

    Args:
        field: motion field.
        shape: shape of the clip.
        over: images whose first, darkened, is the background; black without it.
    """
    from PIL import Image, ImageDraw

    background = np.zeros((shape.height, shape.width, 3), np.uint8) if over is None else over[0] // 2
    side = max(min(shape.height, shape.width) // ARROW_CELLS, 1)
    vectors = _longest_of_cells(field[..., 0] + 1j * field[..., 1], shape.height // side, shape.width // side)
    vectors = vectors / max(np.abs(vectors).max(), np.finfo(np.float32).tiny)
    images = [Image.fromarray(background) for _ in field]
    for frame, row, column in np.argwhere(np.abs(vectors) >= MIN_ARROW):
        vector = vectors[frame, row, column]
        centre = side * (column + 0.5 + 1j * (row + 0.5))
        tip = centre + side * vector / 2
        draw = ImageDraw.Draw(images[frame])
        for end in (tip - side * vector, *(tip + side * vector * BARBS)):
            draw.line([tip.real, tip.imag, end.real, end.imag], fill=_hue(complex(vector)))
    return np.stack([np.asarray(image) for image in images])


def _longest_of_cells(
    vectors: Complex[np.ndarray, "F H W"], rows: int, columns: int
) -> Complex[np.ndarray, "F rows columns"]:
    """Return the longest vector of each cell of a grid; a mean would vanish where most vectors are zero."""
    cells = np.zeros((len(vectors), rows, columns), vectors.dtype)
    for row, of_row in enumerate(np.array_split(vectors, rows, axis=1)):
        for column, cell in enumerate(np.array_split(of_row, columns, axis=2)):
            cell = cell.reshape(len(cell), -1)
            longest = np.abs(cell).argmax(-1)
            cells[:, row, column] = cell[np.arange(len(cell)), longest]
    return cells


def _hue(vector: complex) -> tuple[int, ...]:
    """Return the colour of a direction."""
    thirds = np.array([0, 1 / 3, 2 / 3])  # hues of red, green and blue
    distance = np.abs((np.angle(vector) / (2 * np.pi) - thirds + 0.5) % 1 - 0.5)
    return tuple((255 * np.clip(2 - 6 * distance, 0, 1)).astype(int).tolist())


def previews(
    conditions: Mapping[str, Condition],
    arrays: Mapping[str, np.ndarray],
    shape: ClipShape,
    texts: Mapping[str, str] = NO_TEXTS,
    scale: int = 1,
) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
    """Return RGB previews of conditions, by name.

    ```python
    previews(composer.conditions, composer.read({"text": "a red star"}, shape), shape, {"text": "a red star"})
    ```

    Args:
        conditions: the model's conditions.
        arrays: arrays of some of them, as the model takes them.
        shape: shape of the clip.
        texts: sentences that token ids were read from, by condition; they are drawn at least `LABEL_WIDTH` wide.
        scale: factor by which previews are larger than the clip; text is drawn at this size.
    """
    images = {}
    for name, array in arrays.items():
        if name in texts:
            width = max(scale * shape.width, LABEL_WIDTH)
            images[name] = text_image(texts[name], scale * shape.height, width)
            continue
        below = conditions[name].drawn_over
        over = {"over": conditions[below].preview(arrays[below], shape)} if below in arrays else {}
        images[name] = enlarge(conditions[name].preview(array, shape, **over), scale)
    return images


def enlarge(frames: UInt8[np.ndarray, "F H W 3"], scale: int) -> UInt8[np.ndarray, "F h w 3"]:
    """Return frames whose pixels are squares of `scale` pixels."""
    return frames.repeat(scale, axis=1).repeat(scale, axis=2)


def text_image(text: str, height: int, width: int) -> UInt8[np.ndarray, "1 H W 3"]:
    """Return a picture of wrapped text, white on black.

    Its font is the largest in which all lines fit, from `height / LINES` down to `MIN_FONT` pixels. Text that
    does not fit in the smallest one is cut and ends with dots.

    Args:
        text: the text; line breaks count as spaces.
        height: height in pixels.
        width: width in pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    for size in range(max(height // LINES, MIN_FONT), MIN_FONT - 1, -1):
        font = ImageFont.load_default(size)
        lines = wrap(text or "(empty text)", font.getlength, width - 2 * MARGIN)
        pitch = int(np.ceil(LEADING * size))
        room = max((height - MARGIN) // pitch, 1)
        if len(lines) <= room:
            break
    if len(lines) > room:
        last = lines[room - 1]
        while last and font.getlength(last + CUT) > width - 2 * MARGIN:
            last = last[:-1]
        lines = [*lines[: room - 1], last + CUT]
    image = Image.new("RGB", (width, height))
    for row, line in enumerate(lines):
        ImageDraw.Draw(image).text((MARGIN, MARGIN / 2 + row * pitch), line, fill="white", font=font)
    return np.asarray(image)[None]


def as_sentence(value: Any) -> str:
    """Return the words of a text, also of one that changes with time, as it is written in one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{frame}: {sentence}" for frame, sentence in value.items())
    return str(value)


def wrap(text: str, measure: Callable[[str], float], width: int) -> list[str]:
    """Break text into lines between words, and within a word that is longer than a line.

    Args:
        text: the text.
        measure: function from a text to its width.
        width: width of a line, in the unit of `measure`; a line has at least one character.
    """
    lines = [""]
    for word in text.split():
        if lines[-1] and measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and measure(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def vector_image(values: np.ndarray, shape: ClipShape) -> np.ndarray:
    """Return a vector as a grey image `[1, H, W, 3]` of squares, row by row, black at its minimum."""
    side = int(np.ceil(np.sqrt(values.size)))
    square = np.full(side * side, values.min(), np.float32)
    square[: values.size] = values.ravel()
    span = max(float(np.ptp(square)), np.finfo(np.float32).tiny)
    square = ((square - square.min()) / span * 255).astype(np.uint8).reshape(side, side)
    rows = np.arange(shape.height) * side // shape.height
    columns = np.arange(shape.width) * side // shape.width
    return np.repeat(square[rows][:, columns][None, ..., None], 3, axis=-1)


def side_by_side(columns: Mapping[str, UInt8[np.ndarray, "F H W 3"]], fps: float) -> Clip:
    """Join frames of one size side by side, below their names; shorter ones repeat their last frame."""
    from PIL import Image, ImageDraw

    count = max(len(frames) for frames in columns.values())
    panels = []
    for name, frames in columns.items():
        _, height, width, _ = frames.shape
        label = Image.new("RGB", (max(width, LABEL_WIDTH), LABEL_HEIGHT))
        ImageDraw.Draw(label).text((2, 2), name, fill="white")
        panel = np.zeros((count, height + LABEL_HEIGHT, label.width, 3), np.uint8)
        panel[:, :LABEL_HEIGHT] = np.asarray(label)
        padded = np.concatenate([frames, np.repeat(frames[-1:], count - len(frames), axis=0)])
        left = (label.width - width) // 2
        panel[:, LABEL_HEIGHT:, left : left + width] = padded
        panels.append(panel)
    return Clip(np.concatenate(panels, axis=2), fps)
