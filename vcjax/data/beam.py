"""Apache Beam: pieces of work handed to the cores of this machine, or to Flink, Spark or Dataflow.

Beam's own local runner may fetch a program from the network first; the one that is taken here by default needs nothing
but the package, and its workers are threads, which share one copy of the networks.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vcjax.errors import BadInput

LOOK = 0.5  # seconds between two looks at what is done


def pipeline_options(arguments: Sequence[str] = (), workers: int | None = None) -> Any:
    """Beam's `PipelineOptions`: of this machine's cores, unless the arguments say otherwise.

    ```python
    pipeline_options(["--runner=FlinkRunner", "--flink_master=host:8081"])
    ```

    Args:
        arguments: as Beam takes them on a command line; they overrule those that are taken by default.
        workers: threads of the local runner; as many as there are cores without it.

    Raises:
        BadInput: Beam is not installed.
    """
    beam = _beam()
    here = [
        "--runner=FnApiRunner",
        "--direct_running_mode=multi_threading",
        f"--direct_num_workers={workers or os.cpu_count() or 1}",
    ]
    return beam.options.pipeline_options.PipelineOptions([*here, *arguments])


def run(work: Callable[[Any], None], pieces: Sequence[Any], options: Any, told: Callable[[], None]) -> None:
    """Do each piece of work, wherever the pipeline's options say, and wait for all.

    Args:
        work: picklable; done again for a piece whose worker died.
        pieces: picklable.
        options: see `pipeline_options`; those without arguments where None.
        told: called every now and then meanwhile, and at the end.

    Raises:
        BadInput: Beam is not installed, or does not know the runner.
    """
    beam, options = _beam(), options or pipeline_options()
    with _called(told):
        if not pieces:
            return
        try:
            pipeline = beam.Pipeline(options=options)
        except ValueError as error:
            raise BadInput(f"Beam cannot run with these options: {error}") from error
        with pipeline:
            # Without shuffling, one worker would get them all.
            _ = pipeline | beam.Create(pieces) | beam.Reshuffle() | beam.Map(work)


def _beam() -> Any:
    """The package; BadInput where it is not installed."""
    logging.disable(logging.WARNING)  # it tells everyone that parts for Google's cloud are not installed
    try:
        import apache_beam
    except ImportError as error:
        raise BadInput(
            "preparation runs on Apache Beam, which is not installed: pip install 'vcjax[beam]'"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return apache_beam


@contextmanager
def _called(told: Callable[[], None]) -> Iterator[None]:
    """Inside, `told` is called every now and then, by a thread, and at the end."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(LOOK):
            told()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        told()
