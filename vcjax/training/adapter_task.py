"""Task adapters: training of low-rank adapters of a frozen UNet (LoRA, arXiv 2106.09685), on one card and few clips."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.training.config import Stage
from vcjax.training.diffusion_task import COMPONENTS, DiffusionTask
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.adapters import Adapter, AdapterSettings, as_variables, init_adapters, merge
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree, flatten

ADAPTERS = "adapters"  # the component that is trained


class AdapterTask(DiffusionTask):
    """Trains `adapters` of the UNet; all other parameters are those of the model, in the compute type.

    Args:
        *args: see `DiffusionTask`.
        adapters: rank, scale and layers.
        **options: see `DiffusionTask`.
    """

    allow_missing: tuple[str, ...] = ()

    def __init__(self, *args: Any, adapters: AdapterSettings, **options: Any):
        super().__init__(*args, **options)
        self._settings = adapters

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the adapters of the layers that the patterns choose."""
        shapes = jax.eval_shape(super().init, key)
        return {ADAPTERS: init_adapters(key, shapes["unet"], self._settings)}

    def frozen(self) -> Tree:
        """Return the frozen networks of `DiffusionTask`, and the model's own parameters as `base`."""
        return {**super().frozen(), "base": {name: self.composer.parameters(name) for name in COMPONENTS}}

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Return the loss of `DiffusionTask`."""
        return super().loss({**frozen["base"], **parameters}, frozen, batch, key, stage)

    def predict(self, parameters: Tree, *inputs: Any, **options: Any) -> Float[Array, "B F h w c"]:
        """Return the output of the UNet with its adapters."""
        adapters = as_variables(parameters[ADAPTERS], self._settings)
        rngs = dict(options.pop("rngs", {}))
        if self._settings.dropout and not options.get("deterministic", True):
            rngs[ADAPTERS] = jax.random.fold_in(rngs["dropout"], 1)
        return apply(self._unet, parameters["unet"], *inputs, adapters=adapters, rngs=rngs, **options)

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Sample as `DiffusionTask` does, with the adapters merged."""
        adapter = adapter_of(parameters[ADAPTERS], self._settings, {})
        base = frozen["base"]
        return super().samples({**base, "unet": merge(base["unet"], [(adapter, 1.0)])}, frozen)


def adapter_of(tree: Tree, settings: AdapterSettings, base: Mapping[str, str]) -> Adapter:
    """Return trained parameters as an adapter.

    Args:
        tree: parameters of the component `adapters`.
        settings: those of the run.
        base: name and fingerprint of the model that they were trained on.
    """
    table = {name: np.asarray(jnp.asarray(x, jnp.float32)) for name, x in flatten(tree).items()}
    names = sorted({name.rpartition("/")[0] for name in table})
    layers = {name: (table[f"{name}/down"], table[f"{name}/up"]) for name in names}
    return Adapter(layers=layers, scale=settings.scale, base=base)
