import hashlib
import http.server
import json
import socket
import sys
import threading
from functools import partial

import numpy as np
import pytest

from vcjax import cli
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.weights import pull as pull_module
from vcjax.weights.convert.released import FILES, bijection, shapes_of
from vcjax.weights.convert.releases import RELEASED
from vcjax.weights.folder import read_config
from vcjax.weights.networks import random_parameters
from vcjax.weights.pull import REMOTES, Remote, pull
from vcjax.weights.torch_files import write_tensors
from vcjax.weights.trees import flatten

CONTENT = np.random.default_rng(0).bytes(300_000)
CUT = 100_000  # bytes sent before a connection is dropped
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """HTTP server of files by path, with failures to simulate; `requests` records the path and range of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.drops = 0  # number of further connections to drop midway
        self.drop_after = CUT
        self.supports_ranges = self.sends_length = True

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        ranged = self.headers["Range"]
        self.server.requests.append((self.path[1:], ranged))
        content = self.server.files.get(self.path[1:])
        if content is None:
            return self.send_error(404)
        start = int(ranged.removeprefix("bytes=")[:-1]) if ranged and self.server.supports_ranges else 0
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if self.server.sends_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if self.server.drops:
            self.server.drops -= 1
            rest = rest[: self.server.drop_after]
        self.wfile.write(rest)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        monkeypatch.setattr(pull_module, "RETRY_DELAYS", (0.0, 0.0, 0.0))
        monkeypatch.setenv("no_proxy", "*")  # the tests connect to localhost only
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(monkeypatch, server):
    """Replace the released files by one file on the test server; call it to change the properties of the file."""

    def remote(**changes):
        server.files["x"] = CONTENT
        options = {"name": "x.pth", "size": len(CONTENT), "sha256": SHA256, "urls": (server.url("x"),)}
        monkeypatch.setattr(pull_module, "REMOTES", {"x": Remote(**options | changes)})

    remote()
    return remote


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(tmp_path, server, remote):
    reported = []
    folder = tmp_path / "new" / "files"
    assert pull(folder, progress=lambda *now: reported.append(now)) == {"x": folder / "x.pth"}
    assert (folder / "x.pth").read_bytes() == CONTENT
    assert names(folder) == ["x.pth"]
    assert reported[0] == ("downloading x.pth", 0, len(CONTENT))
    assert ("downloading x.pth", len(CONTENT), len(CONTENT)) in reported
    assert reported[-1] == ("checking x.pth", len(CONTENT), len(CONTENT))
    assert pull(folder, only=["x", "x"]) == {"x": folder / "x.pth"}
    assert server.requests == [("x", None)]


def test_a_dropped_connection_is_resumed(tmp_path, server, remote):
    server.drops = 2
    reported = []
    path = pull(tmp_path, progress=lambda *now: reported.append(now))["x"]
    assert path.read_bytes() == CONTENT
    assert server.requests == [("x", None), ("x", f"bytes={CUT}-"), ("x", f"bytes={2 * CUT}-")]
    done = [now[1] for now in reported if now[0].startswith("downloading")]
    assert done == sorted(done)  # nothing was downloaded twice


def test_received_data_reset_the_retries(tmp_path, server, remote):
    """There are far more drops than retry delays, but data arrive each time."""
    server.drops, server.drop_after = 20, 10_000
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert len(server.requests) == 21


def test_retries_back_off_and_then_fail(tmp_path, server, remote, monkeypatch):
    """The server sends some data and then nothing more; the partial file is kept and a later call resumes from it."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        server.drop_after = 0

    monkeypatch.setattr(pull_module, "RETRY_DELAYS", (1.0, 2.0, 4.0))
    monkeypatch.setattr(pull_module.time, "sleep", sleep)
    server.drops = 100
    with pytest.raises(BadInput, match=r"x.pth could not be downloaded \(127.0.0.1: .*with 100000 of 300000"):
        pull(tmp_path)
    assert slept == [1.0, 2.0, 4.0]
    assert names(tmp_path) == ["x.pth.part"]
    server.drops = 0
    server.requests.clear()
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert server.requests == [("x", f"bytes={CUT}-")]
    assert names(tmp_path) == ["x.pth"]


def test_a_server_without_ranges_restarts_the_download(tmp_path, server, remote):
    server.drops, server.supports_ranges = 1, False
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_wrong_checksum_is_reported_and_nothing_is_left(tmp_path, server, remote):
    server.files["x"] = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    wrong = hashlib.sha256(server.files["x"]).hexdigest()
    with pytest.raises(
        BadInput, match=f"x.pth was damaged in download and removed: .*{wrong} and must be {SHA256}"
    ):
        pull(tmp_path)
    assert names(tmp_path) == []
    (tmp_path / "x.pth.part").write_bytes(bytes(1000))  # of another file
    server.files["x"] = CONTENT
    with pytest.raises(BadInput, match=r"was damaged in download and removed.*run this again"):
        pull(tmp_path)
    assert pull(tmp_path)["x"].read_bytes() == CONTENT


def test_a_wrong_size_is_reported_before_the_download(tmp_path, server, remote):
    for content in (CONTENT[:-1], CONTENT + b"1", b""):
        server.files["x"] = content
        with pytest.raises(
            BadInput, match=f"the file on the server has {len(content)} bytes and must have {len(CONTENT)}"
        ):
            pull(tmp_path)
        assert names(tmp_path) == []


def test_a_login_page_does_not_damage_the_partial_file(tmp_path, server, remote):
    """A network with a captive portal responds to every request with its login page."""
    server.files["x"], server.sends_length, server.supports_ranges = b"<html>log in</html>", False, False
    (tmp_path / "x.pth.part").write_bytes(CONTENT[:CUT])
    with pytest.raises(BadInput, match=r"does not report the file size.*resumes from .*x.pth.part"):
        pull(tmp_path)
    assert (tmp_path / "x.pth.part").read_bytes() == CONTENT[:CUT]


def test_the_next_url_resumes_the_download(tmp_path, server, remote):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    (tmp_path / "x.pth.part").write_bytes(CONTENT[:CUT])
    remote(urls=(refusing, server.url("missing"), server.url("x")))
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert server.requests == [("missing", f"bytes={CUT}-"), ("x", f"bytes={CUT}-")]
    (tmp_path / "x.pth").unlink()
    remote(urls=(refusing, server.url("missing")))
    with pytest.raises(
        BadInput, match=r"127.0.0.1: .*refused.*; 127.0.0.1: Not Found.*connection to the net"
    ):
        pull(tmp_path)
    assert names(tmp_path) == []


def test_no_network_is_one_sentence_and_present_files_are_used(tmp_path, remote):
    remote(urls=("http://nowhere.invalid/x",))  # reserved as unresolvable (RFC 2606)
    with pytest.raises(BadInput, match=r"x.pth could not be downloaded \(nowhere.invalid: ") as caught:
        pull(tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []
    (tmp_path / "x.pth").write_bytes(CONTENT)
    assert pull(tmp_path)["x"].read_bytes() == CONTENT


def test_a_wrong_present_file_is_reported_and_kept(tmp_path, server, remote):
    for content, reason in ((CONTENT[:9], "it has 9 bytes"), (bytes(len(CONTENT)), "its sha256 is")):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(BadInput, match=f"x.pth is not the released file: {reason}"):
            pull(tmp_path)
        assert (tmp_path / "x.pth").read_bytes() == content
    assert server.requests == []


def test_unknown_checksums_are_requested_from_modelscope(tmp_path, server, remote, monkeypatch):
    remote(sha256=None)
    monkeypatch.setattr(pull_module, "LISTING", server.url("listing"))

    def listed(sha256):
        files = [{"Path": "configuration.json"}, {"Path": "x.pth", "Size": 1, "Sha256": sha256}]
        server.files["listing"] = json.dumps({"Code": 200, "Data": {"Files": files}}).encode()

    listed("0" * 64)
    with pytest.raises(BadInput, match=f"sha256 is {SHA256} and must be 0000"):
        pull(tmp_path)
    listed(SHA256.upper())
    pull(tmp_path)
    for broken in (b"{}", b"<html>", b"[]", b'{"Data": {"Files": []}}', None):
        server.files["listing"] = broken
        with pytest.warns(VcjaxWarning, match=r"x.pth was verified by size only"):
            pull(tmp_path)


def test_unwritable_folders_and_unknown_kinds_are_reported(tmp_path, remote):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="file cannot be written"):
        pull(tmp_path / "file")
    for only in (["x", "y"], []):
        with pytest.raises(BadInput, match="files to download must be some of x"):
            pull(tmp_path / "new", only)
    assert not (tmp_path / "new").exists()


def test_available_files_have_the_listed_checksums(shared, tmp_path):
    kinds = ["sketch", "vocabulary"]
    for kind in kinds:
        name = REMOTES[kind].name
        (tmp_path / name).write_bytes((shared / "weights" / name).read_bytes())
    assert list(pull(tmp_path, kinds)) == kinds


def test_the_listed_sizes_agree_with_the_networks():
    """A file has four bytes per parameter, and up to a thousandth more for names and metadata."""
    for kind in ("unet", "depth", "cleaner"):
        assert REMOTES[kind].name == FILES[kind]
        shapes = flatten(shapes_of(RELEASED, bijection(kind, []).entries))
        parameters = sum(int(np.prod(leaf.shape)) for leaf in shapes.values())
        assert 1 <= REMOTES[kind].size / (4 * parameters) < 1.001, kind


def test_the_command_creates_a_model_folder(tmp_path, server, monkeypatch, capsys):
    tree = random_parameters(shapes_of(RELEASED, ["sketch"])["sketch"], 0)
    tensors = bijection("sketch", []).to_torch({"sketch": tree})
    write_tensors(tmp_path / "sketch.pth", tensors, nested=True)
    content = (tmp_path / "sketch.pth").read_bytes()
    server.files["sketch"], server.drops = content, 1
    sha256 = hashlib.sha256(content).hexdigest()
    remote = Remote("sketch.pth", len(content), sha256, (server.url("sketch"),))
    monkeypatch.setattr(pull_module, "REMOTES", {"sketch": remote})
    arguments = ["pull", "--only", "sketch", "--out", tmp_path / "model", "--downloads", tmp_path / "files"]
    monkeypatch.setattr(sys, "argv", ["vcjax", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "model")
    assert set(read_config(tmp_path / "model")["files"]) == {"sketch"}
    assert server.requests == [("sketch", None), ("sketch", f"bytes={CUT}-")]
    assert names(tmp_path / "files") == ["sketch.pth"]
