"""Several hosts as one machine: how they find one another, stop together, and end when one of them is gone.

JAX ends a process from within, by pages of log, when it loses another. So the work is done in a child of the process that a
person starts, and the parent says in one sentence what happened.
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
DETECT = "VCJAX_HOSTS"  # `auto`: on Slurm, Open MPI, Kubernetes and TPU pods JAX finds out by itself
CHILD = "VCJAX_SUPERVISED"
GONE = 3  # exit code where another host is gone
HEARTBEAT = 30  # seconds without a sign of life after which a host is gone
SHUTDOWN = 60  # seconds that a host that is done waits for the others
FATAL = re.compile(rb"F\d{4} \d\d:\d\d:\d\d")  # how a fatal line of JAX's log begins


def several() -> bool:
    """Whether this process is one of several hosts: the variables of the environment say so."""
    return COORDINATOR in os.environ or DETECT in os.environ


def supervise(command: Sequence[str]) -> int:
    """Run a command that calls `join`, as a child: what it prints is printed, and signals to stop are passed on.

    Args:
        command: the program and its arguments.

    Returns:
        Its exit code, or `GONE` where it ended because another host is gone; then a sentence says so.
    """
    environment = {**os.environ, CHILD: "1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # 3: fatal lines only
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
    assert child.stderr is not None
    lost = _pass_on(child.stderr)
    code = child.wait()
    if not lost:
        return code if code >= 0 else 128 - code
    print(
        "error: another host of this run is gone, so this one ends too: start all of them again, "
        "and they go on from the last checkpoint",
        file=sys.stderr,
    )
    return GONE


def join() -> None:
    """Join the other hosts; the first thing that a process does with JAX.

    Raises:
        BadInput: they cannot be found, or the environment does not say enough.
    """
    if os.environ.get(CHILD):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    count, index = os.environ.get(COUNT), os.environ.get(INDEX)
    if COORDINATOR in os.environ and not ((count or "").isdecimal() and (index or "").isdecimal()):
        raise BadInput(
            f"{COORDINATOR} needs {COUNT} and {INDEX} beside it, both whole numbers, not {count!r} and {index!r}"
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
        raise BadInput(f"the hosts of this run cannot be joined: {reason}") from error


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Inside, an error of an exchange between hosts is kept back until it is known whether a host is gone.

    If one is, JAX ends this process before that; else the error is raised.
    """
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if jax.process_count() > 1 and not isinstance(error, BadInput):
            time.sleep(2 * HEARTBEAT)
        raise


def told_to_stop(done: int) -> bool:
    """Whether all hosts are to stop after so many steps, since one of them received SIGTERM; all must ask after each step."""
    return multihost_utils.reached_preemption_sync_point(done)


def _pass_on(lines: IO[bytes]) -> bool:
    """Copy a child's lines to this process's, up to a fatal one of JAX; whether there was one."""
    lost = False
    for line in iter(lines.readline, b""):
        lost = lost or bool(FATAL.match(line))
        if not lost:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
    return lost


def _end_with_parent() -> None:
    """A child whose parent was killed goes too: the pipe to its input closes."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
