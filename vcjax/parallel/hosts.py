"""Multi-host runs: initialisation, coordinated stop on SIGTERM, and termination when another host is lost.

JAX aborts a process with many lines of log when it loses another one. The work is therefore done in a child
process, and the parent process reports the failure in one sentence.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO

import jax
from jax.experimental import multihost_utils

from vcjax.errors import BadInput

COORDINATOR, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
DETECT = "VCJAX_HOSTS"  # `auto` on Slurm, Open MPI, Kubernetes and TPU pods, where JAX detects the hosts
CHILD = "VCJAX_SUPERVISED"
EXIT_HOST_LOST = 3  # exit code when another host is lost
HEARTBEAT = 30  # seconds without a heartbeat after which a host counts as lost
SHUTDOWN = 60  # seconds that a finished host waits for the others
FATAL = re.compile(rb"F\d{4} \d\d:\d\d:\d\d")  # beginning of a fatal line in JAX's log


def is_multi_host() -> bool:
    """Return whether the environment variables declare this process as one of several hosts."""
    return COORDINATOR in os.environ or DETECT in os.environ


def supervise(command: Sequence[str]) -> int:
    """Run a command that calls `join` in a child process, forwarding its output and signals to stop.

    Args:
        command: program and arguments.

    Returns:
        The exit code of the command, or `EXIT_HOST_LOST`, with a message, if it ended because another host
        was lost.
    """
    environment = {**os.environ, CHILD: "1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # 3: fatal lines only
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
    assert child.stderr is not None
    host_lost = _forward_stderr(child.stderr)
    code = child.wait()
    if not host_lost:
        return code if code >= 0 else 128 - code
    print(
        "error: another host of this run was lost, so this one ends too: restart all hosts, "
        "and the run resumes from the last checkpoint",
        file=sys.stderr,
    )
    return EXIT_HOST_LOST


def join() -> None:
    """Initialise JAX for a multi-host run; call it before any other use of JAX.

    Raises:
        BadInput: the other hosts cannot be reached, or environment variables are missing.
    """
    if os.environ.get(CHILD):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    count, index = os.environ.get(COUNT), os.environ.get(INDEX)
    if COORDINATOR in os.environ and not ((count or "").isdecimal() and (index or "").isdecimal()):
        raise BadInput(
            f"{COORDINATOR} needs {COUNT} and {INDEX} too, both whole numbers, not {count!r} and {index!r}"
        )
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count),
            process_id=None if index is None else int(index),
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"the other hosts of this run cannot be reached: {reason}") from error


@contextlib.contextmanager
def deferring_errors() -> Iterator[None]:
    """Defer errors of communication between hosts inside this context, until lost hosts have been detected.

    If a host was lost, JAX aborts this process in the meantime. Otherwise the error is raised.
    """
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if jax.process_count() > 1 and not isinstance(error, BadInput):
            time.sleep(2 * HEARTBEAT)
        raise


def should_stop(done: int) -> bool:
    """Return whether all hosts must stop because one of them received SIGTERM.

    All hosts must call this after each step.

    Args:
        done: number of steps done.
    """
    return multihost_utils.reached_preemption_sync_point(done)


def _forward_stderr(stderr: IO[bytes]) -> bool:
    """Copy the lines of a child's stderr up to a fatal line of JAX, and return whether there was one."""
    fatal = False
    for line in iter(stderr.readline, b""):
        fatal = fatal or bool(FATAL.match(line))
        if not fatal:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
    return fatal


def _end_with_parent() -> None:
    """Kill this process when its parent ends, which closes the pipe to stdin."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
