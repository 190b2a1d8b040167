"""Previews: text as words, pictures beside each other below their labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcjax.conditions.base import ClipShape
from vcjax.conditions.image import Image
from vcjax.conditions.preview import (
    LABEL_HEIGHT,
    LABEL_WIDTH,
    MARGIN,
    enlarge,
    previews,
    side_by_side,
    text_image,
    vector_image,
    wrap,
)
from vcjax.conditions.text import Text

SHAPE = ClipShape(frames=3, height=64, width=64, fps=8.0)
CAPTION = "a small orange square moving up in a curve over a gray cloudy background"
TOKENS = np.array([7, 3, 5, 9, 8, 0, 0, 0], np.int32)
CONDITIONS = {"text": Text(), "image": Image()}


def rows_with_text(picture):
    """Rows of an image in which something is drawn."""
    return np.flatnonzero(picture.any((1, 2)))


def test_text_is_drawn_as_its_words_and_not_as_token_ids():
    drawn = previews(CONDITIONS, {"text": TOKENS}, SHAPE, {"text": CAPTION})["text"]
    assert drawn.shape == (1, 64, LABEL_WIDTH, 3)  # as wide as its column
    np.testing.assert_array_equal(drawn, text_image(CAPTION, 64, LABEL_WIDTH))
    squares = vector_image(TOKENS.astype(np.float32), SHAPE)
    assert not any((drawn[:, :, i : i + 64] == squares).all() for i in range(LABEL_WIDTH - 63))
    other = previews(CONDITIONS, {"text": TOKENS}, SHAPE, {"text": CAPTION.replace("orange", "cyan")})
    assert (other["text"] != drawn).any()


def test_without_the_words_the_number_of_tokens_is_drawn():
    drawn = previews(CONDITIONS, {"text": TOKENS}, SHAPE)["text"]
    np.testing.assert_array_equal(drawn, text_image("text of 5 tokens", 64, 64))


@pytest.mark.parametrize(("height", "width"), [(64, 84), (128, 128), (256, 256), (256, 448)])
def test_text_fills_the_frame_in_a_font_that_grows_with_it(height, width):
    (picture,) = text_image(CAPTION, height, width)
    assert picture.shape == (height, width, 3)
    drawn = rows_with_text(picture)
    assert drawn.max() - drawn.min() > 0.4 * height
    assert not picture[:, -1].any()  # no letter is cut at the edge
    assert not picture[-1].any()


def test_long_text_is_cut_with_dots_and_long_words_are_broken():
    (whole,) = text_image("word " * 10, 64, 84)
    (cut,) = text_image("word " * 400, 64, 84)
    last = rows_with_text(cut).max()
    assert last < 63
    assert last > rows_with_text(whole).max()
    (unbroken,) = text_image("w" * 60, 64, 84)
    assert len(rows_with_text(unbroken)) > 10  # more than one line
    assert not unbroken[:, -1].any()
    for tiny in (1, 16):
        assert text_image(CAPTION, tiny, 84).shape == (1, tiny, 84, 3)
    assert text_image("", 64, 84).any()


@given(text=st.text(alphabet="ab \n\t", max_size=60), width=st.integers(1, 20))
def test_lines_hold_the_words_in_their_order(text, width):
    lines = wrap(text, len, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) <= width for line in lines)
    if all(len(word) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()


def test_previews_can_be_enlarged():
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    arrays = {"text": TOKENS, "image": image}
    small = previews(CONDITIONS, arrays, SHAPE, {"text": CAPTION})
    large = previews(CONDITIONS, arrays, SHAPE, {"text": CAPTION}, scale=2)
    np.testing.assert_array_equal(large["image"], enlarge(small["image"], 2))
    np.testing.assert_array_equal(large["image"][:, ::2, 1::2], small["image"])
    np.testing.assert_array_equal(large["text"], text_image(CAPTION, 128, 128))


def test_labels_stand_over_their_columns():
    grey = np.full((1, 32, 100, 3), 77, np.uint8)
    names = ["target", "single_sketch", "result"]
    frame = side_by_side(dict.fromkeys(names, grey), 8.0).frames[0]
    assert frame.shape == (32 + LABEL_HEIGHT, 300, 3)
    for i in range(3):
        label = frame[:LABEL_HEIGHT, 100 * i : 100 * (i + 1)]
        start = np.flatnonzero(label.any((0, 2))).min()
        assert abs(start - MARGIN) <= 1  # letters have their own bearing
        np.testing.assert_array_equal(frame[LABEL_HEIGHT:, 100 * i : 100 * (i + 1)], grey[0])
