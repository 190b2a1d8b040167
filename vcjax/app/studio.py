"""The studio: queue, workers and results behind the HTTP interface."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vcjax
from vcjax.app.command import command_line
from vcjax.app.decoding import Decoder
from vcjax.app.errors import Refused
from vcjax.app.events import Events
from vcjax.app.fair_queue import FairQueue
from vcjax.app.jobs import FINISHED, Job, JobStore, new_job
from vcjax.app.limits import Limits
from vcjax.app.pool import MOST_STARTS, Worker, device_environments
from vcjax.app.references import field_of_error, resolve, unresolve, used_uploads
from vcjax.app.uploads import Uploads
from vcjax.composer.completion import complete_request
from vcjax.composer.composer import Composer
from vcjax.composer.request import Request
from vcjax.errors import BadInput

ATTEMPTS = 2  # of a job whose worker dies
CLEANING_SECONDS = 600.0
POSITIONS_SENT = 10  # first jobs of the queue, whose positions are sent when they change


class Studio:
    """Everything behind the HTTP interface.

    Args:
        composers: models by name, of which only the configurations are used here.
        folder: folder of uploads and results.
        limits: bounds.
    """

    def __init__(self, composers: Mapping[str, Composer], folder: Path, limits: Limits) -> None:
        self.composers, self.limits = composers, limits
        self.events = Events(limits.subscribers)
        self.decoder = Decoder(limits)
        self.uploads = Uploads(folder / "uploads", limits, self.decoder)
        self.jobs = JobStore(folder / "jobs", limits)
        self.queue = FairQueue()
        self.workers: list[Worker] = []
        for job in self.jobs:
            if job.state == "queued":
                self.queue.put(job)

    @contextlib.asynccontextmanager
    async def running(self):
        """Run workers inside this context."""
        self.workers += [Worker(tuple(self.composers), env, self._handle) for env in device_environments()]
        cleaning = asyncio.create_task(self._clean_for_ever())
        try:
            yield
        finally:
            cleaning.cancel()
            for worker in self.workers:
                worker.stop()

    def submit(self, table: Any, kind: Any, client: str) -> Job:
        """Put a request into the queue.

        Raises:
            Refused: the request is invalid, or the queue is full.
        """
        self._check_request(table)
        waiting = self.queue.of_client(client, kind)
        if kind == "preview":  # an older one shows what is no longer there
            for job in waiting:
                self._finish(job, "cancelled")
        elif len(waiting) >= self.limits.per_client:
            raise Refused(
                429, f"{len(waiting)} of your requests are waiting: wait for one to finish, or cancel some"
            )
        address = client.partition(" ")[0]  # a name is easily changed
        if sum(each.client.partition(" ")[0] == address for each in self.queue) >= self.limits.per_address:
            raise Refused(
                429, f"{self.limits.per_address} requests from {address} are waiting: try again later"
            )
        if len(self.queue) >= self.limits.queued:
            raise Refused(429, f"{len(self.queue)} requests are waiting: try again later")
        job = new_job(kind, client, table)
        self.jobs.save(job)
        self.queue.put(job)
        self._publish(job)
        self._dispatch()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job, or take it from the queue."""
        if job.state in FINISHED:
            return
        for worker in self.workers:
            if worker.job is job:
                worker.cancel()
                return
        self._finish(job, "cancelled")

    def delete(self, job: Job) -> None:
        """Delete a finished job and its results.

        Raises:
            Refused: it is not finished.
        """
        if job.state not in FINISHED:
            raise Refused(409, f"request {job.id} is {job.state}: cancel it first")
        self.jobs.delete(job)
        self.events.publish("removed", job.id, {"id": job.id})

    def resolved(self, table: Any) -> dict[str, Any]:
        """Return a request in JSON with the paths of its uploads."""
        return resolve(table, self._composer(table).conditions, self.uploads)

    def restored(self, table: Any) -> tuple[dict[str, Any], list[str]]:
        """Return a request in JSON with uploads in place of paths, and what is missing."""
        return unresolve(table, self._composer(table).conditions, self.uploads)

    def command(self, job: Job) -> str:
        """Return the command line of a job."""
        request = Request.from_json(self.resolved(job.request))
        return command_line(request, self._composer(job.request).conditions, self.uploads)

    def position(self, job: Job) -> int | None:
        """Return the position of a job in the queue, from 1 on."""
        if job.state != "queued":
            return None
        return next((i for i, other in enumerate(self.queue, start=1) if other is job), None)

    def state(self, job: Job, *, whole: bool = True) -> dict[str, Any]:
        """Return a job as clients see it."""
        return job.to_json(self.position(job), whole=whole)

    def health(self) -> dict[str, Any]:
        """Return the state of server and workers."""
        workers = [{"state": worker.state, "device": worker.device} for worker in self.workers]
        ready = any(worker.device and worker.state != "dead" for worker in self.workers)
        dead = all(worker.state == "dead" for worker in self.workers)
        status = "ok" if ready else "failed" if dead else "starting"
        return {"status": status, "version": vcjax.__version__, "queued": len(self.queue), "workers": workers}

    def _composer(self, table: Any) -> Composer:
        name = table.get("model", next(iter(self.composers)))
        if not isinstance(name, str) or name not in self.composers:
            raise Refused(
                400, f"model must be one of {', '.join(self.composers)}, not {str(name)[:80]!r}", "model"
            )
        return self.composers[name]

    def _check_request(self, table: Any) -> None:
        """Raise BadInput for a request that no worker would run."""
        if not isinstance(table, dict):
            raise Refused(400, f"request must be a table, not {type(table).__name__}")
        composer = self._composer(table)
        table.setdefault("model", composer.name)
        try:
            request = complete_request(Request.from_json(self.resolved(table)), composer)
        except BadInput as error:
            error.args = (self.uploads.named(str(error)),)
            raise
        if len(request.seeds) != 1:
            raise Refused(400, "seeds must hold one seed: send a request for each", "seeds")
        assert isinstance(request.frames, int)
        assert request.size is not None
        pixels = request.frames * request.size[0] * request.size[1]
        if pixels > self.limits.request_pixels:
            raise Refused(
                400,
                f"{request.frames} frames of {request.size[0]}x{request.size[1]} are {pixels:,} pixels, more than "
                f"{self.limits.request_pixels:,}: give fewer or smaller frames",
                "frames",
            )

    def _dispatch(self) -> None:
        """Give idle workers the next jobs."""
        for worker in self.workers:
            while worker.state == "idle" and (job := self.queue.take()) is not None:
                self._start(worker, job)

    def _start(self, worker: Worker, job: Job) -> None:
        try:
            request = self.resolved(job.request)
        except BadInput as error:  # its uploads were deleted meanwhile
            self._finish(job, "failed", error=str(error), field=field_of_error(error))
            return
        job.state, job.attempts, job.phase = "running", job.attempts + 1, "starting"
        self.jobs.save(job)
        worker.run(job, request, self.jobs.folder(job))
        self._publish(job)
        for waiting in itertools.islice(self.queue, POSITIONS_SENT):
            self._publish(waiting)

    def _handle(self, worker: Worker, event: str, identifier: str, data: Any) -> None:
        """Act on a message of a worker."""
        job = worker.job
        if event == "ready":
            worker.state, worker.device = "idle", data
        elif event == "died":
            self._revive(worker)
        elif event == "progress" and job is not None:
            job.phase, job.completed, job.total = data["phase"], data["completed"], data["total"]
            self._publish(job)
            return
        elif event == "estimate":
            self.events.publish("estimate", identifier, {"id": identifier, **data})
            return
        elif job is not None:  # done, failed or cancelled
            if data.get("error"):
                data["error"] = self.uploads.named(data["error"])
            if "complete" in data:
                data["complete"], _ = self.restored(data["complete"])
            worker.state, worker.job, worker.failed_starts = "idle", None, 0
            self._finish(job, event, **data)
        self._dispatch()
        self.events.publish("health", "", self.health())

    def _revive(self, worker: Worker) -> None:
        """Start a worker that has died again, and take up its job."""
        job, worker.job = worker.job, None
        worker.failed_starts += 1
        if job is not None and job.attempts < ATTEMPTS:
            job.state, job.phase, job.completed, job.total = "queued", "", 0, 0
            self.jobs.save(job)
            self.queue.put(job, first=True)
            self._publish(job)
        elif job is not None:
            self._finish(
                job, "failed", error="the worker died twice while it ran this request: see the server's log"
            )
        if worker.failed_starts < MOST_STARTS:
            worker.start()
            return
        worker.state = "dead"
        if all(each.state == "dead" for each in self.workers):
            for waiting in list(self.queue):
                self._finish(waiting, "failed", error="no worker can be started: see the server's log")

    def _finish(self, job: Job, state: Any, **results: Any) -> None:
        """Set the end of a job, with its results."""
        self.queue.remove(job)
        job.state, job.phase = state, ""
        for name, value in results.items():
            setattr(job, name, value)
        if state != "done":
            for path in self.jobs.folder(job).iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.suffix != ".json":
                    path.unlink()
        self.jobs.save(job)
        self._publish(job)

    def _publish(self, job: Job) -> None:
        self.events.publish("job", job.id, self.state(job, whole=False))

    async def _clean_for_ever(self) -> None:
        while True:
            self.clean()
            await asyncio.sleep(CLEANING_SECONDS)

    def clean(self) -> None:
        """Delete results that are too old or too many, and uploads that no request names."""
        for job in self.jobs.expired():
            self.delete(job)
        used = {name for job in self.jobs for name in used_uploads(job.request)}
        self.uploads.delete_unused(used, self.limits.keep_days)
