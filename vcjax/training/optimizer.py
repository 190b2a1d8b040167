"""Optax optimisers and schedules from their configuration."""

import inspect
from typing import Any

import jax
import optax

from vcjax.errors import BadInput
from vcjax.training.config import Optimizer
from vcjax.weights.trees import Tree


def make_schedule(config: Optimizer, steps: int) -> optax.Schedule:
    """Learning rate at each step of a stage of so many: warm-up from 0, then constant, cosine or linear decay."""
    rest = max(steps - config.warmup, 1)
    peak, final = config.learning_rate, config.learning_rate * config.final
    after = {
        "constant": optax.constant_schedule(peak),
        "cosine": optax.cosine_decay_schedule(peak, rest, alpha=config.final),
        "linear": optax.linear_schedule(peak, final, rest),
    }[config.decay]
    if not config.warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, config.warmup), after], [config.warmup])


def make_optimizer(config: Optimizer, steps: int, trained: Tree) -> optax.GradientTransformation:
    """The optimiser of a stage; parameters that are not trained do not move by a bit.

    Args:
        config: what it is.
        steps: of the stage.
        trained: a tree like the parameters, of booleans.

    Raises:
        BadInput: Optax has no such optimiser, or it has no weight decay.
    """
    family: Any = getattr(optax, config.name, None)
    takes = inspect.signature(family).parameters if inspect.isfunction(family) else {}
    if "learning_rate" not in takes:
        raise BadInput(
            f"optimizer.name must be an optimiser of optax such as adamw or lion, not {config.name!r}"
        )
    options: dict[str, Any] = {}
    if "weight_decay" in takes and "mask" in takes:
        options = {"weight_decay": config.weight_decay, "mask": _kernels}
    elif config.weight_decay:
        raise BadInput(f"optimizer {config.name} has no weight decay: leave weight_decay at 0")
    transform = family(make_schedule(config, steps), **options)
    if config.clip:
        transform = optax.chain(optax.clip_by_global_norm(config.clip), transform)
    labels = jax.tree.map(lambda yes: "trained" if yes else "frozen", trained)
    return optax.multi_transform({"trained": transform, "frozen": optax.set_to_zero()}, labels)


def _kernels(parameters: Any) -> Any:
    """Weight decay is for kernels and embeddings, not for biases and the scales of norms."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)
