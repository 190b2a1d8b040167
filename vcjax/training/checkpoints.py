"""Checkpoints: the whole state as one atomic item, written in the background; a half-written one is never seen.

Every process writes its part, and any mesh can read what another wrote.
"""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vcjax.errors import BadInput
from vcjax.training.state import TrainState


class Checkpoints:
    """The checkpoints of one run: the latest few, and the one with the least loss.

    ```python
    with Checkpoints(folder, keep=2) as checkpoints:
        state = checkpoints.restore(checkpoints.latest, shapes)
        checkpoints.save(step, state, loss)
    ```
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
        self._manager.close()  # waits for what is being written

    @property
    def latest(self) -> int | None:
        """Step of the last whole checkpoint; None where there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of all whole checkpoints."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: TrainState, loss: float) -> None:
        """Begin to write a state; it is copied before this returns, so the next step may donate it."""
        if step != self.latest:
            self._manager.save(step, args=ocp.args.StandardSave(state), metrics={"loss": loss}, force=True)

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """Read the checkpoint of a step.

        Args:
            step: of a whole checkpoint.
            shapes: of the state, and where it shall lie, as `Plan.shapes_at` gives them.

        Raises:
            BadInput: the checkpoint does not fit, having been written with another configuration, or it is gone, since the run
                that writes it went on and keeps only its latest.
        """
        try:
            state: Any = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        except (ValueError, KeyError, TypeError) as error:
            if not (self._manager.directory / str(step)).exists():
                raise BadInput(
                    f"the checkpoint of step {step} in {self._manager.directory} was removed as it was to be read; a run that goes "
                    "on keeps only its latest: read that"
                ) from error
            reason = str(error).splitlines()[0]
            raise BadInput(
                f"the checkpoint of step {step} in {self._manager.directory} does not fit this configuration: {reason}"
            ) from error
        return state


def _minus_loss(metrics: dict[str, float]) -> float:
    return -metrics["loss"]
