"""The queue: clients take turns, so that one with many requests does not keep the others waiting."""

from collections import deque
from collections.abc import Iterator

from vcjax.app.jobs import Job


class FairQueue:
    """Jobs that wait. Previews go first; of each kind, the clients take turns, each with its jobs in order."""

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, deque[Job]]] = {"preview": {}, "generate": {}}

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs in the order in which they would be taken."""
        for clients in self._by_kind.values():
            rows = [list(jobs) for jobs in clients.values()]
            for turn in range(max(map(len, rows), default=0)):
                yield from (row[turn] for row in rows if turn < len(row))

    def put(self, job: Job, *, first: bool = False) -> None:
        """Add a job as the last one of its client.

        Args:
            job: the job.
            first: put it before all others of its kind instead, as one that was taken and not finished.
        """
        clients = self._by_kind[job.kind]
        if first:
            jobs = clients.pop(job.client, deque())
            jobs.appendleft(job)
            self._by_kind[job.kind] = {job.client: jobs, **clients}
        else:
            clients.setdefault(job.client, deque()).append(job)

    def take(self) -> Job | None:
        """Remove and return the next job; its client is the last one in turn then."""
        for clients in self._by_kind.values():
            for client in clients:
                jobs = clients.pop(client)
                job = jobs.popleft()
                if jobs:
                    clients[client] = jobs
                return job
        return None

    def remove(self, job: Job) -> bool:
        """Remove a job; return whether it was there."""
        jobs = self._by_kind[job.kind].get(job.client)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._by_kind[job.kind][job.client]
        return True

    def of_client(self, client: str, kind: str) -> list[Job]:
        """Return the jobs of a kind of a client."""
        return list(self._by_kind[kind].get(client, ()))
