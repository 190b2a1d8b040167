"""Drawings on the page: what is drawn, the motion field that it gives, and that nothing of it is lost."""

import base64
import json

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

import vcjax
from vcjax.conditions.drawing import inside

pytestmark = pytest.mark.browser

LINE = {"points": [[12, 40], [50, 40]]}
BENT = {"points": [[32, 8], [32, 20], [44, 20]], "times": [0, 0.5, 1], "width": 12, "easing": "ease-in-out"}
BOX = [[4, 32], [20.5, 33], [20, 48.2], [4.3, 47]]
TURNS = {"rotation": [[0, 10], [0.7, -90]], "scale": [[0, 1.3], [1, 0.6]]}
PATH = [{"time": 0.1, "pan": [2, 1]}, {"time": 0.6, "zoom": 1.4, "roll": 20}, {"time": 0.9, "pan": [-4, 3]}]
DRAWINGS = [
    {"strokes": [LINE]},
    {"strokes": [BENT, LINE]},
    {"strokes": [LINE | {"region": BOX, "easing": "ease-in"}]},
    {"strokes": [LINE | {"easing": "ease-out", "times": [0.2, 0.8]}]},
    {"strokes": [{"points": [[50, 50]], "width": 10} | TURNS]},
    {"strokes": [LINE | TURNS | {"region": BOX}, BENT]},
    {"strokes": [{"points": [[10, 10], [10, 10]]}]},
    {"camera": {"pan": [8, -3]}},
    {"camera": {"zoom": 1.5, "roll": -25, "easing": "ease-in-out"}},
    {"camera": {"path": PATH, "easing": "ease-in"}},
    {"strokes": [{"points": [[20, 20]]}], "camera": {"zoom": 0.6}},
    {"strokes": [BENT | TURNS, LINE, LINE | {"region": BOX}], "camera": {"path": PATH}},
    {"size": [120, 50], "strokes": [LINE | {"region": BOX} | TURNS], "camera": {"pan": [5, 5], "roll": 9}},
]


@pytest.mark.parametrize("clip", [(16, 64, 64), (5, 40, 72)])
def test_the_field_of_the_page_is_that_of_python(page, clip):
    for drawing in DRAWINGS:
        table = {"size": [64, 64]} | drawing
        data = page.driver.execute_async_script(
            """
            const [table, clip, done] = arguments;
            import("/strokes.js").then(({ Motion }) => {
              const bytes = new Uint8Array(new Motion(table, ...clip).field().buffer);
              let text = "";
              for (const byte of bytes) text += String.fromCharCode(byte);
              done(btoa(text));
            });
            """,
            table,
            clip,
        )
        field = np.frombuffer(base64.b64decode(data), np.float32).reshape(*clip, 2)
        expected = vcjax.strokes(table).field(*clip)
        assert np.abs(field - expected).max() < 1e-6, table


def test_a_line_is_drawn_changed_copied_and_deleted(page):
    def strokes():
        return (page.condition("motion") or {"value": {}})["value"].get("strokes", [])

    page.tool("stroke")
    page.click((10, 10), (30, 12), (50, 10))
    page.keys(Keys.ENTER)
    page.wait(lambda: len(strokes()) == 1, "the line is ended")
    np.testing.assert_allclose(strokes()[0]["points"], [[10, 10], [30, 12], [50, 10]], atol=0.1)
    page.click((20, 11))  # on the line: a fourth point
    page.wait(lambda: len(strokes()[0]["points"]) == 4, "a point is added")
    page.drag((20, 11), (20, 24))
    assert strokes()[0]["points"][1] == pytest.approx([20, 24], abs=0.2)
    page.keys(Keys.DELETE)
    np.testing.assert_allclose(strokes()[0]["points"], [[10, 10], [30, 12], [50, 10]], atol=0.1)

    page.tool("select")
    page.click((40, 11))
    page.keys("d", control=True)
    page.wait(lambda: len(strokes()) == 2, "there is a copy")
    shift = np.subtract(strokes()[1]["points"], strokes()[0]["points"])
    assert np.ptp(shift, axis=0).max() < 1e-6
    assert np.abs(shift).max() > 1
    page.keys(Keys.DELETE)
    page.click((40, 11))
    page.keys(Keys.DELETE)
    page.wait(lambda: page.condition("motion") is None, "nothing is left")


def test_the_field_follows_the_drawing_while_it_is_drawn(page):
    page.tool("stroke")
    page.js("vcjax.app.setView({ field: 'colours' })")
    page.mouse("move", (20, 32))
    page.mouse("down", (20, 32))
    page.mouse("move", (40, 32))
    inner = page.js("return vcjax.app.editor.shownTable().strokes")
    page.mouse("up", (40, 32))
    assert inner[0]["points"] == page.condition("motion")["value"]["strokes"][0]["points"]


def test_a_painted_region_covers_what_was_painted(page):
    page.tool("stroke")
    page.drag((20, 20), (50, 20))
    page.tool("region-brush")
    page.fill("Width", 10)
    page.drag((16, 30), (36, 30))
    page.wait(lambda: "region" in page.condition("motion")["value"]["strokes"][0], "the region is traced")
    region = np.array(page.condition("motion")["value"]["strokes"][0]["region"])
    x, y = np.meshgrid(np.arange(0.25, 64, 0.5), np.arange(0.25, 64, 0.5))
    painted = np.hypot(x - np.clip(x, 16, 36), y - 30) <= 5
    traced = inside(region, np.stack([x, y], -1))
    assert (painted & traced).sum() / (painted | traced).sum() > 0.93


def test_fifty_steps_are_undone_and_done_again_exactly(page):
    documents = [page.document()]
    page.tool("stroke")
    for i in range(25):
        page.drag((4 + i * 2, 6), (6 + i * 2, 50), pieces=1)
        page.wait(lambda i=i: len(page.condition("motion")["value"]["strokes"]) == i + 1, "it is drawn")
        documents.append(page.document())
    for i in range(25):
        page.fill("Seed", i + 1)
        documents.append(page.document())
    assert len({json.dumps(document) for document in documents}) == 51
    for document in reversed(documents[:-1]):
        page.keys("z", control=True)
        assert page.document() == document
    for document in documents[1:]:
        page.keys("y", control=True)
        assert page.document() == document
    page.open()
    assert page.document() == documents[-1]
    for document in reversed(documents[:-1]):
        page.keys("z", control=True)
        assert page.document() == document


def test_where_the_browser_keeps_little_the_oldest_steps_go_first(page):
    kept = page.driver.execute_async_script("""
      const done = arguments[0];
      const table = new Map();
      const small = {
        getItem: (key) => table.get(key) ?? null,
        removeItem: (key) => table.delete(key),
        setItem: (key, text) => {
          if ([...table.values(), text].join("").length > 4000) throw new DOMException("full", "QuotaExceededError");
          table.set(key, text);
        },
      };
      import("/store.js").then(({ Store }) => {
        const store = new Store(small, { request: { conditions: {} }, step: 0 });
        for (let i = 1; i <= 300; i++) store.change((doc) => (doc.step = i));
        const again = new Store(small, { request: { conditions: {} }, step: -1 });
        const steps = [];
        while (again.canUndo) { steps.push(again.doc.step); again.undo(); }
        let undone = 0;
        while (store.canUndo) { store.undo(); undone += 1; }
        done({ steps, undone });
      });
    """)
    assert kept["undone"] == 300
    steps = kept["steps"]
    assert len(steps) > 30
    assert steps == list(range(300, 300 - len(steps), -1))


def test_a_drawing_is_kept_after_a_reload(page, media):
    page.drop("[data-condition=motion]", media / "strokes.json")
    page.wait(lambda: page.condition("motion"), "the drawing is taken")
    assert page.condition("motion")["value"] == json.loads((media / "strokes.json").read_text())
    page.tool("select")
    page.click((31, 30))
    page.show_frame(8)
    for title in ("scale", "rotation"):
        page.press(f'[title^="Add a key at this frame ({"factor" if title == "scale" else "degrees"})"]')
    page.fill("factor of Scale keys 2", 1.5)
    page.fill("degrees of Rotation keys 2", 45)
    stroke = page.condition("motion")["value"]["strokes"][0]
    assert stroke["scale"] == [[0, 1], [pytest.approx(8 / 15, abs=1e-6), 1.5]]
    assert stroke["rotation"] == [[0, 0], [pytest.approx(8 / 15, abs=1e-6), 45]]
    page.open()
    assert page.condition("motion")["value"]["strokes"] == [stroke]
    assert page.js("return vcjax.app.view.selection") == ["stroke:0"]
    vcjax.strokes(page.condition("motion")["value"])


def test_a_camera_path_has_keys_at_the_frames_where_it_was_set(page):
    page.tool("camera")
    page.drag((32, 32), (38, 32))
    page.press("[aria-label=Camera] .check input")
    page.show_frame(6)
    page.wait(lambda: page.find(".frame-number").text == "6 / 15", "frame 6 is shown")
    page.fill("Zoom", 1.5)
    path = page.condition("motion")["value"]["camera"]["path"]
    assert [key["time"] for key in path] == pytest.approx([0, 6 / 15, 1])
    assert path[1]["zoom"] == 1.5
    assert path[1]["pan"] == pytest.approx([2.4, 0], abs=0.1)
    assert path[2]["pan"] == pytest.approx([6, 0], abs=0.1)


def test_a_line_that_was_just_painted_is_part_of_the_request(page):
    page.fill("Steps", 2)
    page.press('[data-condition="single_sketch"] .way')
    page.drag((8, 32), (56, 32))
    page.keys(Keys.ENTER, control=True)
    assert "single_sketch" in page.finished()["request"]["conditions"]


def test_lines_that_are_painted_become_a_picture_of_the_clips_size(page, server):
    import io

    from PIL import Image

    page.press('[data-condition="single_sketch"] .way')
    page.drag((8, 32), (56, 32))
    page.wait(lambda: page.condition("single_sketch"), "the picture is saved")
    first = page.condition("single_sketch")["value"]
    content = server.http.get(f"/api/uploads/{first.removeprefix('upload:')}").content
    picture = np.array(Image.open(io.BytesIO(content)).convert("L"))
    assert picture.shape == (64, 64)
    assert picture[32, 10:54].min() > 200
    assert picture[50].max() == 0
    page.drag((32, 8), (32, 56))
    page.wait(lambda: page.condition("single_sketch")["value"] != first, "the second line is saved")
    page.keys("z", control=True)
    assert page.condition("single_sketch")["value"] == first


def test_a_strength_curve_is_drawn_and_changed_by_keys(page):
    page.press(".welcome button")
    page.press('[aria-label="More of motion"]')
    plot = page.find("[data-condition=motion] .curve-plot")
    page.js("arguments[0].scrollIntoView({ block: 'center' })", plot)
    box = plot.rect
    for across, up in ((0.03, 0.5), (0.97, 0.95)):
        point = (box["x"] + across * box["width"], box["y"] + up * box["height"])
        for kind in ("move", "down", "up"):
            page.mouse(kind, point, on_screen=True)
    page.wait(lambda: len(page.condition("motion")["strength"]["frames"]) == 2, "there are two points")
    assert page.condition("motion")["strength"]["frames"] == [[0, pytest.approx(1, abs=0.05)], [15, 0]]
    page.js("arguments[0].focus()", page.find(".curve-point[data-index='1']"))
    page.keys(Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert page.condition("motion")["strength"]["frames"][1] == [14, 0.05]
    page.keys(Keys.DELETE)
    assert len(page.condition("motion")["strength"]["frames"]) == 1
    page.fill("to", 60)
    assert page.condition("motion")["strength"]["steps"] == [0, 60]


def test_a_new_page_is_ready_to_draw(page):
    page.press(".welcome button")
    page.tool("select")
    page.show_frame(7)
    page.js("document.activeElement.blur()")
    page.keys(Keys.SPACE)
    page.wait(lambda: page.js("return vcjax.app.clock.playing"), "it plays")
    for begin in (lambda: page.press(".new"), page.open):
        begin()
        page.wait(
            lambda: page.find("canvas.canvas").get_attribute("data-tool") == "stroke", "a stroke is drawn"
        )
        assert page.find(".tool[data-tool=stroke]").get_attribute("aria-pressed") == "true"
        assert page.find(".frame-number").text == "0 / 15"
        assert not page.js("return vcjax.app.clock.playing")
        page.drag((16, 20), (48, 20))
        page.wait(lambda: len(page.condition("motion")["value"]["strokes"]) == 1, "the arrow is there")
        page.keys("z", control=True)
        page.tool("select")


def test_times_are_shown_and_edited_as_frames(page, tmp_path):
    points = [[10, 10], [20, 10], [30, 12], [40, 10]]
    stroke = {"points": points, "times": [0.1, 1 / 3, 0.123456789 + 0.4, 1], "rotation": [[0, 0], [0.7, 9]]}
    (tmp_path / "drawing.json").write_text(json.dumps({"size": [64, 64], "strokes": [stroke]}))
    page.drop("[data-condition=motion]", tmp_path / "drawing.json")
    page.wait(lambda: page.condition("motion"), "the drawing is taken")
    page.tool("select")
    page.click((25, 11))
    fields = page.wait(lambda: page.all('#inspector [aria-label^="frame of"]'), "frames are shown")
    assert [field.get_property("value") for field in fields] == ["1.5", "5", "7.852", "15", "0", "10.5"]
    for field in fields:
        field.click()
        field.send_keys(Keys.END, Keys.TAB)
    assert page.condition("motion")["value"]["strokes"] == [stroke]
    page.fill("frame of point 2", 6)
    page.fill("frame of Rotation keys 2", 15)
    changed = page.condition("motion")["value"]["strokes"][0]
    assert changed["times"] == [0.1, pytest.approx(6 / 15), stroke["times"][2], 1]
    assert changed["rotation"] == [[0, 0], [1, 9]]
    assert page.find(".mark.point:nth-child(2)").get_attribute("title") == "point 2, at frame 6"


def test_the_first_point_of_a_curve_keeps_the_strength_of_the_first_frame(page):
    page.press(".welcome button")
    page.press('[aria-label="More of motion"]')
    plot = page.find("[data-condition=motion] .curve-plot")
    page.js("arguments[0].scrollIntoView({ block: 'center' })", plot)
    box = plot.rect
    across, up = (8 + 8 / 15 * 224) / 240, (8 + 0.75 * 68) / 84  # frame 8, factor 0.5
    for kind in ("move", "down", "up"):
        page.mouse(kind, (box["x"] + across * box["width"], box["y"] + up * box["height"]), on_screen=True)
    page.wait(lambda: "strength" in page.condition("motion"), "the curve begins")
    assert page.condition("motion")["strength"]["frames"] == [[0, 1], [8, 0.5]]


def test_a_line_in_progress_is_not_drawn_on_the_new_page(page):
    page.tool("stroke")
    page.click((10, 10), (40, 12))
    page.press(".new")
    page.wait(lambda: page.all(".welcome:not(.unwanted)"), "the page is empty")
    assert page.document()["request"]["conditions"] == {}
    page.keys("z", control=True)
    assert len(page.condition("motion")["value"]["strokes"]) == 1
