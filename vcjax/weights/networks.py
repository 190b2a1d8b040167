"""The networks that a model is made of: which module each component is, and the shapes of its parameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamNotFoundError, ScopeParamShapeError

from vcjax.errors import BadInput
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import TextTower
from vcjax.models.stc import POOLED, STCEncoder
from vcjax.models.tokens import TokenEncoder
from vcjax.models.unet import UNet
from vcjax.settings import typed
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """All networks of a model, without their parameters. The defaults are the released sizes.

    Attributes:
        unet: the denoiser.
        stc: the condition encoder; one set of parameters for each map condition.
        tokens: text and style to tokens.
        autoencoder: images to latents and back.
        text: CLIP's text tower.
    """

    unet: UNet = dataclasses.field(default_factory=UNet)
    stc: STCEncoder = dataclasses.field(default_factory=STCEncoder)
    tokens: TokenEncoder = dataclasses.field(default_factory=TokenEncoder)
    autoencoder: Autoencoder = dataclasses.field(default_factory=Autoencoder)
    text: TextTower = dataclasses.field(default_factory=TextTower)

    def with_dtype(self, dtype: Any) -> "Networks":
        """The same networks computing in another type."""
        modules: dict[str, Any] = {name: module.clone(dtype=dtype) for name, module in _modules(self).items()}
        return Networks(**modules)

    def shapes(self, channels: Mapping[str, int], vectors: Mapping[str, int]) -> dict[str, Tree]:
        """Parameter shapes of every component, as trees of `jax.ShapeDtypeStruct`; nothing is computed.

        Args:
            channels: channels of each map condition, by name; `stc` has an encoder for each.
            vectors: width of each vector condition (style), by name; `tokens` has an MLP for each.
        """
        key = jax.eval_shape(lambda: jax.random.key(0))

        def parameters(module: Any, *inputs: Any) -> Tree:
            return jax.eval_shape(module.init, key, *inputs)["params"]

        rows = _array(1, self.text.length, self.text.width)
        embeddings = {"text": rows, **{name: _array(1, width) for name, width in vectors.items()}}
        present = {name: _array(1, dtype=bool) for name in embeddings}
        side = 2 ** (len(self.unet.multipliers) - 1)
        latent = (1, 1, side, side)
        factor = self.autoencoder.factor
        encoder = _ToSize(self.stc, (side, side))
        modules = {
            "unet": (
                self.unet,
                _array(*latent, self.unet.latent_channels),
                _array(1),
                _array(*latent, self.stc.features),
                rows,
                _array(1, self.text.length, dtype=bool),
            ),
            "autoencoder": (self.autoencoder, _array(1, factor, factor, 3)),
            "text": (self.text, _array(1, self.text.length, dtype=jnp.int32)),
        }
        shapes = {name: parameters(*module) for name, module in modules.items()}
        maps = {name: _array(1, 1, POOLED * side, POOLED * side, count) for name, count in channels.items()}
        shapes["stc"] = {name: parameters(encoder, map_) for name, map_ in maps.items()}
        shapes["tokens"] = parameters(self.tokens, embeddings, present) if vectors else {}
        return shapes


@dataclasses.dataclass(frozen=True)
class _ToSize:
    """An STC-encoder with the size of the latent filled in, so that all its inputs are arrays."""

    encoder: STCEncoder
    size: tuple[int, int]

    def init(self, key: jax.Array, condition: jax.Array) -> Any:
        return self.encoder.init(key, condition, self.size)


def apply(module: nn.Module, parameters: Tree, *inputs: Any, **options: Any) -> Any:
    """What a module answers with these parameters.

    Raises:
        BadInput: the parameters are not a module's of these sizes.
    """
    try:
        return module.apply({"params": parameters}, *inputs, **options)
    except (ScopeParamShapeError, ScopeParamNotFoundError) as error:
        reason = str(error).split(" (https")[0]
        raise BadInput(f"weights do not fit the sizes of their {type(module).__name__}: {reason}") from error


def networks_from_settings(settings: Mapping[str, Any]) -> Networks:
    """Networks from a model's configuration, `{component: {field: value}}`.

    Raises:
        BadInput: an unknown component, or a field that its module does not have.
    """
    modules = _modules(Networks())
    for name in settings:
        if name not in modules:
            raise BadInput(f"unknown component {name!r}: a model is made of {', '.join(modules)}")
    own = {"parent", "name"}
    chosen: dict[str, Any] = {
        name: typed(type(modules[name]), fields, f"component {name}", leave_out=own)
        for name, fields in settings.items()
    }
    return Networks(**chosen)


def settings_of(networks: Networks) -> dict[str, dict[str, Any]]:
    """The inverse of `networks_from_settings`, without what only this run decides (compute type and the like)."""
    run = {"parent", "name", "dtype", "attention", "rematerialised"}
    return {
        name: {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in run}
        for name, module in _modules(networks).items()
    }


def _modules(networks: Networks) -> dict[str, nn.Module]:
    return {field.name: getattr(networks, field.name) for field in dataclasses.fields(networks)}


def _array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def random_parameters(shapes: Tree, seed: int) -> Tree:
    """Random float32 parameters, none of them zero: for comparisons, benchmarks, and models not trained yet.

    Kernels are normal with deviation 1 / sqrt(inputs), so that activations keep their size; scales are near 1, biases
    near 0. Even the layers that training starts at zero are random. A tensor depends on the seed and on its place in
    the tree's order alone.
    """
    leaves, structure = jax.tree.flatten_with_path(shapes)
    rngs = np.random.default_rng(seed).spawn(len(leaves))

    def draw(path: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        x = rng.standard_normal(shape, np.float32)
        if path[-1].key == "kernel":
            return x / np.sqrt(np.prod(shape[:-1], dtype=np.float32))
        return 1 + 0.1 * x if path[-1].key == "scale" else 0.1 * x

    drawn = [draw(path, leaf.shape, rng) for (path, leaf), rng in zip(leaves, rngs, strict=True)]
    return jax.tree.unflatten(structure, drawn)
