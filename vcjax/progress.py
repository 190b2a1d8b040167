"""Progress of long work: a bar on a terminal, lines of text in a pipe or a log file.

Lines are printed at the start of each phase, and once a minute within it, whether or not steps are completed. So whoever
reads the log knows what the program is doing.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

ProgressCallback = Callable[
    [str, int, int], None
]  # phase, completed steps, total steps (0 where it has no steps)

INTERVAL = 60.0  # seconds between lines of one phase


class Reporter(Protocol):
    """A progress callback with a note that is shown beside the steps, such as the current loss."""

    note: str

    def __call__(self, phase: str, completed: int, total: int) -> None:
        """Report the progress of a phase."""
        ...


def no_progress(phase: str, completed: int, total: int) -> None:
    """Report nothing."""


@contextlib.contextmanager
def report_progress(
    unit: str = "steps", *, download: bool = False, stream: Any = None, interval: float | int = INTERVAL
) -> Iterator[Reporter]:
    """Report progress on standard error.

    ```python
    with report_progress("clips") as progress:
        progress("encoding", 3, 10)
    ```

    Args:
        unit: what steps are called.
        download: steps are bytes.
        stream: stream to write to; standard error where None.
        interval: seconds between lines of one phase.
    """
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and (bar := _bar(unit, download, stream)) is not None:
        with bar as (task, progress):
            yield _Bar(task, progress)
        return
    lines = LineReporter("bytes" if download else unit, stream, interval)
    try:
        yield lines
    finally:
        lines.close()


class LineReporter:
    """Prints a line at the start of each phase, and one per interval within it.

    Args:
        unit: what steps are called.
        stream: stream to write to.
        interval: seconds between lines of one phase.
    """

    def __init__(self, unit: str, stream: Any, interval: float | int = INTERVAL):
        self.note = ""
        self._unit, self._stream, self._interval = unit, stream, interval
        self._began = time.monotonic()
        self._phase, self._completed, self._total = "", 0, 0
        self._phase_began, self._phase_first = self._began, 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()

    def __call__(self, phase: str, completed: int, total: int) -> None:
        """Report the progress of a phase."""
        with self._lock:
            changed, self._phase = phase != self._phase, phase
            self._completed, self._total = completed, total
            if changed:
                self._phase_began, self._phase_first = time.monotonic(), completed
                self._print()

    def close(self) -> None:
        """Stop printing."""
        self._closed.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._closed.wait(self._interval):
            with self._lock:
                if self._phase:
                    self._print()

    def _print(self) -> None:
        now = time.monotonic()
        steps = f": {self._completed} of {self._total} {self._unit}" if self._total > 1 else ""
        note = f", {self.note}" if self.note else ""
        since, gained = now - self._phase_began, self._completed - self._phase_first
        left = ""
        if gained > 0 and self._total > self._completed:
            left = f", about {duration(since / gained * (self._total - self._completed))} left"
        elif since >= self._interval / 2:
            left = f", for {duration(since)}"
        line = f"[{duration(now - self._began)}] {self._phase}{steps}{note}{left}"
        print(line, file=self._stream, flush=True)


def duration(seconds: float | int) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Bar:
    """The steps of a Rich progress bar."""

    def __init__(self, task: Any, progress: Any):
        self.note = ""
        self._task, self._progress = task, progress
        self._phase = ""

    def __call__(self, phase: str, completed: int, total: int) -> None:
        if phase != self._phase and completed < total:  # the time left is that of the phase
            self._progress.reset(self._task, completed=completed)
        self._phase = phase
        text = f"{phase}, {self.note}" if self.note else phase
        self._progress.update(self._task, description=text, completed=completed, total=total or None)


def _bar(unit: str, download: bool, stream: Any) -> Any:
    """Return a context manager with a Rich task and its progress; None on a machine without Rich."""
    try:
        from rich import progress as rich_progress
        from rich.console import Console
    except ImportError:
        return None
    count = rich_progress.DownloadColumn() if download else rich_progress.MofNCompleteColumn()
    columns = (
        rich_progress.TextColumn("{task.description:<44}"),
        rich_progress.BarColumn(),
        count,
        rich_progress.TextColumn("" if download else unit),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
    )

    @contextlib.contextmanager
    def bar() -> Iterator[tuple[Any, Any]]:
        # What is printed goes where it was meant to: standard output may be a file.
        console = Console(file=stream)
        with rich_progress.Progress(*columns, console=console, redirect_stdout=False) as progress:
            yield progress.add_task("starting", total=None), progress

    return bar()
