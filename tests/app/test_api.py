"""The HTTP interface with a server and a worker as users start them."""

import io
import json
import shlex
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image

import vcjax
from vcjax.cli.app import app as command
from vcjax.composer.record import read_record
from vcjax.composer.request import Request

QUICK = {"steps": 2, "frames": 4}


@pytest.fixture(scope="module")
def composed(server, media):
    """A request of several conditions, as JSON with uploads, and the job of it."""
    picture, video = server.upload(media / "first.png"), server.upload(media / "walk.mp4")
    request = {
        "conditions": {
            "text": {"value": "a red square"},
            "image": {"value": f"upload:{picture['id']}"},
            "depth": {
                "source": f"upload:{video['id']}",
                "strength": {"value": 0.5, "frames": [[0, 1], [8, 0]]},
            },
            "motion": {"value": json.loads((media / "strokes.json").read_text())},
            "mask": {
                "source": f"upload:{video['id']}",
                "extract_options": {
                    "hide": {
                        "size": [64, 64],
                        "keys": [{"time": 0, "lines": [{"points": [[30, 30]], "width": 20}]}],
                    }
                },
            },
        },
        "negative": ["depth"],
        "guidance": [3.0],
        "steps": 2,
        "seeds": [7],
    }
    return request, server.run(request)


def test_a_request_becomes_the_video_that_the_command_line_makes_of_it(server, composed, tmp_path):
    _, job = composed
    assert job["state"] == "done", job["error"]
    line = shlex.split(server.http.get(f"/api/requests/{job['id']}/command.txt").text)
    assert line[:2] == ["vcjax", "generate"]
    out = tmp_path / "same.mp4"
    subprocess.run([sys.executable, "-m", *line, "--out", str(out)], check=True)
    video = server.http.get(f"/api/requests/{job['id']}/video.mp4").content
    made = tmp_path / "served.mp4"
    made.write_bytes(video)
    np.testing.assert_array_equal(vcjax.read(made).frames, vcjax.read(out).frames)
    assert read_record(made)["model"] == read_record(out)["model"]


def test_the_pictures_of_conditions_are_those_of_the_command_line(server, composed, tmp_path):
    _, job = composed
    line = shlex.split(server.http.get(f"/api/requests/{job['id']}/command.txt").text)
    preview = server.run(job["request"], "previews")
    with pytest.raises(SystemExit):
        command([*line[1:], "--show-conditions", str(tmp_path / "shown")], prog_name="vcjax")
    assert (
        preview["images"] == job["images"] == {"text": 1, "image": 1, "depth": 16, "motion": 16, "mask": 16}
    )
    for name in job["images"]:
        file = (tmp_path / "shown" / f"{name}.png").read_bytes()
        assert server.http.get(f"/api/requests/{job['id']}/conditions/{name}.png").content == file
        assert server.http.get(f"/api/requests/{preview['id']}/conditions/{name}.png").content == file


def test_the_motion_that_is_sampled_is_that_of_the_drawing_to_the_bit(server, composed, media):
    _, job = composed
    complete = Request.from_json(server.http.get(f"/api/requests/{job['id']}").json()["complete"])
    drawn = vcjax.strokes(complete.conditions["motion"].value).field(16, 64, 64)
    np.testing.assert_array_equal(drawn, vcjax.strokes(media / "strokes.json").field(16, 64, 64))
    composer = vcjax.load("tiny")
    read = composer.read({"motion": complete.conditions["motion"].value}, composer.shape)["motion"]
    np.testing.assert_array_equal(read, drawn)


def test_a_video_restores_its_request(server, composed):
    request, job = composed
    video = server.http.get(f"/api/requests/{job['id']}/video.mp4").content
    restored = server.http.post("/api/replay", params={"name": "out.mp4"}, content=video).json()
    assert restored["missing"] == []
    assert restored["request"] == job["complete"]
    again = server.run(restored["request"])
    assert server.http.get(f"/api/requests/{again['id']}/video.mp4").content == video
    as_file = json.dumps(request).encode()
    assert (
        server.http.post("/api/replay", params={"name": "r.json"}, content=as_file).json()["request"]
        == request
    )


def test_a_video_made_elsewhere_says_which_files_are_missing(server, media, tmp_path):
    out = tmp_path / "made.mp4"
    with pytest.raises(SystemExit):
        command(
            [
                "generate",
                "--text",
                "a star",
                "--image",
                str(media / "first.png"),
                "--steps",
                "1",
                "--out",
                str(out),
            ]
        )
    restored = server.http.post("/api/replay", params={"name": "made.mp4"}, content=out.read_bytes()).json()
    assert set(restored["request"]["conditions"]) == {"text"}
    (sentence,) = restored["missing"]
    assert "first.png" in sentence


def test_frames_are_those_that_conditions_take(server, media):
    video = server.upload(media / "walk.mp4")
    assert (video["kind"], video["height"], video["width"], video["name"]) == ("video", 64, 64, "walk.mp4")
    query = {"frames": 16, "fps": 8, "height": 64, "width": 64}
    picture = server.http.get(f"/api/uploads/{video['id']}/frames.png", params=query).content
    cells = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    cells = cells.reshape(4, 64, 4, 64, 3).swapaxes(1, 2).reshape(16, 64, 64, 3)
    np.testing.assert_array_equal(cells, vcjax.read(media / "walk.mp4", fps=8, count=16).frames)


def test_events_report_progress_estimates_and_the_end(server):
    seen = []
    with (
        httpx.Client(base_url=server.address, timeout=60) as http,
        http.stream("GET", "/api/events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "event: health"  # the subscription stands
        job = server.submit({"conditions": {"text": {"value": "a blue circle"}}, "steps": 8}).json()
        event = ""
        for line in lines:
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if data.get("id") == job["id"]:
                    seen.append((event, data.get("state"), data.get("phase")))
                    if data.get("state") == "done":
                        break
    assert ("job", "running", "sampling") in seen
    assert any(event == "estimate" for event, *_ in seen)


def test_a_form_with_files_is_one_call(server, media):
    request = {"conditions": {"image": {"value": "upload:picture"}}, **QUICK}
    files = {"picture": ("first.png", (media / "first.png").read_bytes())}
    response = server.http.post(
        "/api/requests", data={"request": json.dumps({"request": request})}, files=files
    )
    assert response.status_code == 202, response.text
    job = server.finished(response.json()["id"])
    assert job["state"] == "done"
    assert (
        job["request"]["conditions"]["image"]["value"] == f"upload:{server.upload(media / 'first.png')['id']}"
    )


def test_a_waiting_and_a_running_request_can_be_cancelled_and_finished_ones_deleted(server):
    long = {"conditions": {"text": {"value": "a star"}}, "steps": 200}
    first, second = server.submit(long).json(), server.submit(long).json()
    assert server.http.delete(f"/api/requests/{second['id']}").status_code == 409
    assert server.http.post(f"/api/requests/{second['id']}/cancel").json()["state"] == "cancelled"
    server.http.post(f"/api/requests/{first['id']}/cancel")
    assert server.finished(first["id"])["state"] == "cancelled"
    listed = [job["id"] for job in server.http.get("/api/requests").json()["requests"]]
    assert first["id"] in listed
    assert server.http.delete(f"/api/requests/{first['id']}").status_code == 204
    assert server.http.get(f"/api/requests/{first['id']}").status_code == 404
    assert not (server.folder / "jobs" / first["id"]).exists()


def test_what_is_wrong_with_an_input_is_said_with_its_field(server, media):
    depth = server.upload(media / "strokes.json")
    job = server.run({"conditions": {"depth": {"value": f"upload:{depth['id']}"}}, **QUICK})
    assert job["state"] == "failed"
    assert job["field"] == "conditions.depth"
    assert "strokes.json" in job["error"]
    assert str(server.folder) not in job["error"]


def test_warnings_reach_the_client(server, media):
    picture = server.upload(media / "first.png")
    job = server.run({"conditions": {"motion": {"source": f"upload:{picture['id']}"}}, **QUICK})
    assert any("still image" in sentence for sentence in job["warnings"])


def test_the_description_of_the_interface_names_every_route(server):
    table = server.http.get("/api/openapi.json").json()
    assert table["openapi"].startswith("3.1")
    request = table["paths"]["/api/requests"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(request["properties"]["request"]["properties"]) == set(Request().to_json()) | {
        "positive", "negative", "branches", "guidance", "guidance_interval", "sampler", "spacing", "steps", "frames",
        "size", "fps", "audio", "adapters",
    }  # fmt: skip
    for path, operations in table["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
    job = server.submit({"conditions": {"text": {"value": "a star"}}, **QUICK}).json()
    properties = table["paths"]["/api/requests"]["post"]["responses"]["202"]["content"]["application/json"][
        "schema"
    ]
    assert set(job) - {"position", "conditions"} <= set(properties["properties"])
