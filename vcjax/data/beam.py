"""Apache Beam pipelines on the cores of this machine, or on Flink, Spark or Dataflow.

Beam's default local runner may download a program first. The default here, FnApiRunner, needs only the
package, and its workers are threads, which share one copy of the networks.
"""

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vcjax.errors import BadInput

POLL_INTERVAL = 0.5  # seconds between two progress reports


def pipeline_options(arguments: Sequence[str] = (), workers: int | None = None) -> Any:
    """Return Beam's `PipelineOptions`, for the cores of this machine unless the arguments say otherwise.

    ```python
    pipeline_options(["--runner=FlinkRunner", "--flink_master=host:8081"])
    ```

    Args:
        arguments: command-line options of Beam, which override the defaults.
        workers: threads of the local runner; the number of cores where None.

    Raises:
        BadInput: Beam is not installed.
    """
    beam = _import_beam()
    defaults = [
        "--runner=FnApiRunner",
        "--direct_running_mode=multi_threading",
        f"--direct_num_workers={workers or os.cpu_count() or 1}",
    ]
    return beam.options.pipeline_options.PipelineOptions([*defaults, *arguments])


def run(
    function: Callable[[Any], None], items: Sequence[Any], options: Any, report: Callable[[], None]
) -> None:
    """Apply a function to each item in a Beam pipeline, and wait for all.

    Args:
        function: picklable function; repeated for an item whose worker died.
        items: picklable arguments.
        options: see `pipeline_options`; the defaults where None.
        report: called every `POLL_INTERVAL` seconds during the run, and at its end.

    Raises:
        BadInput: Beam is not installed, or rejects the options, or the function raises it.
    """
    beam, options = _import_beam(), options or pipeline_options()
    with _calling(report):
        if not items:
            return
        try:
            pipeline = beam.Pipeline(options=options)
        except ValueError as error:
            raise BadInput(f"Beam cannot run with these options: {error}") from error
        reporting = _Reporting(function)
        with _raising_failures(reporting.run), pipeline:
            # Without shuffling, one worker would get all items.
            _ = pipeline | beam.Create(items) | beam.Reshuffle() | beam.Map(reporting)


class _Reporting:
    """A function whose `BadInput` ends the run in one sentence; the items after it are left.

    In a thread of this process it is noted for the end of the pipeline, since Beam would print the traceback of each worker.
    In another process it is raised, which Beam reports.
    """

    def __init__(self, function: Callable[[Any], None]):
        self._function, self.run = function, uuid.uuid4().hex

    def __call__(self, item: Any) -> None:
        failures = _failures.get(self.run)
        if failures:
            return
        try:
            self._function(item)
        except BadInput as error:
            if failures is None:
                raise
            failures.append(error)


_failures: dict[str, list[BadInput]] = {}  # of the runs of this process


@contextmanager
def _raising_failures(run: str) -> Iterator[None]:
    """Raise what went wrong in a run: in a thread, or in a process, whose traceback Beam reports in a RuntimeError."""
    failures = _failures[run] = []
    marker = f"{BadInput.__module__}.{BadInput.__name__}: "
    try:
        yield
    except RuntimeError as error:
        _, found, sentence = str(error).rpartition(marker)
        if not found:
            raise
        raise BadInput(sentence.partition(" [while running")[0].strip()) from error
    finally:
        del _failures[run]
    if failures:
        raise failures[0]


def _import_beam() -> Any:
    """Import Apache Beam; BadInput where it is not installed."""
    logging.disable(logging.WARNING)  # Beam warns that its modules for Google Cloud are not installed
    try:
        import apache_beam
    except ImportError as error:
        raise BadInput(
            "preparation needs Apache Beam, which is not installed: pip install 'vcjax[beam]'"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return apache_beam


@contextmanager
def _calling(report: Callable[[], None]) -> Iterator[None]:
    """Call `report` periodically in a thread inside the context, and at its end."""
    ended = threading.Event()

    def call() -> None:
        while not ended.wait(POLL_INTERVAL):
            report()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        report()
