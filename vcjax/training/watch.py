"""Watching a run: a line of metrics in jsonl and TensorBoard, a progress bar, samples, and a halt at what is not finite.

Metrics are fetched one step late, when the device has long gone on to the next, so that nobody waits for them. Of several
processes all look, so that all stop at the same step, and the first one writes.
"""

import contextlib
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vcjax.parallel.mesh import gathered
from vcjax.parallel.rate import matrix_rate
from vcjax.training.config import Run, Stage
from vcjax.training.step import Step
from vcjax.training.task import Batch, Task, sample_count
from vcjax.weights.trees import Tree

METRICS = "metrics.jsonl"
SAMPLES = "samples"


class Watch:
    """What a run says of itself, to files and to people.

    A line holds step, stage, mean loss and metrics since the line before, norms, learning rate, samples a second,
    floating-point operations a step and the share of the device's matrix rate that they make (utilisation), the share
    of time that was spent waiting for data, and memory. Steps that are repeated after a crash are told again: the
    last line of a step counts.
    """

    def __init__(self, run: Run, folder: Path):
        self._run = run
        self._folder = folder
        self._pending: tuple[Any, ...] | None = None
        self._since_save: list[float] = []
        self._flops: dict[Any, float] = {}  # of each program
        self._compiling = False
        self._writes = jax.process_index() == 0
        self.last_good: int | None = None  # step of the last whole checkpoint

    def __enter__(self) -> "Watch":
        self._reset()
        if self._writes:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._rate = matrix_rate(self._run.dtype) * jax.device_count()
            self._file = (self._folder / METRICS).open("a", buffering=1)
            self._board = _tensorboard(self._folder)
            self._bar = _bar(self._run.steps)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._writes:
            self._file.close()
            self._bar.stop()
            if self._board:
                self._board.close()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is spent waiting for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def count_operations(self, step: Step, stage: Stage, *inputs: Any) -> None:
        """Count the operations of a stage's step on a batch of this shape, the last of its inputs, when it first comes."""
        program = _program_of(stage, inputs[-1])
        if program not in self._flops:
            self._flops[program] = step.operations(*inputs)
            self._compiling = True

    def step(self, number: int, stage: Stage, batch: Batch, metrics: dict[str, Any]) -> None:
        """Take the metrics of a step that is under way, and look at those of the one before.

        Raises:
            FloatingPointError: the loss or the gradient of the one before is NaN or infinite.
        """
        self._look()
        if self._compiling:
            self._compiling = False
            self._start_clock()
        self._pending = (number, stage, sample_count(batch), self._flops[_program_of(stage, batch)], metrics)

    def settle(self) -> float:
        """Look at the last step too, and give the mean loss since this was last called."""
        self._look()
        mean = float(np.mean(self._since_save)) if self._since_save else np.inf
        self._since_save.clear()
        return mean

    def show(self, number: int, task: Task, average: Tree, frozen: Tree) -> None:
        """Write sample videos of a step; one device makes them."""
        average, frozen = gathered((average, frozen))
        if self._writes:
            for name, clip in task.samples(average, frozen).items():
                clip.save(self._folder / SAMPLES / f"{number:08d}_{name}.mp4")

    def _look(self) -> None:
        if self._pending is None:
            return
        number, stage, samples, flops, metrics = self._pending
        self._pending = None
        values = jax.device_get(metrics)
        self._check_finite(number, values)
        loss = float(values["loss"])
        self._since_save.append(loss)
        self._losses.append(loss)
        self._timed += 1
        self._samples += samples
        self._operations += flops
        for name, total in values["sums"].items():
            self._sums[name] += float(total)
            self._counts[name] += float(values["counts"][name])
        if self._writes:
            self._bar.update(number, loss)
        if number % self._run.log_every == 0 or number == self._run.steps:
            if self._writes:
                self._write(number, stage, values)
            self._reset()

    def _check_finite(self, number: int, values: Mapping[str, Any]) -> None:
        for name in ("loss", "gradient_norm"):
            if not np.isfinite(values[name]):
                good = self.last_good
                last = (
                    "there is no checkpoint" if good is None else f"the last good checkpoint is step {good}'s"
                )
                raise FloatingPointError(
                    f"{name.replace('_', ' ')} of step {number} (seed {self._run.seed}) is {values[name]}: "
                    f"the run has stopped, and {last}"
                )

    def _write(self, number: int, stage: Stage, values: Mapping[str, Any]) -> None:
        seconds = time.monotonic() - self._began
        line = {
            "step": number,
            "stage": stage.name,
            "loss": float(np.mean(self._losses)),
            **{name: float(values[name]) for name in ("learning_rate", "gradient_norm", "parameter_norm")},
            **{name: self._sums[name] / count for name, count in sorted(self._counts.items()) if count},
            "samples_a_second": self._samples / seconds,
            "gflop_a_step": self._operations / self._timed / 1e9,
            "utilisation": self._operations / seconds / self._rate,
            "data_wait": self._waited / seconds,
            "memory_gb": _memory() / 1e9,
        }
        self._file.write(json.dumps(line) + "\n")
        if self._board:
            for name, value in line.items():
                if not isinstance(value, str) and name != "step":
                    self._board.add_scalar(name, value, number)

    def _reset(self) -> None:
        self._losses: list[float] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, float] = defaultdict(float)
        self._start_clock()

    def _start_clock(self) -> None:
        """Time steps from here on; what went before was compilation, or is told."""
        self._timed = 0
        self._samples = 0
        self._operations = 0.0
        self._waited = 0.0
        self._began = time.monotonic()


def _program_of(stage: Stage, batch: Batch) -> Any:
    """What tells one program of the step from another."""
    return stage.name, jax.tree.structure(batch), tuple(leaf.shape for leaf in jax.tree.leaves(batch))


def _memory() -> int:
    """Peak bytes: of the device where it tells, else of this process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)  # Linux counts kilobytes


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard writer; None on a bare machine, which lacks the package: metrics.jsonl holds the same."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


class _Lines:
    """The progress of a bare machine, which lacks rich: a line every minute."""

    def __init__(self, total: int):
        self._total = total
        self._told = time.monotonic()

    def update(self, number: int, loss: float) -> None:
        """Print a line if it is time."""
        if time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            print(f"step {number} of {self._total}: loss {loss:.4f}", file=sys.stderr)

    def stop(self) -> None:
        """Nothing is to be closed."""


class _Bar:
    """A progress bar with the time that is left."""

    def __init__(self, total: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("compiling", total=total)
        self._progress.start()

    def update(self, number: int, loss: float) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=number, description=f"loss {loss:.4f}")

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def _bar(total: int) -> _Bar | _Lines:
    try:
        return _Bar(total)
    except ImportError:
        return _Lines(total)
