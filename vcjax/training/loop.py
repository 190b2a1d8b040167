"""Training loop: state, stages, batches, steps and checkpoints; `vcjax.training.step` defines a step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path

import jax

from vcjax.composer.loading import folder_of
from vcjax.errors import BadInput
from vcjax.files import writing_to
from vcjax.parallel import hosts
from vcjax.parallel.compilation import enable_cache
from vcjax.platforms import on_cpu
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import Run
from vcjax.training.monitor import TrainingMonitor
from vcjax.training.run_metadata import check_folder, check_metadata, held_folder, write_metadata
from vcjax.training.setup import TrainingSetup, set_up
from vcjax.training.state import TrainState
from vcjax.training.step import make_step
from vcjax.training.task import Task
from vcjax.weights.folder import read_component, read_config
from vcjax.weights.trees import Tree, first_difference, flatten


def train(run: Run, task: Task) -> int:
    """Train all stages of a run, from its latest checkpoint if there is one.

    SIGTERM and SIGINT end the run after the current step, with a checkpoint; SIGTERM to one host ends all
    hosts.

    Args:
        run: configuration.
        task: task to train.

    Returns:
        Number of completed steps, `run.steps` unless the run was interrupted.

    Raises:
        BadInput: the checkpoint is damaged or has another configuration, the initial parameters are missing, or another
            process trains in the folder.
        FloatingPointError: a loss or gradient is not finite; the message names step, seed and last good
            checkpoint.
    """
    enable_cache()
    out = Path(run.out)
    check_folder(out)
    setup = set_up(run, task)
    check_metadata(run, out)
    with (
        hosts.deferring_errors(),
        held_folder(out),
        writing_to(out),
        stop_signals() as should_stop,  # until the last checkpoint is written
        Checkpoints(out / "checkpoints", run.keep_checkpoints) as checkpoints,
        TrainingMonitor(run, out) as monitor,
    ):
        stop = False
        latest = checkpoints.latest
        resumed = f"continuing from step {latest} of {run.steps}"
        monitor.phase("initialising parameters" if latest is None else resumed)
        state, done = initial_state(setup, task, checkpoints)
        checkpoints.check_space(state)
        write_metadata(run, out)
        monitor.last_good = latest
        monitor.phase("loading frozen networks")
        frozen = setup.frozen(task.frozen())
        first = run.stage_at(done)
        for index in range(first, len(run.stages)):
            if stop:
                break
            stage, begin, end = run.stages[index], run.first_step(index), run.first_step(index + 1)
            if index > first:
                state = setup.enter_stage(state, index)
            step = make_step(task, setup, index)
            monitor.phase(f"preparing the first batch of stage {stage.name}")
            with closing(task.batches(stage, begin, done)) as batches:
                while done < end and not stop:
                    with monitor.waiting():
                        batch = setup.batch(next(batches), images=stage.is_on_images(done - begin))
                    monitor.prepare(step, stage, state, frozen, batch)
                    state, metrics = step(state, frozen, batch)
                    done += 1
                    stop = should_stop(done)
                    monitor.step(done, stage, batch, metrics)
                    if done % run.save_every == 0 or done == end or stop:
                        checkpoints.save(done, state, monitor.settle())
                        monitor.last_good = done
                    if run.sample_every and done % run.sample_every == 0:
                        monitor.sample(done, task, state.ema, frozen)
        monitor.phase("writing the last checkpoint")
        checkpoints.wait()
    return done


def initial_state(setup: TrainingSetup, task: Task, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """Return the state to train from, and its number of completed steps.

    The state is that of the latest checkpoint. Without one, its parameters are those of the model folder
    `run.init_from`, or else the task's initial parameters.

    Raises:
        BadInput: the checkpoint or the parameters do not fit the configuration, or the checkpoint is beyond
            its last step.
    """
    run, latest = setup.run, checkpoints.latest
    if latest is not None:
        if latest > run.steps:
            raise BadInput(
                f"{run.out} has a checkpoint of step {latest}, but config.stages have {run.steps} steps only"
            )
        return setup.place(checkpoints.restore(latest, setup.shapes_at(latest))), latest
    with on_cpu():  # compiling hundreds of random initialisers for a GPU takes minutes
        key = jax.random.key(run.seed, impl="unsafe_rbg")  # compiles faster than threefry
        init = partial(task.init, key)
        parameters = (
            _read_parameters(run.init_from, setup.shapes, task.allow_missing, init)
            if run.init_from
            else init()
        )
    done = run.first_step(run.first_stage)
    return setup.create_state(parameters, done), done


def _read_parameters(
    init_from: str, shapes: Tree, allow_missing: tuple[str, ...], init: Callable[[], Tree]
) -> Tree:
    """Read the parameters of a model folder; missing encoders of `allow_missing` components are initialised.

    Raises:
        BadInput: another parameter is missing or has another shape.
    """
    folder = folder_of(init_from)
    config = read_config(folder)
    init = cache(init)
    parameters = {}
    for component, target in shapes.items():
        if not flatten(target):  # component of a model without maps or style; it has no file
            parameters[component] = target
            continue
        read = read_component(folder, config, component, dtype="float32")
        missing = target.keys() - read.keys() if component in allow_missing else ()
        read |= {name: init()[component][name] for name in missing}
        difference = first_difference(flatten(read), flatten(target))
        if difference:
            raise BadInput(f"config.init_from: {component} in {folder} does not fit this model: {difference}")
        parameters[component] = read
    return parameters


@contextmanager
def stop_signals() -> Iterator[Callable[[int], bool]]:
    """Yield a function that returns whether SIGTERM or SIGINT was received by the end of a step.

    A second SIGINT raises KeyboardInterrupt immediately.
    """
    if jax.process_count() > 1:  # JAX handles the signals, so that all hosts stop after the same step
        yield hosts.should_stop
        return
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda _: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
