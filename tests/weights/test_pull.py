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
from vcjax.weights import pull as pulling
from vcjax.weights.convert.released import FILES, RELEASED, bijection, shapes_of
from vcjax.weights.folder import read_config
from vcjax.weights.networks import random_parameters
from vcjax.weights.pull import REMOTES, Remote, pull
from vcjax.weights.torch_files import write_tensors
from vcjax.weights.trees import flatten

CONTENT = np.random.default_rng(0).bytes(300_000)
CUT = 100_000  # bytes after which a connection is dropped
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Files by path, and what is to go wrong; `requests` has each request's path and range."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.drops = 0  # connections that are still to be dropped midway
        self.after = CUT
        self.knows_ranges = self.says_lengths = True

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
        start = int(ranged.removeprefix("bytes=")[:-1]) if ranged and self.server.knows_ranges else 0
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if self.server.says_lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if self.server.drops:
            self.server.drops -= 1
            rest = rest[: self.server.after]
        self.wfile.write(rest)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        monkeypatch.setattr(pulling, "WAITS", (0.0, 0.0, 0.0))
        monkeypatch.setenv("no_proxy", "*")  # the tests speak with this machine only
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(monkeypatch, server):
    """The only file that there is, or how it is to be otherwise."""

    def remote(**changes):
        server.files["x"] = CONTENT
        options = {"name": "x.pth", "size": len(CONTENT), "sha256": SHA256, "urls": (server.url("x"),)}
        monkeypatch.setattr(pulling, "REMOTES", {"x": Remote(**options | changes)})

    remote()
    return remote


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_is_not_asked_for_again(tmp_path, server, remote):
    told = []
    folder = tmp_path / "new" / "files"
    assert pull(folder, progress=lambda *now: told.append(now)) == {"x": folder / "x.pth"}
    assert (folder / "x.pth").read_bytes() == CONTENT
    assert names(folder) == ["x.pth"]
    assert told[0] == ("downloading x.pth", 0, len(CONTENT))
    assert ("downloading x.pth", len(CONTENT), len(CONTENT)) in told
    assert told[-1] == ("checking x.pth", len(CONTENT), len(CONTENT))
    assert pull(folder, only=["x", "x"]) == {"x": folder / "x.pth"}
    assert server.requests == [("x", None)]


def test_a_dropped_connection_is_taken_up_where_it_ended(tmp_path, server, remote):
    server.drops = 2
    told = []
    path = pull(tmp_path, progress=lambda *now: told.append(now))["x"]
    assert path.read_bytes() == CONTENT
    assert server.requests == [("x", None), ("x", f"bytes={CUT}-"), ("x", f"bytes={2 * CUT}-")]
    done = [now[1] for now in told if now[0].startswith("downloading")]
    assert done == sorted(done)  # nothing came twice


def test_each_piece_that_comes_gives_new_patience(tmp_path, server, remote):
    """Far more drops than waits, since something came each time."""
    server.drops, server.after = 20, 10_000
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert len(server.requests) == 21


def test_the_waits_grow_and_then_it_is_told(tmp_path, server, remote, monkeypatch):
    """A server that gives a piece and then nothing more; what came is kept, and a later call goes on from it."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        server.after = 0

    monkeypatch.setattr(pulling, "WAITS", (1.0, 2.0, 4.0))
    monkeypatch.setattr(pulling.time, "sleep", sleep)
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


def test_a_server_that_knows_no_ranges_begins_anew(tmp_path, server, remote):
    server.drops, server.knows_ranges = 1, False
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_wrong_checksum_is_told_and_nothing_is_left(tmp_path, server, remote):
    server.files["x"] = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    wrong = hashlib.sha256(server.files["x"]).hexdigest()
    with pytest.raises(BadInput, match=f"x.pth came damaged and was removed: .*{wrong} and must be {SHA256}"):
        pull(tmp_path)
    assert names(tmp_path) == []
    (tmp_path / "x.pth.part").write_bytes(bytes(1000))  # of something else
    server.files["x"] = CONTENT
    with pytest.raises(BadInput, match=r"came damaged and was removed.*run this again"):
        pull(tmp_path)
    assert pull(tmp_path)["x"].read_bytes() == CONTENT


def test_a_file_of_another_length_is_told_before_it_comes(tmp_path, server, remote):
    for content in (CONTENT[:-1], CONTENT + b"1", b""):
        server.files["x"] = content
        with pytest.raises(
            BadInput, match=f"the file there has {len(content)} bytes and must have {len(CONTENT)}"
        ):
            pull(tmp_path)
        assert names(tmp_path) == []


def test_a_page_in_place_of_the_file_spoils_nothing(tmp_path, server, remote):
    """A network that wants to be logged in to answers everything with a page of its own."""
    server.files["x"], server.says_lengths, server.knows_ranges = b"<html>log in</html>", False, False
    (tmp_path / "x.pth.part").write_bytes(CONTENT[:CUT])
    with pytest.raises(BadInput, match=r"does not say how long.*goes on from .*x.pth.part"):
        pull(tmp_path)
    assert (tmp_path / "x.pth.part").read_bytes() == CONTENT[:CUT]


def test_another_place_is_tried_and_goes_on_with_what_came(tmp_path, server, remote):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    (tmp_path / "x.pth.part").write_bytes(CONTENT[:CUT])
    remote(urls=(nobody, server.url("missing"), server.url("x")))
    assert pull(tmp_path)["x"].read_bytes() == CONTENT
    assert server.requests == [("missing", f"bytes={CUT}-"), ("x", f"bytes={CUT}-")]
    (tmp_path / "x.pth").unlink()
    remote(urls=(nobody, server.url("missing")))
    with pytest.raises(
        BadInput, match=r"127.0.0.1: .*refused.*; 127.0.0.1: Not Found.*connection to the net"
    ):
        pull(tmp_path)
    assert names(tmp_path) == []


def test_no_network_is_one_sentence_and_files_that_are_there_are_used(tmp_path, remote):
    remote(urls=("http://nowhere.invalid/x",))  # a name that is reserved for not being there (RFC 2606)
    with pytest.raises(BadInput, match=r"x.pth could not be downloaded \(nowhere.invalid: ") as caught:
        pull(tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []
    (tmp_path / "x.pth").write_bytes(CONTENT)
    assert pull(tmp_path)["x"].read_bytes() == CONTENT


def test_a_file_that_is_there_and_wrong_is_told_and_left_alone(tmp_path, server, remote):
    for content, reason in ((CONTENT[:9], "it has 9 bytes"), (bytes(len(CONTENT)), "its sha256 is")):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(BadInput, match=f"x.pth is not the released file: {reason}"):
            pull(tmp_path)
        assert (tmp_path / "x.pth").read_bytes() == content
    assert server.requests == []


def test_modelscope_is_asked_for_a_checksum_that_is_not_known(tmp_path, server, remote, monkeypatch):
    remote(sha256=None)
    monkeypatch.setattr(pulling, "LISTING", server.url("listing"))

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
        with pytest.warns(VcjaxWarning, match=r"of x.pth only the size could be checked"):
            pull(tmp_path)


def test_what_cannot_be_written_or_is_unknown_is_told(tmp_path, remote):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="file cannot be written"):
        pull(tmp_path / "file")
    for only in (["x", "y"], []):
        with pytest.raises(BadInput, match="what is pulled must be some of x"):
            pull(tmp_path / "new", only)
    assert not (tmp_path / "new").exists()


def test_the_files_at_hand_are_those_of_the_table(shared, tmp_path):
    kinds = ["sketch", "vocabulary"]
    for kind in kinds:
        name = REMOTES[kind].name
        (tmp_path / name).write_bytes((shared / "weights" / name).read_bytes())
    assert list(pull(tmp_path, kinds)) == kinds


def test_the_sizes_of_the_table_are_those_of_the_networks():
    """Four bytes for each number of the network, and up to a thousandth for names and all else."""
    for kind in ("unet", "depth", "cleaner"):
        assert REMOTES[kind].name == FILES[kind]
        shapes = flatten(shapes_of(RELEASED, bijection(kind, []).entries))
        numbers = sum(int(np.prod(leaf.shape)) for leaf in shapes.values())
        assert 1 <= REMOTES[kind].size / (4 * numbers) < 1.001, kind


def test_the_command_makes_a_model_folder(tmp_path, server, monkeypatch, capsys):
    tree = random_parameters(shapes_of(RELEASED, ["sketch"])["sketch"], 0)
    tensors = bijection("sketch", []).to_torch({"sketch": tree})
    write_tensors(tmp_path / "lines.pth", tensors, nested=True)
    content = (tmp_path / "lines.pth").read_bytes()
    server.files["lines"], server.drops = content, 1
    sha256 = hashlib.sha256(content).hexdigest()
    lines = Remote("lines.pth", len(content), sha256, (server.url("lines"),))
    monkeypatch.setattr(pulling, "REMOTES", {"sketch": lines})
    words = ["pull", "--only", "sketch", "--out", tmp_path / "model", "--files", tmp_path / "files"]
    monkeypatch.setattr(sys, "argv", ["vcjax", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "model")
    assert set(read_config(tmp_path / "model")["files"]) == {"sketch"}
    assert server.requests == [("lines", None), ("lines", f"bytes={CUT}-")]
    assert names(tmp_path / "files") == ["lines.pth"]
