"""Hostile clients: whatever they send is refused in a sentence, nothing is written, and the server goes on answering."""

import concurrent.futures
import io
import json
import socket
import struct
import time
import zipfile
import zlib
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

import vcjax
from tests.app.conftest import running
from vcjax.composer.request import Request
from vcjax.errors import MAX_MESSAGE

PATHS = ("/etc/passwd", "../../etc/passwd", "LICENSE", "file:///etc/hosts", "http://localhost/x.png", "upload:",
         "upload:../../x.png", "upload:" + "0" * 32 + ".png", "upload:/etc/passwd", "concat:a|b", "\x00", "a" * 5000)  # fmt: skip
PLACES = (
    lambda x: {"conditions": {"image": {"value": x}}},
    lambda x: {"conditions": {"depth": {"source": x}}},
    lambda x: {"conditions": {"mask": {"value": {"pictures": [{"frame": 0, "image": x}]}}}},
    lambda x: {"conditions": {"mask": {"source": x, "extract_options": {"hide": x}}}},
    lambda x: {"conditions": {"text": {"value": "a", "strength": {"area": x}}}},
    lambda x: {"audio": x},
)
HUGE = (
    {"steps": 10**9}, {"frames": 10**9}, {"frames": 10**30}, {"size": [10**6, 10**6]}, {"size": [16, 10**9]},
    {"fps": 1e308}, {"fps": 1e-308, "frames": 10**6}, {"seeds": [2**40]}, {"seeds": list(range(1000))}, {"eta": 1e9},
    {"seeds": []}, {"guidance_every": 10**9, "reuse_every": 2}, {"windows": {"frames": 10**9}},
    {"windows": {"overlap": 1 - 1e-12}, "frames": 64}, {"windows": {"size": [8, 8]}}, {"guidance_rescale": 1e30},
    {"guidance_interval": [5, 1]}, {"steps": -1}, {"frames": -5}, {"size": [0, 64]}, {"size": [-64, 64]},
    {"frames": 64, "size": [1024, 1024]}, {"model": "../../tiny"}, {"model": "/etc"}, {"sampler": "x" * 10000},
    {"conditions": {"x" * 5000: {"value": 1}}}, {"conditions": {"__class__": {"value": 1}}},
    {"conditions": {"motion": {"value": {"size": [0, 0]}}, "text": {}}},
)  # fmt: skip
BODIES = (
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"request": []}', b'{"request": null}', b'{"request": {}, "x": 1}',
    b"[" * 100_000, b'{"a":' * 100_000, b'{"request": {"steps": NaN}}', b'{"request": {"eta": Infinity}}',
    b'{"request": {"fps": 1e999}}', b'{"request": {"steps": ' + b"9" * 5000 + b"}}", b"\xff\xfe\x00", b"\x00" * 100,
    b'{"request": {"eta": ' + b"1" * 400 + b"}}",
    b'{"request": {"conditions": {"text": {"value": "' + b"a" * 2_000_000 + b'"}}}}',
)  # fmt: skip


def png(width, height, rows=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def npy(header):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", bytes(50_000_000))
    return buffer.getvalue()


def files(folder):
    clip = vcjax.Clip(np.zeros((2, 64, 64, 3), np.uint8), 8.0)
    clip.save(folder / "v.mp4")
    video = (folder / "v.mp4").read_bytes()
    tall = np.zeros((1, 8320, 8320, 3), np.uint8)  # 69 million pixels
    vcjax.Clip(tall, 8.0).save(folder / "tall.mp4")
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x00\x00\x00;"
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    entity = f'<!DOCTYPE svg [<!ENTITY a0 "aaaaaaaaaa">{entities}]><svg width="9" height="9"><path d="&a11;"/></svg>'.encode()
    return [
        ("a.exe", b"MZ", 415), ("a.pth", b"x", 415), ("a.npz", zip_bomb(), 415), ("a.html", b"<script>", 415),
        ("a.py", b"x", 415), ("a", b"x", 415), ("", b"x", 415), ("a.zip", zip_bomb(), 415), ("a.m3u8", playlist, 415),
        ("a.png", b"", 400), ("a.png", b"no picture", 400), ("a.png", png(60000, 60000), 400),
        ("a.png", png(12000, 12000, bytes(36_001 * 12000)), 400), ("a.png", zip_bomb(), 400), ("a.gif", gif, 400),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(1000), 400), ("a.mp4", video[:300], 400), ("a.mp4", bytes(10000), 400),
        ("a.mp4", playlist, 400), ("a.mkv", playlist, 400), ("a.mp4", (folder / "tall.mp4").read_bytes(), 400),
        ("a.webm", b"\x1a\x45\xdf\xa3" + bytes(50), 400), ("a.npy", b"no array", 400), ("a.npy", zip_bomb(), 400),
        ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"), 400),
        ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), 400), ("a.npy", npy("{"), 400),
        ("a.npy", pickled.getvalue(), 400), ("a.json", b"[" * 100_000, 400), ("a.json", b"{", 400),
        ("a.svg", b"<svg", 400), ("a.svg", entity, 400), ("a.wav", b"RIFF" + bytes(40), 400), ("a.mp3", b"x", 400),
        ("a.avif", b"\x00\x00\x00\x1cftypavif" + bytes(100), 400), ("a.tif", b"II*\x00" + bytes(100), 400),
    ]  # fmt: skip


def wrong_types():
    """Each setting of a request with values of other types."""
    defaults = Request().to_json()
    for name in [
        *defaults,
        "positive",
        "negative",
        "branches",
        "guidance",
        "steps",
        "size",
        "frames",
        "fps",
        "audio",
    ]:
        for wrong in ({"a": {"b": 1}}, [[["x"]]], "\ud800"):
            if not (isinstance(wrong, str) and name in ("negative_text", "model", "audio")):
                yield {name: wrong}


def files_in(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def check_refused(response, statuses):
    assert response.status_code in statuses, (response.status_code, response.text[:300], response.request.url)
    table = response.json()
    assert set(table) == {"error", "field"}
    assert 10 < len(table["error"]) <= MAX_MESSAGE + 10
    assert "Traceback" not in table["error"]


def test_two_hundred_hostile_requests_are_refused_and_nothing_is_written(server, tmp_path):
    before, count = files_in(server.folder), 0

    def refuse(statuses, method, path, **further):
        nonlocal count
        count += 1
        check_refused(server.http.request(method, path, **further), statuses)

    for place in PLACES:
        for path in PATHS:
            refuse({400}, "POST", "/api/requests", json={"request": place(path)})
    for request in HUGE:
        refuse({400}, "POST", "/api/requests", json={"request": request})
    for request in wrong_types():
        refuse({400}, "POST", "/api/requests", content=json.dumps({"request": request}),
               headers={"content-type": "application/json"})  # fmt: skip
    for body in BODIES:
        for path in ("/api/requests", "/api/previews"):
            refuse({400, 413}, "POST", path, content=body, headers={"content-type": "application/json"})
    for name, content, status in files(tmp_path):
        refuse({status}, "POST", "/api/uploads", params={"name": name}, content=content)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "image/png"):
        refuse(
            {400, 411, 415},
            "POST",
            "/api/requests",
            content=b'{"request": {}}',
            headers={"content-type": kind},
        )
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"):
        refuse({403}, "POST", "/api/requests", json={"request": {}}, headers={"origin": origin})
        refuse({403}, "GET", "/api/requests", headers={"origin": origin})
    refuse({403}, "GET", "/api/requests", headers={"sec-fetch-site": "cross-site"})
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", ""):
        refuse({403}, "GET", "/api/health", headers={"host": host})
    for path in ("/api/requests/..%2f..%2fetc", "/api/requests/x", f"/api/requests/{'0' * 20}/video.mp4",
                 "/api/uploads/..%2fjobs", "/api/uploads/passwd", "/api/nothing", "/%2e%2e/%2e%2e/etc/passwd"):  # fmt: skip
        refuse({404}, "GET", path)
    for method, path in (
        ("PUT", "/api/requests"),
        ("DELETE", "/api/health"),
        ("PATCH", "/api/uploads"),
        ("POST", "/"),
    ):
        refuse({405}, method, path)
    assert count >= 200
    assert files_in(server.folder) == before
    began = time.monotonic()
    assert server.http.get("/api/health").json()["status"] == "ok"
    assert time.monotonic() - began < 1


def test_names_of_files_never_become_paths(server, media):
    content = (media / "first.png").read_bytes()
    for name in (
        "../../x.png",
        "/etc/x.png",
        "a/b/c.png",
        "x" * 3000 + ".png",
        "\x00.png",
        "..png",
        "upload:x.png",
    ):
        response = server.http.post("/api/uploads", params={"name": name}, content=content)
        assert response.status_code == 201
        assert len(response.json()["name"]) <= 200
    names = {path.name for path in (server.folder / "uploads").iterdir()}
    assert all(len(name) < 60 for name in names)
    assert not list(server.folder.parent.glob("x.png"))


def exchange(address, *pieces, pause=0.0, close=False):
    """Send bytes with pauses, and return what the server responses before it ends the connection."""
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=40) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        if close:
            connection.shutdown(socket.SHUT_WR)
        response = b""
        try:
            while chunk := connection.recv(65536):
                response += chunk
        except ConnectionResetError:
            pass
        return response


@pytest.mark.slow
def test_slow_and_half_closed_connections_end_and_keep_nobody_waiting(server):
    before = files_in(server.folder)
    head = b"POST /api/%s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    slow_head = (b"GET /api/health HTTP/1.1\r\nhost: localh", b"ost")
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        silent = [pool.submit(exchange, server.address) for _ in range(10)]
        heads = [pool.submit(exchange, server.address, *slow_head, pause=0.5) for _ in range(10)]
        bodies = [pool.submit(exchange, server.address, head % path, b"{", pause=0.5)
                  for path in (b"requests", b"previews", b"uploads?name=a.png", b"replay?name=a.mp4") * 5]  # fmt: skip
        halves = [
            pool.submit(exchange, server.address, head % b"requests", b"{", close=True) for _ in range(10)
        ]
        time.sleep(1)
        began = time.monotonic()
        assert server.http.get("/api/health").status_code == 200
        assert time.monotonic() - began < 1
        for each in (*silent, *heads):
            assert each.result(30) == b""
        for each in bodies:
            response = each.result(30)
            assert response.startswith(b"HTTP/1.1 408 "), response[:200]
            assert b"too slowly" in response
        for each in halves:
            assert b" 200 " not in each.result(30)[:20]
            assert b" 202 " not in each.result(30)[:20]
    assert files_in(server.folder) == before


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with running(tmp_path_factory.mktemp("guarded"), "--token", "secret") as started:
        yield started


def test_a_token_is_needed_where_there_is_one(guarded):
    base = guarded.address.partition("/?")[0]
    with httpx.Client(base_url=base) as http:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "secret"},
            {"cookie": "vcjax_token=x"},
        ):
            for path in ("/", "/api/health", "/api/catalogue", "/api/events", "/api/requests"):
                check_refused(http.get(path, headers=headers), {401})
        assert http.get("/api/health", headers={"authorization": "Bearer secret"}).status_code == 200
        check_refused(http.get("/", params={"token": "wrong"}), {401})
        entered = http.get("/", params={"token": "secret"})
        assert entered.status_code == 303
        assert "secret" not in entered.headers["location"]
        assert "httponly" in entered.headers["set-cookie"].lower()
        assert http.get("/api/health").status_code == 200  # with the cookie


def test_a_server_for_others_has_a_token(tmp_path):
    with running(tmp_path, "--host", "0.0.0.0") as started:
        assert "token=" in started.address
