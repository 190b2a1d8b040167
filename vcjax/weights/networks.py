"""The networks of a model: the Flax module of each component, and the shapes of its parameters."""

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
from vcjax.models.low_rank import COLLECTION
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.models.stc import POOL_FACTOR, STCEncoder
from vcjax.models.tokens import TokenEncoder
from vcjax.models.unet import UNet
from vcjax.settings import check_numbers, typed
from vcjax.weights.trees import Tree

# Networks that extract conditions; like the text projection, a model may lack them.
EXTRACTION: dict[str, type[nn.Module]] = {
    "vision": ImageTower,
    "depth": DPT,
    "sketch": PiDiNet,
    "cleaner": SketchCleaner,
}
FROZEN: dict[str, type[nn.Module]] = {**EXTRACTION, "text_projection": TextProjection}
MIN_SKETCH_SIZE = 8  # pixels: smallest image that the sketch networks can downsample three times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """All networks of a model, without their parameters. The defaults have the released sizes.

    Attributes:
        unet: denoising 3D UNet.
        stc: STC-encoder (spatio-temporal condition encoder), with separate parameters for each map condition.
        tokens: encoder of text and style to the tokens for cross-attention.
        autoencoder: VAE, from images to latents and back.
        text: CLIP's text tower.
        vision: CLIP's image tower, which extracts style. A model may lack this network and all below.
        depth: DPT, which extracts depth.
        sketch: PiDiNet, which extracts sketches (edge maps).
        cleaner: sketch simplification network, applied to the sketches of PiDiNet.
        text_projection: projection of text features into CLIP's joint embedding space, for CLIP similarity.
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
    text_projection: TextProjection | None = None

    @property
    def size_multiple(self) -> int:
        """Number of pixels that height and width must be multiples of: the downsampling of autoencoder and UNet."""
        return self.autoencoder.downsampling * self.unet.downsampling

    def with_dtype(self, dtype: Any) -> "Networks":
        """Return the same networks with another compute dtype."""
        modules: dict[str, Any] = {name: module.clone(dtype=dtype) for name, module in _modules(self).items()}
        return Networks(**modules)

    def shapes(
        self,
        channels: Mapping[str, int],
        vectors: Mapping[str, int],
        components: Collection[str] | None = None,
    ) -> dict[str, Tree]:
        """Return the parameter shapes of components, as trees of `jax.ShapeDtypeStruct`.

        Args:
            channels: number of channels of each map condition, by name; `stc` has an encoder for each.
            vectors: width of each vector condition (style), by name; `tokens` has an MLP for each.
            components: names of the components; all if None.
        """
        examples = self._examples(channels, vectors)
        if components is not None:
            examples = {name: examples[name] for name in components}
        return jax.tree.map(lambda example: example.shapes(), examples)

    def init(
        self, key: PRNGKeyArray, component: str, channels: Mapping[str, int], vectors: Mapping[str, int]
    ) -> Tree:
        """Initialise the float32 parameters of a component with the initialisers of its modules.

        Args:
            key: random key of any implementation; `jax.random.key(seed, impl="unsafe_rbg")` compiles much
                faster.
            component: name of the component.
            channels, vectors: see `shapes`.
        """
        return jax.tree.map(lambda example: example.init(key), self._examples(channels, vectors)[component])

    def _examples(self, channels: Mapping[str, int], vectors: Mapping[str, int]) -> dict[str, Any]:
        """Return each component's module with example inputs; for `stc`, a dictionary by condition."""
        tokens = _array(1, self.text.context_length, self.text.width)
        embeddings = {"text": tokens, **{name: _array(1, width) for name, width in vectors.items()}}
        present = {name: _array(1, dtype=bool) for name in embeddings}
        side = self.unet.downsampling
        latent = (1, 1, side, side)
        factor = self.autoencoder.downsampling
        encoder = _SizedEncoder(self.stc, (side, side))
        maps = {
            name: _array(1, 1, POOL_FACTOR * side, POOL_FACTOR * side, count)
            for name, count in channels.items()
        }
        frozen = {
            name: _Example(getattr(self, name), image)
            for name, image in self._images().items()
            if getattr(self, name) is not None
        }
        if self.text_projection is not None:
            frozen["text_projection"] = _Example(
                self.text_projection, tokens, _array(1, self.text.context_length, dtype=jnp.int32)
            )
        return {
            "unet": _Example(
                self.unet,
                _array(*latent, self.unet.latent_channels),
                _array(1),
                _array(*latent, self.stc.out_channels),
                tokens,
                _array(1, self.text.context_length, dtype=bool),
            ),
            "stc": {name: _Example(encoder, map_) for name, map_ in maps.items()},
            "tokens": _Example(self.tokens, embeddings, present) if vectors else {},
            "autoencoder": _Example(self.autoencoder, _array(1, factor, factor, 3)),
            "text": _Example(self.text, _array(1, self.text.context_length, dtype=jnp.int32)),
            **frozen,
        }

    def _images(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Return an input image of each extraction network."""
        side = self.vision.image_size if self.vision else 0
        depth = self.depth.image_size if self.depth else 0
        return {
            "vision": _array(1, side, side, 3),
            "depth": _array(1, depth, depth, 3),
            "sketch": _array(1, MIN_SKETCH_SIZE, MIN_SKETCH_SIZE, 3),
            "cleaner": _array(1, MIN_SKETCH_SIZE, MIN_SKETCH_SIZE, 1),
        }


class _Example:
    """A module with the shapes of example inputs."""

    def __init__(self, module: Any, *inputs: Any):
        self._module = module
        self._inputs = inputs

    def init(self, key: PRNGKeyArray) -> Tree:
        """Initialise the parameters of the module, in one compiled program."""

        @jax.jit
        def parameters(key: PRNGKeyArray) -> Tree:
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._inputs)
            return self._module.init(key, *zeros).get("params", {})

        return parameters(key)

    def shapes(self) -> Tree:
        """Return the shapes of the parameters of the module."""
        return jax.eval_shape(self.init, jax.eval_shape(lambda: jax.random.key(0)))


@dataclasses.dataclass(frozen=True)
class _SizedEncoder:
    """An STC-encoder with a fixed latent size, so that all its inputs are arrays."""

    encoder: STCEncoder
    size: tuple[int, int]

    def init(self, key: jax.Array, condition: jax.Array) -> Any:
        return self.encoder.init(key, condition, self.size)


def apply(
    module: nn.Module, parameters: Tree, *inputs: Any, adapters: Tree | None = None, **options: Any
) -> Any:
    """Apply a module to inputs with the given parameters, and adapters of its layers, see `vcjax.models.low_rank`.

    Raises:
        BadInput: the parameters do not fit the sizes of the module.
    """
    try:
        variables = {"params": parameters} | ({} if adapters is None else {COLLECTION: adapters})
        return module.apply(variables, *inputs, **options)
    except (ScopeParamShapeError, ScopeParamNotFoundError) as error:
        reason = str(error).split(" (https")[0]
        raise BadInput(f"weights do not fit the sizes of their {type(module).__name__}: {reason}") from error


def networks_from_config(settings: Mapping[str, Any]) -> Networks:
    """Create the networks from a model's configuration, `{component: {field: value}}`.

    Raises:
        BadInput: an unknown component, an unknown field of its module, or CLIP towers of different embedding
            sizes.
    """
    modules = {name: type(module) for name, module in _modules(Networks()).items()} | FROZEN
    for name in settings:
        if name not in modules:
            raise BadInput(f"unknown component {name!r}: a model is made of {', '.join(modules)}")
    internal = {"parent", "name", "layout"}
    given: dict[str, Any] = {
        name: typed(modules[name], fields, f"component {name}", exclude=internal)
        for name, fields in settings.items()
    }
    for name, module in given.items():
        check_numbers(
            module, f"networks.{name}", from_zero=("dropout", "attention_levels", "remat"), any_sign=("mean",)
        )
    return Networks(**given)


def networks_to_config(networks: Networks) -> dict[str, dict[str, Any]]:
    """Return the configuration of networks, without settings of a single run such as the compute dtype.

    This is the inverse of `networks_from_config`.
    """
    excluded = {"parent", "name", "dtype", "attention", "remat", "layout", "zero"}
    return {
        name: {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in excluded}
        for name, module in _modules(networks).items()
    }


def _modules(networks: Networks) -> dict[str, nn.Module]:
    """Return the modules of the components that the model has."""
    modules = {field.name: getattr(networks, field.name) for field in dataclasses.fields(networks)}
    return {name: module for name, module in modules.items() if module is not None}


def _array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def random_parameters(shapes: Tree, seed: int) -> Tree:
    """Return random float32 parameters, all non-zero, for comparisons, benchmarks and untrained models.

    Kernels are normal with standard deviation 1 / sqrt(fan-in), which preserves the scale of activations;
    scales are near 1, biases near 0. Layers with zero initialisation are random too. Each tensor depends only
    on the seed and on its position in the flattened tree.

    Args:
        shapes: tree of arrays or `jax.ShapeDtypeStruct`.
        seed: seed of the random generator.
    """
    leaves, treedef = jax.tree.flatten_with_path(shapes)
    rngs = np.random.default_rng(seed).spawn(len(leaves))

    def draw(path: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        x = np.asarray(rng.standard_normal(shape, np.float32))
        if path[-1].key == "kernel":
            return x / np.sqrt(np.prod(shape[:-1], dtype=np.float32))
        return np.asarray(1 + 0.1 * x if path[-1].key == "scale" else 0.1 * x)

    values = [draw(path, leaf.shape, rng) for (path, leaf), rng in zip(leaves, rngs, strict=True)]
    return jax.tree.unflatten(treedef, values)
