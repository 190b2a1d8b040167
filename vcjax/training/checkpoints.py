"""Checkpoints of the training state, written atomically and asynchronously with Orbax.

Every process writes its shards. A checkpoint can be restored on another mesh. Its files are verified before: a damaged
byte would otherwise become another parameter.
"""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import check_space, writing_to
from vcjax.training.checksums import damage, has_checksums, write_checksums
from vcjax.training.state import TrainState

POLL = 0.05  # seconds between looks whether a checkpoint is complete


class Checkpoints:
    """Checkpoints of a run: the latest ones, and the one with the lowest loss.

    ```python
    with Checkpoints(folder, keep=2) as checkpoints:
        state = checkpoints.restore(checkpoints.latest, shapes)
        checkpoints.save(step, state, loss)
    ```

    Args:
        folder: folder of the checkpoints.
        keep: number of latest checkpoints to keep.

    Raises:
        BadInput: the metadata of a checkpoint are damaged.
    """

    def __init__(self, folder: Path, keep: int):
        self._folder = folder.absolute()
        for path in self._complete():  # whose metadata are read to list them
            if has_checksums(path) and (found := damage(path, small=True)):
                raise self._damaged(path, found)
        latest, best = policies.LatestN(keep), policies.BestN(get_metric_fn=_minus_loss, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([latest, best]),
            best_fn=_minus_loss,
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checksums")
        self._sealing: Future[None] | None = None
        self._closed = threading.Event()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            with self._writing():
                self._manager.close()  # waits for pending writes
        finally:
            self._closed.set()
            self._executor.shutdown()
        self._wait_for_checksums()

    @property
    def latest(self) -> int | None:
        """Step of the latest complete checkpoint; None if there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of all complete checkpoints."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: TrainState, loss: float) -> None:
        """Start writing a state; its buffers are copied before this returns and may then be donated.

        Raises:
            BadInput: this checkpoint, or the one before, cannot be written.
        """
        if step == self.latest:
            return
        self.wait()
        self.check_space(state)
        with self._writing():
            self._manager.save(step, args=ocp.args.StandardSave(state), metrics={"loss": loss}, force=True)
        if jax.process_index() == 0:
            self._sealing = self._executor.submit(self._seal, self._folder / str(step))

    def wait(self) -> None:
        """Wait until all checkpoints are written.

        Raises:
            BadInput: one could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()
        self._wait_for_checksums()

    def check_space(self, state: Any) -> None:
        """Raise BadInput where the disk has no space for a checkpoint of a state, or of its shapes."""
        if jax.process_index() == 0:
            check_space(
                self._folder, sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)), "a checkpoint"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Report that a checkpoint could not be written, which TensorStore says with a ValueError."""
        try:
            with writing_to(self._folder):
                yield
        except ValueError as error:
            if isinstance(error, BadInput) or "os_error_code" not in str(error):
                raise
            reason = str(error).rpartition(": ")[2].partition(" [")[0]
            raise BadInput(
                f"{self._folder} cannot be written ({reason}); give a writable folder with enough space"
            ) from error

    def _seal(self, path: Path) -> None:
        """Write the checksums of a checkpoint when it is complete."""
        while not _is_complete(path):
            if self._closed.wait(POLL) and not _is_complete(path):
                return  # it failed
        write_checksums(path)

    def _wait_for_checksums(self) -> None:
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()

    def _complete(self) -> list[Path]:
        """Return the folders of all complete checkpoints, in the order of their steps."""
        if not self._folder.is_dir():
            return []
        folders = [path for path in self._folder.iterdir() if path.name.isdecimal() and _is_complete(path)]
        return sorted(folders, key=lambda path: int(path.name))

    def _damaged(self, path: Path, found: str) -> BadInput:
        """Return the error for a damaged checkpoint, which names the last one that is whole."""
        others = [other for other in reversed(self._complete()) if other != path and has_checksums(other)]
        whole = next((other for other in others if damage(other) is None), None)
        instead = (
            "no other checkpoint is whole: begin anew in another folder"
            if whole is None
            else f"delete {path} to go on from step {whole.name}, the last one that is whole"
        )
        return BadInput(f"the checkpoint of step {path.name} is damaged ({found}); {instead}")

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """Restore the checkpoint of a step.

        Args:
            step: step of a complete checkpoint.
            shapes: shapes and shardings of the state, see `TrainingSetup.shapes_at`.

        Raises:
            BadInput: the checkpoint is damaged or was written with another configuration, or a run that is still in
                progress has deleted it.
        """
        path = self._folder / str(step)
        if not has_checksums(path):
            warnings.warn(
                f"{path} cannot be verified: it was written before there were checksums, or its run was killed "
                "while they were computed",
                VcjaxWarning,
                stacklevel=2,
            )
        elif jax.process_index() == 0 and (found := damage(path)):
            raise self._damaged(path, found)
        try:
            state: Any = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        except (ValueError, KeyError, TypeError) as error:
            if not (self._manager.directory / str(step)).exists():
                raise BadInput(
                    f"the checkpoint of step {step} in {self._manager.directory} was deleted while it was "
                    "being read, since the run is still in progress: read its latest checkpoint"
                ) from error
            reason = str(error).splitlines()[0]
            raise BadInput(
                f"the checkpoint of step {step} in {self._manager.directory} does not fit this "
                f"configuration: {reason}"
            ) from error
        return state


def _is_complete(path: Path) -> bool:
    return path.is_dir() and ocp.utils.is_checkpoint_finalized(path)


def _minus_loss(metrics: dict[str, float]) -> float:
    return -metrics["loss"]
