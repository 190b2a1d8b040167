"""The client of docs/app.md."""

import re
import subprocess
import sys
from pathlib import Path

import vcjax

PAGE = Path(__file__).resolve().parents[2] / "docs" / "app.md"


def test_the_client_of_the_docs_gets_its_video(server, media, tmp_path):
    (client,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len([line for line in client.splitlines() if line.strip()]) <= 30
    command = [sys.executable, "-c", client, server.address.rstrip("/"), str(media / "walk.mp4")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("done")
    assert len(vcjax.read(tmp_path / "out.mp4").frames) == 16


def test_the_docs_name_every_route(server):
    text = PAGE.read_text("utf-8")
    for path in server.http.get("/api/openapi.json").json()["paths"]:
        last = (
            path.replace("{job}", "ID")
            .replace("{upload}", "ID")
            .replace("{name}", "NAME")
            .replace("{file}", "video.mp4")
        )
        assert last in text or last.split("ID/")[-1] in text, path
