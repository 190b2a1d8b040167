"""The page as somebody uses it: pointer, keys, dropped files, and what is seen."""

import base64
import itertools
import mimetypes
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

WAIT_SECONDS = 90  # for a video, on a busy machine
POLL_SECONDS = 0.03
EXPECTED = ("favicon", "status of 4")  # errors of the server are shown by the browser's console too
DROP = """
  const [selector, name, type, data] = arguments;
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type }));
  const target = document.querySelector(selector);
  for (const kind of ["dragenter", "dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
"""
TO_SCREEN = """
  const { viewport, canvas } = vcjax.app.editor, box = canvas.getBoundingClientRect();
  const [x, y] = viewport.screen(arguments[0]);
  return [box.left + x, box.top + y];
"""


class Page:
    """Drives a browser; points are pixels of the drawing."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address
        self.held = False

    def open(self, fresh=False):
        """Load the page, as somebody who has never seen it where `fresh`."""
        if fresh:
            self.driver.get(f"{self.address}icon.svg")
            self.driver.execute_script("localStorage.clear()")
        self.driver.get(self.address)
        self.wait(lambda: self.js("return document.documentElement.dataset.ready"), "the page starts")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what):
        waiting = WebDriverWait(
            self.driver, WAIT_SECONDS, POLL_SECONDS, ignored_exceptions=(StaleElementReferenceException,)
        )
        return waiting.until(lambda _: condition(), f"waited in vain until {what}")

    def console(self):
        """Errors that the page wrote since this was last read."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and not any(text in entry["message"] for text in EXPECTED)
        ]

    def document(self):
        return self.js("return structuredClone(vcjax.app.doc)")

    def condition(self, name):
        return self.document()["request"]["conditions"].get(name)

    def resize(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, selector) -> Any:
        return self.wait(
            lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, selector)), None),
            f"{selector} is there",
        )

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, selector):
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'nearest'})", element)
        element.click()

    def tab(self, name):
        self.press(f".tab.{name}")

    def tool(self, name):
        self.press(f".tool[data-tool={name}]")
        self.wait(lambda: self.find("canvas.canvas").get_attribute("data-tool") == name, f"{name} is in use")

    def fill(self, label, text):
        """Type into the field of a label, and leave it."""
        field = self.find(f':is(input, textarea)[aria-label="{label}"]')
        self.js("arguments[0].scrollIntoView({block: 'nearest'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(text) or Keys.DELETE)
        self.js("arguments[0].blur()", field)

    def drop(self, selector, path):
        kind = mimetypes.guess_type(path.name)[0] or ""
        self.js(DROP, selector, path.name, kind, base64.b64encode(path.read_bytes()).decode())

    def choose(self, label, path):
        """Choose a file with the button of a label."""
        self.find(f'input[type=file][aria-label^="{label}"]').send_keys(str(path))

    def mouse(self, kind, point, on_screen=False):
        x, y = point if on_screen else self.js(TO_SCREEN, list(point))
        names = {"move": "mouseMoved", "down": "mousePressed", "up": "mouseReleased"}
        self.held = kind == "down" or (self.held and kind == "move")
        event = {"type": names[kind], "x": round(x), "y": round(y), "clickCount": int(kind != "move")}
        buttons = {"button": "left" if self.held or kind == "up" else "none", "buttons": int(self.held)}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event | buttons)

    def click(self, *points):
        for point in points:
            for kind in ("move", "down", "up"):
                self.mouse(kind, point)

    def drag(self, *points, pieces=3):
        self.mouse("move", points[0])
        self.mouse("down", points[0])
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            for i in range(1, pieces + 1):
                self.mouse("move", (ax + (bx - ax) * i / pieces, ay + (by - ay) * i / pieces))
        self.mouse("up", points[-1])

    def keys(self, *keys, control=False, shift=False):
        """Press keys one after the other, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver, duration=0)
        held = [Keys.CONTROL] * control + [Keys.SHIFT] * shift
        for key in held:
            actions.key_down(key)
        for key in keys:
            actions.send_keys(key)
        for key in held:
            actions.key_up(key)
        actions.perform()

    def focused(self):
        """Label, text or id of the element that has the focus."""
        return self.js(
            "const node = document.activeElement;"
            "return node.getAttribute('aria-label') || node.id || node.textContent.trim() || node.tagName"
        )

    def show_frame(self, frame):
        self.js("vcjax.app.clock.show(arguments[0])", frame)

    def generate(self):
        """Press Generate, wait for the video, and return its job."""
        self.press(".generate")
        return self.finished()

    def finished(self):
        def done():
            job = self.js("return vcjax.app.view.tab === 'result' && vcjax.app.jobs.open")
            assert not job or job["state"] not in ("failed", "cancelled"), job["error"]
            return job if job and job["state"] == "done" else None

        return self.wait(done, "the video is done")
