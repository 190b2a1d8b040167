"""The server's side of its workers: they are started, given one job at a time, and started again where they die."""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from vcjax.app.jobs import Job
from vcjax.app.worker import work

MOST_STARTS = 3  # deaths of a worker without a finished job, after which it is not started again
STOP_SECONDS = 5.0  # for a worker to end

Handler = Callable[["Worker", str, str, Any], None]  # of a worker, an event, the id of a job, and data


def device_environments() -> list[dict[str, str]]:
    """Return the environment variables of a worker for each device of this machine; one for a CPU and for TPUs."""
    import os

    variable = "CUDA_VISIBLE_DEVICES"
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*"))  # of the driver, without starting CUDA
    names = os.environ[variable].split(",") if variable in os.environ else [str(i) for i in range(len(gpus))]
    return [{variable: name} for name in names] if gpus and len(names) > 1 else [{}]


class Worker:
    """A worker process.

    Args:
        models: names of the models.
        environment: environment variables of its process.
        handler: called in the event loop for each message, and with the event `died` where the process ends.
    """

    def __init__(self, models: tuple[str, ...], environment: dict[str, str], handler: Handler) -> None:
        self._models, self._environment, self._handler = models, environment, handler
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self.state: Literal["starting", "idle", "busy", "dead"] = "starting"
        self.device = ""
        self.job: Job | None = None
        self.failed_starts = 0
        self.start()

    def start(self) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.state = "starting"
        self._process = context.Process(
            target=work, args=(theirs, self._models, self._environment), daemon=True
        )
        self._process.start()
        theirs.close()  # so that the end of the process ends the connection
        threading.Thread(target=self._listen, args=(self._connection,), daemon=True).start()

    def run(self, job: Job, request: Any, folder: Path) -> None:
        """Give an idle worker a job."""
        self.state, self.job = "busy", job
        self._send(("run", job.id, job.kind, request, str(folder)))

    def cancel(self) -> None:
        """Ask a busy worker to stop its job."""
        assert self.job is not None
        self._send(("cancel", self.job.id))

    def stop(self) -> None:
        """End the process."""
        self._stopping = True
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._connection.send(message)
        except OSError:  # it has died, which its listener is about to say
            return

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                event, identifier, data = connection.recv()
            except (EOFError, OSError):
                break
            self._call(event, identifier, data)
        self._call("died", "", None)

    def _call(self, event: str, identifier: str, data: Any) -> None:
        if not self._loop.is_closed() and not self._stopping:
            self._loop.call_soon_threadsafe(self._handler, self, event, identifier, data)
