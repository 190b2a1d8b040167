"""The training loop: state, data, checkpoint, stages, steps. A batch becomes a loss in `Task.loss`, inside `step`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path

import jax

from vcjax.errors import BadInput
from vcjax.loading import folder_of
from vcjax.parallel import hosts
from vcjax.parallel.compilation import enable_cache
from vcjax.platforms import on_cpu
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import Run
from vcjax.training.plan import Plan, plan
from vcjax.training.record import check_record, record
from vcjax.training.state import TrainState
from vcjax.training.step import make_step
from vcjax.training.task import Task
from vcjax.training.watch import Watch
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.trees import Tree, first_difference, flatten


def train(run: Run, task: Task) -> int:
    """Train through all stages, going on from the last checkpoint of the run's folder if there is one.

    SIGTERM and SIGINT end the run after the step in flight, with a checkpoint; SIGTERM to one host ends all of them.

    Returns:
        How many steps are done, of `run.steps`.

    Raises:
        BadInput: the folder's checkpoint is of another configuration, or what the run starts from is missing.
        FloatingPointError: a loss or gradient is not finite; the message names step, seed and last good checkpoint.
    """
    enable_cache()
    out, planned = Path(run.out), plan(run, task)
    check_record(run, out)
    with (
        hosts.ending_together(),
        stopping() as told_to_stop,  # until the last checkpoint is written
        Checkpoints(out / "checkpoints", run.keep) as checkpoints,
        Watch(run, out) as watch,
    ):
        stop = False
        state, done = first_state(planned, task, checkpoints)
        record(run, out)
        watch.last_good = checkpoints.latest
        frozen = planned.frozen(task.frozen())
        first = run.stage_of(done)
        for index in range(first, len(run.stages)):
            if stop:
                break
            stage, begin, end = run.stages[index], run.begin_of(index), run.begin_of(index + 1)
            if index > first:
                state = planned.enter_stage(state, index)
            step = make_step(task, planned, index)
            with closing(task.batches(stage, begin, done)) as batches:
                while done < end and not stop:
                    with watch.waiting():
                        batch = planned.batch(next(batches), images=stage.is_on_images(done - begin))
                    watch.count_operations(step, stage, state, frozen, batch)
                    state, metrics = step(state, frozen, batch)
                    done += 1
                    stop = told_to_stop(done)
                    watch.step(done, stage, batch, metrics)
                    if done % run.save_every == 0 or done == end or stop:
                        checkpoints.save(done, state, watch.settle())
                        watch.last_good = done
                    if run.sample_every and done % run.sample_every == 0:
                        watch.show(done, task, state.average, frozen)
    return done


def first_state(planned: Plan, task: Task, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """The state to go on from and how many steps it has behind it.

    It is the last checkpoint's; else it begins with the parameters in the model folder `run.start`, else with the
    task's own.

    Raises:
        BadInput: the checkpoint or the folder's parameters do not fit the configuration, or are beyond its last step.
    """
    run, latest = planned.run, checkpoints.latest
    if latest is not None:
        if latest > run.steps:
            raise BadInput(
                f"{run.out} has a checkpoint of step {latest}, but config.stages are {run.steps} steps: give more"
            )
        return checkpoints.restore(latest, planned.shapes_at(latest)), latest
    with on_cpu():  # a GPU's compiler takes minutes for hundreds of random tensors
        key = jax.random.key(run.seed, impl="unsafe_rbg")  # compiles faster than threefry
        fresh = partial(task.init, key)
        parameters = _started(run.start, planned.shapes, task.growing, fresh) if run.start else fresh()
    done = run.begin_of(run.first_stage)
    return planned.begin(parameters, done), done


def _started(start: str, shapes: Tree, growing: tuple[str, ...], fresh: Callable[[], Tree]) -> Tree:
    """The parameters in a model folder; members of growing components that it lacks, and only those, begin fresh."""
    folder = folder_of(start)
    config = read_config(folder)
    fresh = cache(fresh)
    parameters = {}
    for component, wanted in shapes.items():
        if not flatten(wanted):  # of a model without maps or style; the folder has no file for it
            parameters[component] = wanted
            continue
        read = read_component(folder, config, component, dtype="float32")
        missing = wanted.keys() - read.keys() if component in growing else ()
        read |= {name: fresh()[component][name] for name in missing}
        difference = first_difference(flatten(read), flatten(wanted))
        if difference:
            raise BadInput(f"config.start: {component} in {folder} does not fit this model: {difference}")
        parameters[component] = read
    return parameters


@contextmanager
def stopping() -> Iterator[Callable[[int], bool]]:
    """Tells after each step whether SIGTERM or SIGINT has come; a second SIGINT interrupts at once."""
    if jax.process_count() > 1:  # JAX listens, and makes all stop after the same step
        yield hosts.told_to_stop
        return
    received: list[int] = []

    def take(number: int, _: object) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda _: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
