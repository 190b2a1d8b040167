"""Many clients at once, workers that die, and a server that is stopped: nothing is lost."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import running

CLIENTS, EACH = 50, 4
SMALL = {"conditions": {"text": {"value": "a red circle"}}, "steps": 1, "frames": 1}
MOST_GROWTH = 100 * 2**20  # bytes of the server's memory, for 200 requests


def memory(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def worker_of(server):
    """Process ids of the server's workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_fifty_clients_with_two_hundred_requests_lose_nothing_and_take_turns(tmp_path):
    with running(tmp_path) as server:
        server.wait_until_ready()
        server.run(SMALL)  # compiled
        before = memory(server.process.pid)

        def client(number):
            with httpx.Client(
                base_url=server.address, timeout=60, headers={"X-Vcjax-Client": f"{number}"}
            ) as http:
                responses = [
                    http.post("/api/requests", json={"request": SMALL | {"seeds": [number]}})
                    for _ in range(EACH)
                ]
                assert [a.status_code for a in responses] == [202] * EACH
                return [a.json()["id"] for a in responses]

        slowest = 0.0
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            identifiers = [f.result() for f in [pool.submit(client, i) for i in range(CLIENTS)]]
        while server.http.get("/api/health").json()["queued"]:
            began = time.monotonic()
            server.http.get("/api/requests", params={"limit": 10})
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.2)
        jobs = {name: server.finished(name) for names in identifiers for name in names}
        assert len(jobs) == CLIENTS * EACH
        assert {job["state"] for job in jobs.values()} == {"done"}
        ended = {name: (tmp_path / "jobs" / name / "video.mp4").stat().st_mtime_ns for name in jobs}
        order = sorted(jobs, key=ended.__getitem__)
        owner = {name: i for i, names in enumerate(identifiers) for name in names}
        # Since all wait: between two turns of one client, every other one that still waits has one.
        all_wait = max(job["created"] for job in jobs.values())
        served = [owner[name] for name in order if ended[name] > all_wait * 1e9]
        assert len(served) > 2 * CLIENTS
        for i, client_now in enumerate(served):
            turns = served[: i + 1].count(client_now)
            assert all(served[:i].count(other) >= turns - 1 for other in set(served[i + 1 :]))
        assert slowest < 1
        assert memory(server.process.pid) - before < MOST_GROWTH


@pytest.mark.slow
def test_the_request_of_a_worker_that_is_killed_is_taken_up_again(tmp_path):
    with running(tmp_path) as server:
        server.wait_until_ready()
        job = server.submit({"conditions": {"text": {"value": "a star"}}, "steps": 60}).json()
        wait_for(lambda: server.http.get(f"/api/requests/{job['id']}").json()["phase"] == "sampling")
        (pid,) = worker_of(server)
        os.kill(pid, signal.SIGKILL)
        assert server.finished(job["id"])["state"] == "done"
        assert worker_of(server) != [pid]
        deadly = server.submit({"conditions": {"text": {"value": "a star"}}, "steps": 60}).json()
        for _ in range(2):
            wait_for(lambda: server.http.get(f"/api/requests/{deadly['id']}").json()["phase"] == "sampling")
            (pid,) = worker_of(server)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda old=pid: worker_of(server) not in ([], [old]))
        failed = server.finished(deadly["id"])
        assert failed["state"] == "failed"
        assert "died twice" in failed["error"]
        assert server.run(SMALL)["state"] == "done"  # the next one is not affected


def test_two_servers_cannot_have_one_folder(server):
    command = [sys.executable, "-m", "vcjax", "app", "--port", "0", "--folder", str(server.folder)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "is in use by another server" in second.stderr


@pytest.mark.slow
def test_a_stopped_server_keeps_its_queue_and_its_results(tmp_path):
    with running(tmp_path) as server:
        server.wait_until_ready()
        done = server.run(SMALL)
        long = {"conditions": {"text": {"value": "a star"}}, "steps": 100}
        first, second = server.submit(long).json(), server.submit(SMALL | {"seeds": [3]}).json()
        wait_for(lambda: server.http.get(f"/api/requests/{first['id']}").json()["phase"] == "sampling")
        assert server.stop() == 0
    with running(tmp_path) as server:
        video = server.http.get(f"/api/requests/{done['id']}/video.mp4")
        assert video.status_code == 200
        assert server.finished(first["id"])["state"] == "done"
        assert server.finished(second["id"])["state"] == "done"
        listed = [job["id"] for job in server.http.get("/api/requests").json()["requests"]]
        assert listed == [second["id"], first["id"], done["id"]]
