"""Monitoring of a run: metrics in JSON lines and TensorBoard, progress, sample videos, and a halt at NaN.

Metrics are fetched one step late, when the device is already computing the next step, so that nothing waits for them. Of
several processes all check them, so that all stop at the same step; the first one writes.
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

from vcjax.parallel.flops import count
from vcjax.parallel.matmul_rate import matmul_flops
from vcjax.parallel.mesh import gather_to_first_device
from vcjax.progress import Reporter, no_progress, report_progress
from vcjax.training.config import Run, Stage
from vcjax.training.step import Step
from vcjax.training.task import Batch, Task, sample_count
from vcjax.weights.trees import Tree

METRICS = "metrics.jsonl"
SAMPLES = "samples"


class TrainingMonitor:
    """Writes metrics and reports progress of a run.

    A line of metrics holds the step, the stage, the mean loss and the task's metrics since the last line, norms, the learning
    rate, samples per second, floating-point operations per step, `mfu` (their rate as a fraction of the device's measured
    matrix-product rate), the fraction of time spent waiting for data, and memory. Steps that are repeated after a crash are
    written again: the last line of a step counts.

    Args:
        run: the run.
        folder: its folder.
    """

    def __init__(self, run: Run, folder: Path):
        self._run = run
        self._folder = folder
        self._pending: tuple[Any, ...] | None = None
        self._since_save: list[float] = []
        self._flops: dict[Any, float] = {}  # by compiled program
        self._compiling = False
        self._writes = jax.process_index() == 0
        self._stack = contextlib.ExitStack()
        self._progress: Reporter | Any = no_progress
        self.last_good: int | None = None  # step of the last complete checkpoint

    def __enter__(self) -> "TrainingMonitor":
        self._reset()
        if self._writes:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._progress = self._stack.enter_context(report_progress("steps"))
            self._file = self._stack.enter_context((self._folder / METRICS).open("a", buffering=1))
            self._tensorboard = _tensorboard(self._folder)
            if self._tensorboard:
                self._stack.callback(self._tensorboard.close)
            self.phase("measuring the matrix-product rate of the device")
            self._rate = matmul_flops(self._run.compute_dtype) * jax.device_count()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def phase(self, name: str) -> None:
        """Report a phase without steps, such as loading."""
        if self._writes:
            self._progress.note = ""
            self._progress(name, 0, 0)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time within as waiting for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def prepare(self, step: Step, stage: Stage, *inputs: Any) -> None:
        """Count the operations of a stage's step for the shapes of its inputs, the last of which is the batch.

        The first batch of a shape compiles a program, which is reported as a phase.
        """
        program = _program_of(stage, inputs[-1])
        if program not in self._flops:
            size = sample_count(inputs[-1])
            self.phase(f"compiling the training step of stage {stage.name}, batch size {size}")
            self._flops[program] = count(step.trace(*inputs))
            self._compiling = True

    def step(self, number: int, stage: Stage, batch: Batch, metrics: dict[str, Any]) -> None:
        """Take the metrics of a step that is being computed, and check those of the one before.

        Raises:
            FloatingPointError: the loss or the gradient of the one before is NaN or infinite.
        """
        self._check()
        if self._compiling:
            self._compiling = False
            self._start_clock()
        self._pending = (number, stage, sample_count(batch), self._flops[_program_of(stage, batch)], metrics)

    def settle(self) -> float:
        """Check the last step too, and return the mean loss since the last call."""
        self._check()
        mean = float(np.mean(self._since_save)) if self._since_save else np.inf
        self._since_save.clear()
        return mean

    def sample(self, number: int, task: Task, ema: Tree, frozen: Tree) -> None:
        """Write sample videos of a step, made by one device."""
        ema, frozen = gather_to_first_device((ema, frozen))
        if self._writes:
            self.phase(f"sampling videos of step {number}")
            for name, clip in task.samples(ema, frozen).items():
                clip.save(self._folder / SAMPLES / f"{number:08d}_{name}.mp4")

    def _check(self) -> None:
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
            self._progress.note = f"loss {loss:.4f}"
            self._progress(f"training stage {stage.name}", number, self._run.steps)
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
            **{name: float(values[name]) for name in ("learning_rate", "gradient_norm")},
            **{name: self._sums[name] / count for name, count in sorted(self._counts.items()) if count},
            "samples_per_second": self._samples / seconds,
            "gflop_per_step": self._operations / self._timed / 1e9,
            "mfu": self._operations / seconds / self._rate,
            "data_wait": self._waited / seconds,
            "memory_gb": _memory() / 1e9,
        }
        self._file.write(json.dumps(line) + "\n")
        if self._tensorboard:
            for name, value in line.items():
                if not isinstance(value, str) and name != "step":
                    self._tensorboard.add_scalar(name, value, number)

    def _reset(self) -> None:
        self._losses: list[float] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, float] = defaultdict(float)
        self._start_clock()

    def _start_clock(self) -> None:
        """Time steps from here on; before it was compilation, or steps that have been written."""
        self._timed = 0
        self._samples = 0
        self._operations = 0.0
        self._waited = 0.0
        self._began = time.monotonic()


def _program_of(stage: Stage, batch: Batch) -> Any:
    """Return what distinguishes the compiled programs of a step."""
    return stage.name, jax.tree.structure(batch), tuple(leaf.shape for leaf in jax.tree.leaves(batch))


def _memory() -> int:
    """Return peak bytes: of the device where it reports them, else of this process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)  # Linux counts kilobytes


def _tensorboard(folder: Path) -> Any:
    """Return a TensorBoard writer; None where the package is not installed: metrics.jsonl holds the same."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
