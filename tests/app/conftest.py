"""A server as users start it, and one without workers in this process."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

import vcjax

pytest.importorskip("starlette", reason="the page needs the extra app")
START_SECONDS = 90
WAIT_SECONDS = 120


@dataclasses.dataclass
class Server:
    process: subprocess.Popen
    address: str
    folder: Path
    http: httpx.Client

    def upload(self, path):
        response = self.http.post("/api/uploads", params={"name": path.name}, content=path.read_bytes())
        assert response.status_code == 201, response.text
        return response.json()

    def submit(self, request, kind="requests", client=None):
        headers = {"X-Vcjax-Client": client} if client else {}
        return self.http.post(f"/api/{kind}", json={"request": request}, headers=headers)

    def run(self, request, kind="requests"):
        response = self.submit(request, kind)
        assert response.status_code == 202, response.text
        return self.finished(response.json()["id"])

    def finished(self, identifier):
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            job = self.http.get(f"/api/requests/{identifier}").json()
            if job["state"] in ("done", "failed", "cancelled"):
                return job
            time.sleep(0.05)
        raise AssertionError(f"not finished: {job}")

    def wait_until_ready(self):
        end = time.monotonic() + START_SECONDS
        while self.http.get("/api/health").json()["status"] != "ok":
            assert time.monotonic() < end, "no worker is ready"
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextlib.contextmanager
def running(folder, *options):
    process = subprocess.Popen(
        [sys.executable, "-m", "vcjax", "app", "--port", "0", "--folder", str(folder), *options],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)[0]
        with httpx.Client(base_url=address, timeout=30) as http:
            yield Server(process, address, Path(folder), http)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("app")) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """A picture, and a video in which a red square moves to the right."""
    folder = tmp_path_factory.mktemp("media")
    frames = np.full((16, 64, 64, 3), 40, np.uint8)
    for i in range(16):
        frames[i, 20:40, 2 * i : 2 * i + 20] = (220, 30, 30)
    vcjax.Clip(frames, 8.0).save(folder / "walk.mp4")
    vcjax.Clip(frames[:1], 8.0).save(folder / "first.png")
    strokes = {"size": [64, 64], "strokes": [{"points": [[12, 30], [50, 30]], "easing": "ease-in"}]}
    (folder / "strokes.json").write_text(json.dumps(strokes))
    return folder
