"""What somebody can do on the page, from an empty one to a video and back."""

import json

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser
PLAYED = ".stage-video canvas.sheet"


def frames_shown(page):
    """Wait until the video has shown three different frames."""
    seen = set()

    def three():
        seen.add(page.js("return document.querySelector(arguments[0])?.dataset.frame", PLAYED))
        return len(seen - {None}) > 2

    page.wait(three, "the video plays")


def test_a_picture_strokes_a_camera_and_depth_of_a_video_become_a_video_that_can_be_replayed(
    page, media, server, tmp_path
):
    page.drop("#canvas-holder", media / "first.png")
    page.wait(lambda: page.condition("image"), "the picture is the first image")
    page.tool("stroke")
    page.drag((20, 30), (50, 34))
    page.drag((12, 50), (12, 20))
    page.tool("camera")
    page.drag((32, 32), (40, 32))
    page.choose("A video that depth is extracted from", media / "walk.mp4")
    page.wait(lambda: page.condition("depth"), "depth has its source")
    page.fill("Steps", 4)
    motion = page.condition("motion")["value"]
    assert len(motion["strokes"]) == 2
    assert motion["camera"]["pan"] == pytest.approx([8, 0], abs=0.2)

    job = page.generate()
    frames_shown(page)
    assert {"image", "motion", "depth"} <= set(job["conditions"])
    assert len(page.all(".sheets canvas")) == len(job["conditions"])

    video = tmp_path / "out.mp4"
    video.write_bytes(httpx.get(f"{server.address}api/requests/{job['id']}/video.mp4").content)
    before = page.document()
    page.open()
    assert page.document() == before
    page.press(".new")
    page.wait(lambda: page.document()["request"]["conditions"] == {}, "the document is empty")
    page.drop("body", video)
    page.wait(lambda: page.condition("motion"), "the request of the video is restored")
    restored = page.document()["request"]
    assert restored["conditions"]["motion"]["value"] == motion
    assert restored["steps"] == 4
    assert restored["conditions"]["image"]["value"] == before["request"]["conditions"]["image"]["value"]
    assert {"branches", "positive", "negative"}.isdisjoint(restored)  # they are the defaults
    page.keys("z", control=True)
    assert page.document()["request"]["conditions"] == {}


def test_a_reload_loses_no_running_request(page):
    page.fill("Steps", 12)
    page.press(".generate")
    page.wait(lambda: page.js("return vcjax.app.view.job"), "the request is sent")
    identifier = page.js("return vcjax.app.view.job")
    page.open()
    assert page.finished()["id"] == identifier
    frames_shown(page)


def test_a_chain_of_branches_is_kept_and_two_branches_are_the_positive_and_the_negative_one(page, tmp_path):
    conditions = {"text": {"value": "a circle"}, "style": {"value": "upload:0.npy"}}
    path = tmp_path / "request.json"
    for branches, expected in (
        ([[], ["text"]], {"positive": ["text"]}),
        ([["style"], ["text", "style"]], {"negative": ["style"]}),
        ([[], ["text", "style"]], {}),
        ([[], ["text"], ["text", "style"]], {"branches": [[], ["text"], ["text", "style"]]}),
    ):
        path.write_text(json.dumps({"conditions": conditions, "branches": branches, "steps": len(branches)}))
        page.press(".new")
        page.drop("body", path)
        page.wait(lambda: page.document()["request"]["conditions"], "the request is restored")
        request = page.document()["request"]
        assert {
            key: request[key] for key in ("branches", "positive", "negative") if key in request
        } == expected


def test_an_empty_document_becomes_a_video(page):
    page.fill("Steps", 2)
    page.generate()
    frames_shown(page)


def test_the_example_becomes_a_video(page):
    page.press(".welcome button")
    assert {"text", "motion"} <= set(page.document()["request"]["conditions"])
    page.fill("Steps", 2)
    page.generate()
    frames_shown(page)


def test_the_whole_way_with_the_keyboard_alone(page):
    page.keys("g")
    page.wait(lambda: page.focused() == "Canvas", "the canvas has the focus")
    page.keys("s")
    page.wait(lambda: page.focused() == "Canvas", "the canvas has the focus")
    page.keys(Keys.ARROW_LEFT, Keys.ENTER)  # the crosshair appears in the middle, where the line begins
    page.keys(Keys.ARROW_RIGHT, shift=True)
    page.keys(Keys.ARROW_RIGHT, Keys.ENTER, Keys.ENTER)  # 11 pixels to the right it ends
    assert page.condition("motion")["value"]["strokes"] == [{"points": [[32, 32], [43, 32]]}]

    page.keys("v", Keys.ARROW_DOWN)
    assert page.condition("motion")["value"]["strokes"] == [{"points": [[32, 33], [43, 33]]}]
    reached = []
    while page.focused() != "text":
        page.keys(Keys.TAB, shift=True)
        reached.append(page.focused())
        assert len(reached) < 80, "the text cannot be reached"
    page.keys("a red circle")
    page.keys(Keys.ENTER, control=True)
    page.finished()
    assert page.condition("text")["value"] == "a red circle"
    playing = page.js("return vcjax.app.clock.playing")
    page.js("document.activeElement.blur()")
    page.keys(Keys.SPACE)
    assert page.js("return vcjax.app.clock.playing") != playing


def test_every_control_can_be_reached_and_says_what_it_is(page):
    page.press(".welcome button")
    page.js("document.activeElement.blur()")
    labels, first = [], None
    for _ in range(200):
        page.keys(Keys.TAB)
        label = page.focused()
        first = first or label
        if len(labels) > 20 and label == first:
            break
        labels.append(label)
    assert {
        "Canvas",
        "text",
        "Generate",
        "Steps",
        "Stroke",
        "Frame of the clip",
        "Strength of motion",
    } <= set(labels)
    nameless = page.js("""
      return [...document.querySelectorAll("button, input, select, textarea, [tabindex='0']")]
        .filter((node) => node.offsetParent && !(node.getAttribute("aria-label") || node.textContent.trim()
          || node.labels?.[0]?.textContent.trim())).map((node) => node.outerHTML.slice(0, 120))
    """)
    assert nameless == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_view_scrolls_sideways(page, width):
    page.resize(width, 844)
    page.press(".welcome button")
    for name in ("edit", "conditions", "settings", "result", "gallery"):
        page.js("vcjax.app.setView({ tab: arguments[0], open: { motion: true } })", name)
        page.wait(
            lambda name=name: page.js("return document.querySelector('main').dataset.tab") == name, name
        )
        assert page.js("return document.documentElement.scrollWidth") <= width
        out = page.js("""
          return [...document.querySelectorAll("body *")].filter((node) => node.offsetParent && !node.closest(".tools")
            && node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.className)
        """)
        assert out == []
        scrolled = page.js("""
          return [...document.querySelectorAll("main, main *")].filter((node) => node.offsetParent && !node.matches(".tools")
            && ["auto", "scroll"].includes(getComputedStyle(node).overflowX) && node.scrollWidth > node.clientWidth)
            .map((node) => node.className)
        """)
        assert scrolled == []


def test_controls_are_large_enough_for_fingers_on_a_narrow_screen(page):
    page.resize(390, 844)
    page.press(".welcome button")
    for name in ("edit", "conditions", "settings"):
        page.tab(name)
        small = page.js("""
          return [...document.querySelectorAll("button:not(.mark), select, input:not([type=checkbox], [type=file]), .file-button")]
            .filter((node) => node.offsetParent && node.getBoundingClientRect().height < 43.5)
            .map((node) => node.outerHTML.slice(0, 100))
        """)
        assert small == []


def luminance(page, selector, what):
    """Relative luminance of a colour, as WCAG 2 defines it."""
    text = page.js(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, what
    )
    channels = [float(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(page, scheme):
    page.scheme(scheme)
    for selector, behind in (
        (".panel-title", ".tray"),
        (".card strong", ".card"),
        (".generate", ".generate"),
    ):
        text, ground = luminance(page, selector, "color"), luminance(page, behind, "backgroundColor")
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5
    assert (luminance(page, "body", "backgroundColor") > 0.5) == (scheme == "light")


def test_errors_of_the_server_stand_beside_what_they_are_about(page, server, tmp_path):
    import numpy as np

    page.fill("Steps", -3)
    page.press(".generate")
    shown = page.find("#error-steps")
    refused = server.submit({"steps": -3}).json()
    assert refused["field"] == "steps"
    assert shown.text == refused["error"]
    steps = page.find('[aria-label="Steps"]')
    assert steps.get_attribute("aria-describedby") == "error-steps"
    page.js("vcjax.app.jobs.askPreview = () => {}")  # the server is not asked again
    page.fill("Seed", 3)
    assert page.all("#error-steps")
    page.fill("Steps", "")
    page.wait(lambda: not page.all("#error-steps"), "the error goes with its cause")
    page.open()

    np.save(tmp_path / "depth.npy", np.zeros((3, 5, 7), np.float32))
    page.choose("A file for depth", tmp_path / "depth.npy")
    error = page.find("[data-condition=depth] .error")
    assert "depth.npy" in error.text
    (tmp_path / "notes.txt").write_text("nothing")
    page.choose("A file for sketch", tmp_path / "notes.txt")
    assert "notes.txt" in page.find("[data-condition=sketch] .error").text


def test_a_condition_that_only_the_catalogue_names_gets_a_card(page):
    page.driver.execute_cdp_cmd("Network.setBypassServiceWorker", {"bypass": True})
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
      const fetched = window.fetch;
      window.fetch = async (path, ...rest) => {
        const response = await fetched(path, ...rest);
        if (path !== "/api/catalogue") return response;
        const table = await response.json();
        table.models[0].conditions.push({ name: "canny", kind: "temporal", summary: "edges", accepts: "edges as a video",
          extractable: true, lacks: [], extract_options: { threshold: "the least contrast" }, words: ["threshold"],
          drawing: "picture", composites: false, drawn_over: "" });
        return new Response(JSON.stringify(table), { headers: { "content-type": "application/json" } });
      };
    """})  # fmt: skip
    try:
        page.open()
        card = page.find("[data-condition=canny]")
        assert [label.text for label in card.find_elements("css selector", ".ways > *")] == [
            "File", "From video", "Draw",
        ]  # fmt: skip
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_the_gallery_goes_on_from_a_video(page, server):
    page.fill("Steps", 2)
    page.fill("Seed", 5)
    first = page.generate()
    second = server.run({"steps": 2, "seeds": [6]})
    page.tab("gallery")
    item = f'[data-job="{first["id"]}"]'
    page.find(f'[data-job="{second["id"]}"]')
    for job in (first, second):
        page.press(f'[data-job="{job["id"]}"] .check input')
    page.press(".gallery-head button")
    page.wait(lambda: len(page.all(".compared canvas")) == 2, "two videos play side by side")
    same = (
        "return new Set([...document.querySelectorAll('.compared canvas')].map((c) => c.dataset.frame)).size"
    )
    page.wait(lambda: page.js(same) == 1, "they are in step")

    page.tab("gallery")
    page.fill("Seed", 9)
    page.press(f"{item} .item-actions summary")
    page.press(f'{item} [title^="Load this request"]')
    page.wait(lambda: page.document()["request"].get("seeds") == [5], "the request is in the editor")
    page.keys("z", control=True)
    assert page.document()["request"]["seeds"] == [9]

    page.tab("gallery")
    page.press(f'{item} [title^="Delete"]')
    page.press(f'{item} [title^="Delete"]')
    page.wait(lambda: not page.all(item), "the video is deleted")
    assert server.http.get(f"/api/requests/{first['id']}").status_code == 404


def test_the_sentence_about_a_field_has_the_width_of_the_panel_and_is_said_once(page):
    page.fill("Frames", -3)
    page.press(".generate")
    shown = page.find("#error-frames")
    assert shown.rect["width"] >= page.find("#settings .pair").rect["width"]
    assert page.find("#status").text == ""
    assert page.all("#banner .row") == []


def said(page, sentence):
    """How often a sentence can be read on the page."""
    return page.js("return document.body.innerText").count(sentence)


def test_a_refused_file_is_said_once_where_it_was_dropped(page, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    page.drop("[data-condition=motion]", tmp_path / "notes.txt")
    page.find("[data-condition=motion] .error")
    page.wait(lambda: said(page, "'notes.txt'") == 1, "it is said once")
    page.drop(".shared", tmp_path / "notes.txt")
    page.find(".shared .error")
    page.wait(lambda: said(page, "'notes.txt'") == 1, "it is said once, elsewhere")

    for target in ("#canvas-holder", "body"):
        page.drop(target, tmp_path / "notes.txt")
        banner = page.find("#banner .row")
        page.wait(lambda: page.find("#status").text == "", "nothing else is said")
        assert "notes.txt" in banner.text
        page.press(".tool[data-tool=camera]")
        page.wait(lambda: not page.all("#banner .row"), "it goes with the next action")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_toast_stands_under_the_top_bar_and_covers_no_card(page, width):
    page.resize(width, 844)
    page.js("vcjax.app.announce('The video is done after 3.2 s.')")
    toast = page.wait(lambda: page.find("#status").text and page.find("#status").rect, "the toast is there")
    bar = page.find("#header").rect
    assert 0 <= toast["y"] - (bar["y"] + bar["height"]) <= 12
    assert toast["x"] >= 0
    assert toast["x"] + toast["width"] <= width
    if width == 1280:
        tray = page.find("#tray").rect
        assert toast["x"] >= tray["x"] + tray["width"]


def test_the_hint_of_a_narrow_page_lies_below_the_canvas(page):
    page.resize(390, 844)
    canvas, hint = page.find("canvas.canvas"), page.find(".welcome")
    page.wait(lambda: hint.rect["y"] >= canvas.rect["y"] + canvas.rect["height"] - 1, "it is below")
    assert hint.rect["y"] + hint.rect["height"] <= page.find("#timeline").rect["y"] + 1
    before = canvas.rect
    page.mouse("move", (16, 16))
    page.mouse("down", (16, 16))
    page.mouse("move", (40, 40))
    assert canvas.rect == before  # it does not change its size under the pointer
    page.mouse("up", (40, 40))
    page.wait(lambda: page.condition("motion"), "the arrow is drawn")
    points = page.condition("motion")["value"]["strokes"][0]["points"]
    assert points == [pytest.approx([16, 16], abs=0.2), pytest.approx([40, 40], abs=0.2)]
    assert not page.all(".welcome")


def test_the_row_of_tools_has_captions_and_its_last_tool_can_be_reached(page):
    assert [caption.text for caption in page.all(".tool-caption")] == ["Motion", "Mask", "Lines"]
    page.resize(390, 844)
    page.tool("picture-erase")
    tools, last = page.find(".tools"), page.find(".tool[data-tool=picture-erase]")
    page.js("arguments[0].scrollLeft = 1e4", tools)
    assert last.rect["x"] + last.rect["width"] <= tools.rect["x"] + tools.rect["width"] - 40
