"""Jobs: requests in the queue, being sampled, or finished; each is a folder with its state and its results."""

import dataclasses
import json
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from vcjax.app.errors import Refused
from vcjax.app.limits import Limits
from vcjax.files import replacing
from vcjax.settings import typed

Kind = Literal["generate", "preview"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
FINISHED = ("done", "failed", "cancelled")
IDENTIFIER = re.compile(r"[0-9a-f]{20}")
STATE_FILE = "job.json"
PREVIEWS_KEPT = 200  # previews of conditions, which are made anew when they are needed
DAY = 24 * 3600.0


@dataclasses.dataclass(kw_only=True)
class Job:
    """A request and what has become of it.

    Attributes:
        id: name; the order of names is that of time.
        kind: a video, or pictures of its conditions.
        client: who asked for it.
        request: the request in JSON, with uploads as `upload:ID`.
        state: what it is doing.
        created: time of the request, in seconds since 1970.
        attempts: how often a worker began it.
        phase: what the worker is doing.
        completed: completed steps of the phase.
        total: steps of the phase; 0 where it has none.
        error: what went wrong, in a sentence.
        field: part of the request that the error is about.
        warnings: sentences about inputs that were used in part.
        complete: the request with all defaults.
        images: number of pictures of each condition that has some.
        frames: frames of the video.
        height: height of the video in pixels.
        width: width of the video in pixels.
        fps: frame rate of the video.
        seconds: time that it took.
    """

    id: str
    kind: Kind
    client: str
    request: Any
    state: State = "queued"
    created: float = dataclasses.field(default_factory=time.time)
    attempts: int = 0
    phase: str = ""
    completed: int = 0
    total: int = 0
    error: str | None = None
    field: str | None = None
    warnings: tuple[str, ...] = ()
    complete: Any = None
    images: Any = dataclasses.field(default_factory=dict)
    frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    seconds: float = 0.0

    def to_json(self, position: int | None = None, *, whole: bool = True) -> dict[str, Any]:
        """Return the job as clients see it.

        Args:
            position: its position in the queue, from 1 on.
            whole: whether the complete request is part of it.
        """
        table = dataclasses.asdict(self) | {"position": position, "conditions": sorted(self.images)}
        for key in ("client", "attempts", *(() if whole else ("complete",))):
            del table[key]
        return table


def new_job(kind: Kind, client: str, request: Any) -> Job:
    """Return a job that waits."""
    return Job(
        id=f"{time.time_ns() // 1000:014x}"[-14:] + secrets.token_hex(3),
        kind=kind,
        client=client,
        request=request,
    )


class JobStore:
    """Jobs in memory and on disk.

    Args:
        folder: folder of the jobs; it is created.
        limits: bounds.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        folder.mkdir(parents=True, exist_ok=True)
        self._jobs: dict[str, Job] = {}
        for path in sorted(folder.iterdir()):
            if not IDENTIFIER.fullmatch(path.name):
                continue
            if (path / STATE_FILE).is_file():
                self._jobs[path.name] = typed(
                    Job, json.loads((path / STATE_FILE).read_text("utf-8")), str(path)
                )
            else:  # a server that was stopped between the two
                shutil.rmtree(path)
        for job in self._jobs.values():
            if job.state not in FINISHED:
                job.state, job.phase, job.completed = "queued", "", 0

    def __iter__(self):
        return iter(self._jobs.values())

    def get(self, identifier: str) -> Job:
        """Return a job.

        Raises:
            Refused: there is none of this name.
        """
        if identifier not in self._jobs:
            raise Refused(404, f"there is no request {identifier[:40]!r}: it may have been deleted")
        return self._jobs[identifier]

    def folder(self, job: Job) -> Path:
        """Return the folder of a job's results."""
        return self._folder / job.id

    def file(self, job: Job, name: str) -> Path:
        """Return a result of a job.

        Raises:
            Refused: the job has no such result.
        """
        path = self.folder(job) / name
        if not path.is_file():
            raise Refused(404, f"request {job.id} has no {name}: it is {job.state}")
        return path

    def save(self, job: Job) -> None:
        """Write the state of a job to disk."""
        self._jobs[job.id] = job
        with replacing(self.folder(job) / STATE_FILE) as file:
            file.write_text(json.dumps(dataclasses.asdict(job)), "utf-8")

    def delete(self, job: Job) -> None:
        """Delete a job and its results."""
        del self._jobs[job.id]
        shutil.rmtree(self.folder(job))

    def generated(self, before: str | None, limit: int) -> list[Job]:
        """Return videos, the newest first, that are older than a job."""
        jobs = [job for job in self if job.kind == "generate" and (before is None or job.id < before)]
        return sorted(jobs, key=lambda job: job.id, reverse=True)[:limit]

    def expired(self) -> list[Job]:
        """Return the finished jobs that are too old, or too many, the oldest first."""
        finished = sorted((job for job in self if job.state in FINISHED), key=lambda job: job.id)
        oldest = time.time() - self._limits.keep_days * DAY
        previews = [job for job in finished if job.kind == "preview"]
        result = {job.id: job for job in finished if job.created < oldest}
        result |= {job.id: job for job in previews[: max(0, len(previews) - PREVIEWS_KEPT)]}
        sizes = {
            job.id: sum(f.stat().st_size for f in self.folder(job).rglob("*") if f.is_file())
            for job in finished
        }
        surplus = sum(sizes.values()) - self._limits.keep_bytes
        for job in finished:
            if surplus <= 0:
                break
            surplus -= sizes[job.id]
            result[job.id] = job
        return [result[name] for name in sorted(result)]
