"""Cards of conditions: sources, strengths, branches, words at frames, and conditions that are off."""

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser


def test_a_condition_that_is_off_is_kept_and_not_sent(page, media):
    page.choose("A file for image", media / "first.png")
    page.wait(lambda: page.condition("image"), "the picture is given")
    page.fill("Strength of image as a number", 0.5)
    given = page.condition("image")
    assert given["strength"] == 0.5
    page.press("[data-condition=image] .switch")
    page.wait(lambda: page.condition("image") is None, "it is off")
    page.open()
    page.fill("Steps", 2)
    assert "image" not in page.generate()["request"]["conditions"]
    page.press("[data-condition=image] .switch")
    page.wait(lambda: page.condition("image") == given, "it is on again, as it was")
    page.press('[data-condition=image] [title="Remove image"]')
    page.wait(lambda: page.document()["off"] == {}, "nothing of it is left")
    assert page.condition("image") is None


def test_a_source_video_is_shared_by_the_conditions_that_are_ticked(page, media):
    page.choose("Choose a source video", media / "walk.mp4")
    page.wait(lambda: page.all(".ticks"), "conditions can be ticked")
    assert page.document()["request"]["conditions"] == {}
    for name in ("depth", "sketch"):
        page.press(
            f'.ticks [title$="{page.js("return vcjax.app.nameOf(vcjax.app.doc.source)")}"][title^="Extract {name}"] input'
        )
    source = f"upload:{page.document()['source']}"
    page.wait(lambda: page.condition("sketch"), "both are ticked")
    assert page.document()["request"]["conditions"] == {
        "depth": {"source": source},
        "sketch": {"source": source},
    }
    images = "return vcjax.app.jobs.preview?.images"
    page.wait(lambda: page.js(images) == {"depth": 16, "sketch": 16}, "they are extracted")
    thumb = "[data-condition=depth] .thumb canvas"
    bright = """
      const canvas = document.querySelector(arguments[0]);
      return canvas?.sheet?.image && Math.max(...canvas.getContext("2d").getImageData(0, 0, 64, 64).data.filter((_, i) => i % 4 < 3));
    """
    page.wait(lambda: (page.js(bright, thumb) or 0) > 50, "the depth is seen on the card")


def test_words_change_at_a_frame(page):
    page.fill("text", "a red circle")
    page.press("[data-condition=text] .texts .link")
    page.fill("text from frame 8", "a blue square")
    assert page.condition("text")["value"] == {"0": "a red circle", "8": "a blue square"}
    page.fill("First frame of text 2", 5)
    assert page.condition("text")["value"] == {"0": "a red circle", "5": "a blue square"}
    page.press('[title="Remove the text from frame 5"]')
    page.wait(lambda: page.condition("text")["value"] == "a red circle", "one text is left")


def test_a_condition_is_in_the_branches_of_guidance_that_are_ticked(page):
    page.press(".welcome button")
    page.press('[aria-label="More of text"]')
    branch = '[data-condition=text] [title="text is in the {} branch of guidance"] input'
    page.press(branch.format("negative"))
    page.wait(lambda: "negative" in page.document()["request"], "text is in the negative branch")
    assert set(page.document()["request"]["negative"]) == {"text", "motion"}
    page.press(branch.format("positive"))
    page.wait(lambda: page.document()["request"].get("positive") == ["motion"], "and not in the positive one")
    for name in ("positive", "negative"):
        page.press(branch.format(name))
    page.wait(
        lambda: not {"positive", "negative"} & set(page.document()["request"]), "all is the default again"
    )


def test_an_area_and_an_array_are_taken_as_files(page, media, tmp_path):
    np.save(tmp_path / "flow.npy", np.ones((16, 64, 64, 2), np.float32))
    page.choose("A file for motion", tmp_path / "flow.npy")
    page.wait(lambda: page.condition("motion"), "the array is taken")
    page.press('[aria-label="More of motion"]')
    page.choose("A picture of where motion holds", media / "first.png")
    page.wait(lambda: "strength" in page.condition("motion"), "the area is taken")
    assert page.condition("motion")["strength"]["area"].endswith(".png")
    page.wait(lambda: page.js("return vcjax.app.jobs.preview?.images.motion") == 16, "the server takes both")
    assert page.js("return vcjax.app.errors") == {}


def test_the_cards_stay_where_they_are_when_their_pictures_come(page, media):
    place = "return document.querySelector('[data-condition=single_sketch]').getBoundingClientRect().top"
    page.js("""
      window.boxes = new Set();
      vcjax.app.renderers.add(() => vcjax.app.doc.request.conditions.depth
        && boxes.add(document.querySelector("[data-condition=single_sketch]").getBoundingClientRect().top));
    """)
    page.choose("A video that depth is extracted from", media / "walk.mp4")
    page.wait(lambda: "reading" in page.find("[data-condition=depth] .thumb").text, "a picture is announced")
    drawn = "return Boolean(document.querySelector('[data-condition=depth] .thumb canvas')?.sheet.image)"
    page.wait(lambda: page.js(drawn), "the picture is there")
    page.wait(lambda: page.find("[data-condition=depth] .thumb").text == "", "nothing is announced any more")
    assert page.js("return [...boxes]") == [page.js(place)]


def test_the_button_of_a_picture_at_a_frame_follows_the_frame_and_keeps_its_width(page):
    page.tool("mask-polygon")
    button = page.find('[data-condition=mask] label[title^="A picture that the frame"]')
    widths = set()
    for frame in (0, 9, 10, 15):
        page.show_frame(frame)
        page.wait(lambda frame=frame: button.text == f"Picture at frame {frame}", f"it names frame {frame}")
        widths.add(button.rect["width"])
    assert len(widths) == 1
    page.js("document.activeElement.blur()")
    page.keys(Keys.SPACE)
    page.wait(lambda: page.js("return vcjax.app.clock.playing"), "it plays")
    page.wait(lambda: button.text != "Picture at frame 15", "it follows what plays")


def test_a_mask_says_that_its_holes_are_random_until_one_is_drawn(page, media):
    page.choose("A video that mask is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("mask"), "the mask has its source")
    card = page.find("[data-condition=mask]")
    page.wait(lambda: "random holes until a mask is drawn" in card.text, "it is said")
    page.tool("mask-brush")
    page.drag((10, 20), (50, 20))
    page.wait(lambda: "random holes" not in card.text, "it is not true any more")


def test_names_of_conditions_are_shown_with_spaces(page):
    assert page.find("[data-condition=single_sketch] strong").text == "single sketch"
