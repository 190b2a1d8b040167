"""Checkpoints of the training state, written atomically and asynchronously with Orbax.

Every process writes its shards. A checkpoint can be restored on another mesh.
"""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vcjax.errors import BadInput
from vcjax.training.state import TrainState


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
    """

    def __init__(self, folder: Path, keep: int):
        latest, best = policies.LatestN(keep), policies.BestN(get_metric_fn=_minus_loss, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([latest, best]),
            best_fn=_minus_loss,
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: Any) -> None:
        self._manager.close()  # waits for pending writes

    @property
    def latest(self) -> int | None:
        """Step of the latest complete checkpoint; None if there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of all complete checkpoints."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: TrainState, loss: float) -> None:
        """Start writing a state; its buffers are copied before this returns and may then be donated."""
        if step != self.latest:
            self._manager.save(step, args=ocp.args.StandardSave(state), metrics={"loss": loss}, force=True)

    def wait(self) -> None:
        """Wait until all checkpoints are written."""
        self._manager.wait_until_finished()

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """Restore the checkpoint of a step.

        Args:
            step: step of a complete checkpoint.
            shapes: shapes and shardings of the state, see `TrainingSetup.shapes_at`.

        Raises:
            BadInput: the checkpoint was written with another configuration, or a run that is still in
                progress has deleted it.
        """
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


def _minus_loss(metrics: dict[str, float]) -> float:
    return -metrics["loss"]
