"""The depth and sketch tasks: networks that conditions are extracted with learn them from the sprite world's truth."""

from collections.abc import Callable, Generator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.preview import side_by_side
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.sources import Example, Picked, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.extraction import normalised
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

EDGES = (
    2.0  # weight of the errors of depth's differences between neighbouring pixels, which keep borders sharp
)
SURE = 1e-5  # probabilities are kept so far from 0 and 1, where their logarithm has no end
SHOWN = 8  # images of the validation split

Map = Float[Array, "N H W 1"]


def depth_loss(answer: Map, wanted: Map) -> Float[Array, "N"]:
    """Absolute error of nearness and of its differences."""
    error = answer - wanted
    edges = sum(jnp.abs(jnp.diff(error, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
    return jnp.abs(error).mean((1, 2, 3)) + EDGES * edges


def sketch_loss(answer: Map, wanted: Map) -> Float[Array, "N"]:
    """Cross-entropy of each pixel. It is not balanced, so that lines come out as thin and as bright as they should."""
    answer = jnp.clip(answer, SURE, 1 - SURE)
    return -(wanted * jnp.log(answer) + (1 - wanted) * jnp.log1p(-answer)).mean((1, 2, 3))


LOSSES: dict[str, Callable[[Map, Map], Float[Array, "N"]]] = {"depth": depth_loss, "sketch": sketch_loss}


class ExtractorTask:
    """Its only component is the network, whose name is also its condition's. Every frame of a clip is a picture.

    Args:
        networks: of the model.
        name: a key of `LOSSES`.
        source: of the clips.
        fps: of the clip of samples.
        unit: what the network's answers are divided by to be the condition.

    Raises:
        BadInput: the model has no such network.
    """

    growing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, name: str, source: SpriteSource, fps: float, unit: float):
        if getattr(networks, name) is None:
            raise BadInput(f"config.model.networks must hold {name}, the network that task {name} trains")
        self._networks, self._name = networks, name
        self._network = getattr(networks, name)
        self._source = source
        self._fps = fps
        self._unit = unit

    def init(self, key: PRNGKeyArray) -> Tree:
        """The module's own parameters."""
        return {self._name: self._networks.init(key, self._name, {}, {})}

    def frozen(self) -> Tree:
        """Nothing is."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Clips of the sprite world."""
        return self._source.batches(stage, begin, first)

    def loss(self, parameters: Tree, frozen: Tree, batch: Picked, key: PRNGKeyArray, stage: Stage) -> Loss:
        """How far the network's maps are from the renderer's."""
        pictures, wanted = self._pair(self._source.example(batch, key))
        losses = LOSSES[self._name](self._answer(parameters, pictures), wanted)
        return Loss(value=losses.mean(), sums={}, counts={})

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Images of the validation split, what is true of them and what the network sees, one a frame."""
        picked = self._source.pick("validation", np.arange(SHOWN, dtype=np.int32), frames=1)
        pictures, wanted = self._pair(self._source.example(picked, jax.random.key(0), split="validation"))
        seen = jax.jit(self._answer)(parameters, pictures)
        columns = {"image": pictures, self._name: wanted, "seen": seen}
        return {self._name: side_by_side({name: _shown(x) for name, x in columns.items()}, self._fps)}

    def _pair(self, example: Example) -> tuple[Float[Array, "N H W 3"], Map]:
        """Pictures in [0, 1] and the maps that belong to them."""
        pictures, wanted = example.frames * 0.5 + 0.5, example.maps[self._name]
        return pictures.reshape(-1, *pictures.shape[2:]), wanted.reshape(-1, *wanted.shape[2:])

    def _answer(self, parameters: Tree, pictures: Float[Array, "N H W 3"]) -> Map:
        """What the network sees in pictures in [0, 1], as the condition holds it."""
        return apply(self._network, parameters[self._name], normalised(self._name, pictures)) / self._unit


def _shown(x: Array) -> np.ndarray:
    picture = (jnp.clip(x, 0, 1) * 255).round().astype(jnp.uint8)
    return np.asarray(jnp.broadcast_to(picture, (*picture.shape[:3], 3)))
