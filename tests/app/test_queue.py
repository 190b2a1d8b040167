"""The queue, references to uploads, retention of results, and error fields."""

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vcjax
from vcjax.app.decoding import Decoder
from vcjax.app.errors import Refused
from vcjax.app.fair_queue import FairQueue
from vcjax.app.jobs import Job, JobStore, new_job
from vcjax.app.limits import Limits
from vcjax.app.pool import Worker
from vcjax.app.references import field_of_error, resolve, unresolve, used_uploads
from vcjax.app.studio import Studio
from vcjax.app.uploads import Uploads
from vcjax.composer.completion import complete_request
from vcjax.composer.request import Request
from vcjax.errors import BadInput


def job(client, kind="generate"):
    return new_job(kind, client, {})


def drain(queue):
    taken = []
    while (next_job := queue.take()) is not None:
        taken.append(next_job)
    return taken


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["generate", "preview"])), max_size=30))
def test_clients_take_turns_and_the_queue_says_the_order_in_advance(puts):
    queue = FairQueue()
    jobs = [job(client, kind) for client, kind in puts]
    for each in jobs:
        queue.put(each)
    foretold = list(queue)
    assert len(queue) == len(jobs)
    taken = drain(queue)
    assert taken == foretold
    kinds = [each.kind for each in taken]
    assert kinds == sorted(kinds, reverse=True)  # previews first
    for client in "abcd":
        of_client = [each for each in taken if each.client == client and each.kind == "generate"]
        assert of_client == [each for each in jobs if each.client == client and each.kind == "generate"]
    generated = [each.client for each in taken if each.kind == "generate"]
    for i, client in enumerate(
        generated
    ):  # nobody is served twice while another one waits for the first time
        turn = generated[:i].count(client)
        for other in set(generated[i:]):
            assert generated[:i].count(other) >= turn


def test_a_job_that_a_dead_worker_had_goes_first_again():
    queue = FairQueue()
    jobs = [job("a"), job("b"), job("a")]
    for each in jobs:
        queue.put(each)
    lost = queue.take()
    queue.put(lost, first=True)
    assert drain(queue) == [jobs[0], jobs[1], jobs[2]]


def test_a_removed_job_is_not_taken():
    queue = FairQueue()
    jobs = [job("a"), job("a"), job("b")]
    for each in jobs:
        queue.put(each)
    assert queue.remove(jobs[0])
    assert not queue.remove(jobs[0])
    assert drain(queue) == [jobs[1], jobs[2]]


@pytest.fixture
def conditions():
    return vcjax.load("tiny").conditions


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads", Limits(), Decoder(Limits()))


def test_no_string_of_a_request_is_taken_for_a_path(uploads, conditions):
    stored = uploads.put(".png", b"picture", {"kind": "image"})
    good = {
        "conditions": {
            "text": {"value": "/etc/passwd"},  # words
            "motion": {"source": f"upload:{stored.name}", "extract_options": {"vectors": "stream"}},
            "mask": {"value": {"pictures": [{"frame": 0, "image": f"upload:{stored.name}"}]}},
        }
    }
    resolved = resolve(good, conditions, uploads)
    assert resolved["conditions"]["text"] == {"value": "/etc/passwd"}
    assert resolved["conditions"]["mask"]["value"]["pictures"][0]["image"] == str(stored)
    restored, missing = unresolve(resolved, conditions, uploads)
    assert (restored, missing) == (good, [])
    assert used_uploads(good) == {stored.name}
    for name, given_condition in (
        ("image", {"value": "/etc/passwd"}),
        ("depth", {"source": "walk.mp4"}),
        ("mask", {"source": f"upload:{stored.name}", "extract_options": {"hide": "LICENSE"}}),
        ("mask", {"value": {"pictures": [{"frame": 0, "image": "/etc/hosts"}]}}),
        ("mask", {"value": {"after": "film.mp4"}}),
        ("depth", {"source": f"upload:{stored.name}", "strength": {"area": "/dev/zero"}}),
        ("image", {"value": "upload:../../etc/passwd"}),
        ("image", {"value": "upload:" + "0" * 32 + ".png"}),
        ("image", {"value": "upload:" + "0" * 32 + ".png/../x"}),
        ("motion", {"value": {"size": [64, 64], "camera": {"easing": "linear"}, "other": "/etc/passwd"}}),
    ):
        with pytest.raises(Refused) as refused:
            resolve({"conditions": {name: given_condition}}, conditions, uploads)
        assert refused.value.field == f"conditions.{name}"
    with pytest.raises(Refused):
        resolve({"audio": "/etc/passwd"}, conditions, uploads)


def test_results_are_deleted_by_age_and_size_the_oldest_first(tmp_path):
    limits = Limits(keep_days=1, keep_bytes=5000)
    store = JobStore(tmp_path, limits)
    jobs = []
    for i in range(4):
        each = Job(id=f"{i:020x}", kind="generate", client="", request={}, state="done")
        store.save(each)
        (store.folder(each) / "video.mp4").write_bytes(bytes(1500))
        jobs.append(each)
    assert store.expired() == jobs[:2]  # 6,000 bytes, and the states of the jobs
    jobs[3].created = time.time() - 2 * 24 * 3600
    assert set(map(id, store.expired())) >= {id(jobs[3])}
    waiting = Job(id=f"{9:020x}", kind="generate", client="", request={}, created=0.0)
    store.save(waiting)
    assert waiting not in store.expired()
    store.delete(jobs[0])
    assert not store.folder(jobs[0]).exists()


def test_jobs_survive_the_end_of_the_server(tmp_path):
    store = JobStore(tmp_path, Limits())
    done = Job(
        id="0" * 20, kind="generate", client="a", request={"steps": 2}, state="done", images={"text": 1}
    )
    running = Job(
        id="1" * 20, kind="generate", client="b", request={}, state="running", phase="sampling", attempts=1
    )
    for each in (done, running):
        store.save(each)
    (tmp_path / ("2" * 20)).mkdir()  # of a server that died before it wrote the state
    again = {each.id: each for each in JobStore(tmp_path, Limits())}
    assert again[done.id] == done
    assert (again[running.id].state, again[running.id].phase) == ("queued", "")
    assert set(again) == {done.id, running.id}


def test_unused_uploads_are_deleted_when_they_are_old(uploads):
    old, used, new = (uploads.put(".json", text, {}) for text in (b"1", b"2", b"3"))
    for path in (old, used):
        os.utime(path, (0, 0))
    uploads.delete_unused({used.name}, keep_days=1)
    assert [path.exists() for path in (old, used, new)] == [False, True, True]


@pytest.mark.parametrize(
    ("request_table", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": "x"}, "steps"),
        ({"size": [65, 64]}, "size"),
        ({"frames": 0}, "frames"),
        ({"fps": -1}, "fps"),
        ({"seeds": [-1]}, "seeds"),
        ({"sampler": "euler"}, "sampler"),
        ({"spacing": "odd"}, "spacing"),
        ({"eta": 3.0}, "eta"),
        ({"guidance": [1.0, 2.0]}, "guidance"),
        ({"guidance_rescale": 2.0}, "guidance_rescale"),
        ({"guidance_interval": [3.0]}, "guidance_interval"),
        ({"composite": True}, "composite"),
        ({"windows": {"overlap": 2}}, "windows"),
        ({"windows": {"size": 2}}, "windows"),
        ({"conditions": {"text": {"value": "a", "strength": {"frames": [[0, 1]]}}}}, "conditions.text"),
        ({"conditions": {"text": {"value": "a", "strength": {"steps": [5, 2]}}}}, "conditions.text"),
        ({"conditions": {"text": {}}}, "conditions.text"),
        ({"conditions": {"text": {"volue": "a"}}}, "conditions.text"),
    ],
)
def test_errors_name_their_field(request_table, field):
    with pytest.raises(BadInput) as bad:
        complete_request(Request.from_json(json.loads(json.dumps(request_table))), vcjax.load("tiny"))
    assert field_of_error(bad.value) == field, str(bad.value)


@pytest.fixture
def studio(tmp_path):
    """A studio without workers."""
    return Studio({"tiny": vcjax.load("tiny")}, tmp_path, Limits(per_client=2, per_address=4, queued=6))


def test_one_client_and_one_address_cannot_fill_the_queue(studio):
    def refused(client):
        with pytest.raises(Refused) as error:
            studio.submit({}, "generate", client)
        return error.value.status

    for client in ("a 1", "a 1", "a 2", "a 2"):
        studio.submit({}, "generate", client)
    assert refused("a 1") == 429  # a client
    assert refused("a 3") == 429  # an address
    for client in ("b 1", "b 1"):
        studio.submit({}, "generate", client)
    assert refused("c 1") == 429  # all
    assert [job.client for job in studio.queue] == ["a 1", "a 2", "b 1", "a 1", "a 2", "b 1"]


def test_a_newer_preview_of_a_client_takes_the_place_of_one_that_waits(studio):
    first = studio.submit({}, "preview", "a 1")
    second = studio.submit({}, "preview", "a 1")
    other = studio.submit({}, "preview", "b 1")
    assert first.state == "cancelled"
    assert list(studio.queue) == [second, other]


def test_a_request_whose_upload_was_deleted_fails_with_a_sentence(studio):
    stored = studio.uploads.put(".npy", b"array", {"kind": "array"})
    job = studio.submit({"conditions": {"motion": {"value": f"upload:{stored.name}"}}}, "generate", "a 1")
    stored.unlink()
    worker = IdleWorker()
    studio.workers.append(worker)
    studio._dispatch()
    assert (job.state, job.field) == ("failed", "conditions.motion")
    assert worker.state == "idle"


class IdleWorker(Worker):
    """A worker without a process, which must not be given a job."""

    def __init__(self):
        self.state, self.device, self.job = "idle", "cpu:cpu", None

    def run(self, job, request, folder):
        raise AssertionError(job.id)
