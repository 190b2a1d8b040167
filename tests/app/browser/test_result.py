"""The player of results: seeking a frame, alone and in a comparison."""

import itertools

import pytest
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser
SLIDER = "#result .scrub"
FRAMES_SHOWN = (
    "return [...document.querySelectorAll('#result canvas.sheet')].map((c) => Number(c.dataset.frame))"
)


def seek_with_the_slider(page):
    """Click, drag and press keys on the slider; each must show the frame that it stands at."""
    page.js("vcjax.app.clock.seek(0)")
    box = page.find(SLIDER).rect
    thumb = 16

    def at(frame):
        return (
            box["x"] + thumb / 2 + (box["width"] - thumb) * frame / 15,
            box["y"] + box["height"] / 2,
        )

    def shows(frame):
        page.wait(lambda: set(page.js(FRAMES_SHOWN)) == {frame}, f"frame {frame} is shown")
        assert page.find("#result .frame-number").text == f"{frame} / 15"
        assert page.find(SLIDER).get_property("value") == str(frame)

    for kind in ("move", "down", "up"):
        page.mouse(kind, at(11), on_screen=True)
    shows(11)
    page.mouse("down", at(11), on_screen=True)
    for frame in (9, 6, 4):
        page.mouse("move", at(frame), on_screen=True)
        shows(frame)
    page.mouse("up", at(4), on_screen=True)
    page.keys(Keys.ARROW_RIGHT)
    shows(5)
    page.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    shows(3)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_slider_of_a_result_seeks_alone_and_in_a_comparison(page, server, width):
    jobs = [server.run({"steps": 1, "seeds": [seed]})["id"] for seed in (1, 2)]
    page.resize(width, 844)
    page.tab("gallery")
    page.press(f'[data-job="{jobs[0]}"] .poster')
    page.wait(lambda: page.js("return vcjax.app.clock.playing"), "it plays")
    seek_with_the_slider(page)
    page.tab("gallery")
    for job in jobs:
        page.press(f'[data-job="{job}"] .check input')
    page.press(".gallery-head button")
    page.wait(lambda: len(page.js(FRAMES_SHOWN)) == 2, "two videos play")
    seek_with_the_slider(page)


@pytest.mark.parametrize(
    ("height", "size"), [(800, [64, 64]), (620, [64, 64]), (800, [96, 48]), (800, [48, 96])]
)
def test_video_controls_and_actions_are_seen_at_once(page, server, height, size):
    job = server.run({"steps": 1, "size": size, "conditions": {"text": {"value": "a circle"}}})["id"]
    page.resize(1280, height)
    page.tab("gallery")
    page.press(f'[data-job="{job}"] .poster')
    video = page.find("#result .stage-video canvas")
    page.wait(lambda: video.get_property("width") == size[1], "the video is there")
    box = video.rect
    assert box["width"] / box["height"] == pytest.approx(size[1] / size[0], rel=0.02)
    tops = [
        page.find(f"#result {selector}").rect
        for selector in (".stage-video", ".transport", "[title^='Load this']")
    ]
    for above, below in itertools.pairwise(tops):
        assert above["y"] + above["height"] <= below["y"]
    assert tops[-1]["y"] + tops[-1]["height"] <= height
    for sheet in page.all("#result .sheets canvas"):
        assert sheet.rect["y"] >= tops[-1]["y"]
