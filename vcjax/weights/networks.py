"""The networks that a model is made of: which module each component is, and the shapes of its parameters."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamNotFoundError, ScopeParamShapeError
from jaxtyping import PRNGKeyArray

from vcjax.errors import BadInput
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import ImageTower, TextProjection, TextTower
from vcjax.models.dpt import DPT
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.models.stc import POOLED, STCEncoder
from vcjax.models.tokens import TokenEncoder
from vcjax.models.unet import UNet
from vcjax.settings import typed
from vcjax.weights.trees import Tree

# The networks that conditions are extracted with, and what beside them a model may lack.
EXTRACTION: dict[str, type[nn.Module]] = {
    "vision": ImageTower,
    "depth": DPT,
    "sketch": PiDiNet,
    "cleaner": SketchCleaner,
}
FROZEN: dict[str, type[nn.Module]] = {**EXTRACTION, "pair": TextProjection}
SMALLEST = 8  # side of a picture that the networks of lines can halve three times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """All networks of a model, without their parameters. The defaults are the released sizes.

    Attributes:
        unet: the denoiser.
        stc: the condition encoder; one set of parameters for each map condition.
        tokens: text and style to tokens.
        autoencoder: images to latents and back.
        text: CLIP's text tower.
        vision: CLIP's image tower, which style is extracted with; a model may lack this and those below.
        depth: the depth network.
        sketch: the network that finds lines.
        cleaner: the network that cleans them.
        pair: what makes the two towers of CLIP a pair.
    """

    unet: UNet = dataclasses.field(default_factory=UNet)
    stc: STCEncoder = dataclasses.field(default_factory=STCEncoder)
    tokens: TokenEncoder = dataclasses.field(default_factory=TokenEncoder)
    autoencoder: Autoencoder = dataclasses.field(default_factory=Autoencoder)
    text: TextTower = dataclasses.field(default_factory=TextTower)
    vision: ImageTower | None = None
    depth: DPT | None = None
    sketch: PiDiNet | None = None
    cleaner: SketchCleaner | None = None
    pair: TextProjection | None = None

    def with_dtype(self, dtype: Any) -> "Networks":
        """The same networks computing in another type."""
        modules: dict[str, Any] = {name: module.clone(dtype=dtype) for name, module in _modules(self).items()}
        return Networks(**modules)

    def shapes(
        self,
        channels: Mapping[str, int],
        vectors: Mapping[str, int],
        components: Collection[str] | None = None,
    ) -> dict[str, Tree]:
        """Parameter shapes of every component, as trees of `jax.ShapeDtypeStruct`; nothing is computed.

        Args:
            channels: channels of each map condition, by name; `stc` has an encoder for each.
            vectors: width of each vector condition (style), by name; `tokens` has an MLP for each.
            components: only these; all without it.
        """
        examples = self._examples(channels, vectors)
        if components is not None:
            examples = {name: examples[name] for name in components}
        return jax.tree.map(lambda example: example.shapes(), examples)

    def init(
        self, key: PRNGKeyArray, component: str, channels: Mapping[str, int], vectors: Mapping[str, int]
    ) -> Tree:
        """Float32 parameters of a component before training, by its modules' own initialisers.

        Args:
            key: of any kind; `jax.random.key(seed, impl="unsafe_rbg")` compiles in a fraction of the time.
            component: its name.
            channels, vectors: see `shapes`.
        """
        return jax.tree.map(lambda example: example.init(key), self._examples(channels, vectors)[component])

    def _examples(self, channels: Mapping[str, int], vectors: Mapping[str, int]) -> dict[str, Any]:
        """For each component its module with inputs of the smallest size; for `stc` a table of them."""
        rows = _array(1, self.text.length, self.text.width)
        embeddings = {"text": rows, **{name: _array(1, width) for name, width in vectors.items()}}
        present = {name: _array(1, dtype=bool) for name in embeddings}
        side = 2 ** (len(self.unet.multipliers) - 1)
        latent = (1, 1, side, side)
        factor = self.autoencoder.factor
        encoder = _ToSize(self.stc, (side, side))
        maps = {name: _array(1, 1, POOLED * side, POOLED * side, count) for name, count in channels.items()}
        frozen = {
            name: _Example(getattr(self, name), picture)
            for name, picture in self._pictures().items()
            if getattr(self, name) is not None
        }
        if self.pair is not None:
            frozen["pair"] = _Example(self.pair, rows, _array(1, self.text.length, dtype=jnp.int32))
        return {
            "unet": _Example(
                self.unet,
                _array(*latent, self.unet.latent_channels),
                _array(1),
                _array(*latent, self.stc.features),
                rows,
                _array(1, self.text.length, dtype=bool),
            ),
            "stc": {name: _Example(encoder, map_) for name, map_ in maps.items()},
            "tokens": _Example(self.tokens, embeddings, present) if vectors else {},
            "autoencoder": _Example(self.autoencoder, _array(1, factor, factor, 3)),
            "text": _Example(self.text, _array(1, self.text.length, dtype=jnp.int32)),
            **frozen,
        }

    def _pictures(self) -> dict[str, jax.ShapeDtypeStruct]:
        """A picture that each of the networks of extraction takes."""
        side = self.vision.size if self.vision else 0
        depth = self.depth.size if self.depth else 0
        return {
            "vision": _array(1, side, side, 3),
            "depth": _array(1, depth, depth, 3),
            "sketch": _array(1, SMALLEST, SMALLEST, 3),
            "cleaner": _array(1, SMALLEST, SMALLEST, 1),
        }


class _Example:
    """A module and shapes of inputs that it takes."""

    def __init__(self, module: Any, *inputs: Any):
        self._module = module
        self._inputs = inputs

    def init(self, key: PRNGKeyArray) -> Tree:
        """The module's parameters, made in one compiled program."""

        @jax.jit
        def parameters(key: PRNGKeyArray) -> Tree:
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._inputs)
            return self._module.init(key, *zeros).get("params", {})

        return parameters(key)

    def shapes(self) -> Tree:
        """The shapes of the module's parameters."""
        return jax.eval_shape(self.init, jax.eval_shape(lambda: jax.random.key(0)))


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
        BadInput: an unknown component, a field that its module does not have, or a pair that is none.
    """
    families = {name: type(module) for name, module in _modules(Networks()).items()} | FROZEN
    for name in settings:
        if name not in families:
            raise BadInput(f"unknown component {name!r}: a model is made of {', '.join(families)}")
    own = {"parent", "name", "layout"}
    chosen: dict[str, Any] = {
        name: typed(families[name], fields, f"component {name}", leave_out=own)
        for name, fields in settings.items()
    }
    networks = Networks(**chosen)
    if networks.pair and networks.vision and networks.pair.features != networks.vision.features:
        raise BadInput(
            f"component pair: features must be {networks.vision.features}, as vision's are, not {networks.pair.features}"
        )
    return networks


def settings_of(networks: Networks) -> dict[str, dict[str, Any]]:
    """The inverse of `networks_from_settings`, without what only this run decides (compute type and the like)."""
    run = {"parent", "name", "dtype", "attention", "rematerialised", "layout"}
    return {
        name: {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in run}
        for name, module in _modules(networks).items()
    }


def _modules(networks: Networks) -> dict[str, nn.Module]:
    """Those that the model has."""
    modules = {field.name: getattr(networks, field.name) for field in dataclasses.fields(networks)}
    return {name: module for name, module in modules.items() if module is not None}


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
        x = np.asarray(rng.standard_normal(shape, np.float32))
        if path[-1].key == "kernel":
            return x / np.sqrt(np.prod(shape[:-1], dtype=np.float32))
        return np.asarray(1 + 0.1 * x if path[-1].key == "scale" else 0.1 * x)

    drawn = [draw(path, leaf.shape, rng) for (path, leaf), rng in zip(leaves, rngs, strict=True)]
    return jax.tree.unflatten(structure, drawn)
