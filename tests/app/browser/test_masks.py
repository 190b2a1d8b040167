"""Masks on the page: polygons and painted keys over the frames, and keyframes."""

import pytest
from selenium.webdriver.common.keys import Keys

from vcjax.conditions.mask_polygons import as_mask_polygons

pytestmark = pytest.mark.browser


def hidden(page, frames=16):
    polygons = as_mask_polygons(page.condition("mask")["extract_options"]["hide"])
    assert polygons is not None
    return polygons.hidden(frames, 64, 64)


def test_a_mask_polygon_moves_between_the_frames_where_it_was_set(page, media):
    page.choose("A video that mask is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("mask"), "the mask has its source")
    page.tool("mask-polygon")
    page.click((8, 8), (24, 8), (24, 24), (8, 24), (8, 8))
    page.wait(lambda: "extract_options" in page.condition("mask"), "the polygon is closed")
    page.show_frame(15)
    page.drag((16, 16), (46, 40))
    first, *_, last = hidden(page)
    assert (first[16, 16], first[40, 46]) == (True, False)
    assert (last[16, 16], last[40, 46]) == (False, True)
    assert hidden(page)[8, 28, 31]
    page.press(".mark.mask")
    page.wait(lambda: page.find(".frame-number").text == "0 / 15", "the first key is shown")


def test_painted_keys_of_a_mask_hold_until_the_next(page, media):
    page.choose("A video that mask is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("mask"), "the mask has its source")
    page.tool("mask-brush")
    page.fill("Width", 8)
    page.drag((10, 20), (50, 20))
    page.show_frame(8)
    page.tool("mask-erase")
    page.drag((10, 20), (30, 20))
    frames = hidden(page)
    assert frames[:, 20, 15].tolist() == [True] * 8 + [False] * 8
    assert frames[:, 20, 45].all()
    page.keys("z", control=True)
    assert hidden(page)[:, 20, 15].all()


def test_pictures_at_frames_are_keyframes_of_the_mask(page, media):
    page.tool("mask-polygon")  # selects the condition
    page.show_frame(5)
    page.choose("A picture that the frame of the canvas shows", media / "first.png")
    page.wait(lambda: page.condition("mask"), "the picture is a keyframe")
    page.choose("A video that the clip leads to", media / "walk.mp4")
    page.wait(lambda: "before" in page.condition("mask")["value"], "the video is one too")
    page.fill("Overlap", 2)
    value = page.condition("mask")["value"]
    assert [picture["frame"] for picture in value["pictures"]] == [5]
    assert value["overlap"] == 2
    shown = "return (vcjax.app.jobs.preview?.request.conditions.mask?.value.overlap === 2) && vcjax.app.jobs.preview.images"
    assert page.wait(lambda: page.js(shown), "the server draws it") == {"mask": 16}


def test_a_painted_key_is_moved_from_the_frame_where_it_is_dragged(page, media):
    page.choose("A video that mask is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("mask"), "the mask has its source")
    page.tool("mask-brush")
    page.fill("Width", 8)
    page.drag((10, 16), (30, 16))
    page.drag((10, 22), (30, 22))
    before = page.document()
    page.tool("select")
    page.drag((20, 40), (30, 50))  # beside the lines
    assert page.document() == before
    page.show_frame(10)
    page.drag((20, 16), (36, 40))
    frames = hidden(page)
    assert frames[:, 16, 20].tolist() == [True] * 10 + [False] * 6
    assert frames[:, 46, 36].tolist() == [False] * 10 + [True] * 6
    assert "holds until the next key" in page.find("#inspector").text
    page.drag((36, 40), (36, 30))  # the key that is there moves again
    assert len(page.condition("mask")["extract_options"]["hide"]["keys"]) == 2
    page.keys("z", "z", control=True)
    assert page.document() == before


def test_a_painted_key_that_is_dragged_to_a_frame_holds_from_that_frame(page, media):
    page.choose("A video that mask is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("mask"), "the mask has its source")
    page.tool("mask-brush")
    page.drag((10, 20), (50, 20))
    page.show_frame(9)
    page.drag((10, 50), (50, 50))
    mark = page.wait(lambda: page.all(".mark.mask")[1:], "there are two keys")[0]
    page.js("arguments[0].focus()", mark)
    page.keys(Keys.ARROW_RIGHT)
    assert hidden(page)[:, 50, 30].tolist() == [False] * 10 + [True] * 6


def test_what_is_painted_beside_the_picture_is_not_shown(page):
    page.tool("mask-brush")
    page.fill("Width", 8)
    page.drag((32, 40), (66, 40))
    page.tool("select")
    alpha = """
      const { canvas, viewport } = vcjax.app.editor, [x, y] = viewport.screen(arguments[0]);
      const [red, green, blue, alpha] = canvas.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data;
      return [red > green + 40, alpha];
    """
    page.wait(lambda: page.js(alpha, [60, 40])[0], "the paint is seen on the picture")
    assert page.js(alpha, [66, 40]) == [False, 0]
