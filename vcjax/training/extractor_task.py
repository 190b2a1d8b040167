"""Tasks depth and sketch: training of extraction networks on the ground truth of the sprite world."""

from collections.abc import Callable, Generator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.preview import side_by_side
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.source import TrainingBatch
from vcjax.training.sprite_source import IndexBatch, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.extraction import normalise
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

EDGE_WEIGHT = 2.0  # weight of the error of depth differences between neighbouring pixels, for sharp edges
PROBABILITY_EPSILON = 1e-5  # probabilities are clipped to this distance from 0 and 1
NUM_SAMPLES = 8  # sample images, of the validation split

Map = Float[Array, "N H W 1"]


def depth_loss(prediction: Map, target: Map) -> Float[Array, "N"]:
    """Return the absolute error of inverse depth and of its differences between neighbouring pixels."""
    error = prediction - target
    edges = sum(jnp.abs(jnp.diff(error, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
    return jnp.abs(error).mean((1, 2, 3)) + EDGE_WEIGHT * edges


def sketch_loss(prediction: Map, target: Map) -> Float[Array, "N"]:
    """Return the cross-entropy per pixel, without class balancing, which would widen the edges."""
    prediction = jnp.clip(prediction, PROBABILITY_EPSILON, 1 - PROBABILITY_EPSILON)
    return -(target * jnp.log(prediction) + (1 - target) * jnp.log1p(-prediction)).mean((1, 2, 3))


LOSSES: dict[str, Callable[[Map, Map], Float[Array, "N"]]] = {"depth": depth_loss, "sketch": sketch_loss}


class ExtractorTask:
    """Trains an extraction network, which has the name of its condition; every frame of a clip is an image.

    Args:
        networks: networks of the model.
        name: name of the network, a key of `LOSSES`.
        source: training clips.
        fps: frame rate of sample videos.
        divisor: divisor from the output of the network to the condition.

    Raises:
        BadInput: the model has no such network.
    """

    allow_missing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, name: str, source: SpriteSource, fps: float, divisor: float):
        if getattr(networks, name) is None:
            raise BadInput(f"config.model.networks must hold {name}, the network that task {name} trains")
        self._networks, self._name = networks, name
        self._network = getattr(networks, name)
        self._source = source
        self._fps = fps
        self._divisor = divisor

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the module's initial parameters."""
        return {self._name: self._networks.init(key, self._name, {}, {})}

    def frozen(self) -> Tree:
        """Return an empty tree: no network is frozen."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Yield batches of clips of the sprite world."""
        return self._source.batches(stage, begin, first)

    def loss(
        self, parameters: Tree, frozen: Tree, batch: IndexBatch, key: PRNGKeyArray, stage: Stage
    ) -> Loss:
        """Return the loss of the predicted maps against the rendered maps."""
        images, target = self._pair(self._source.training_batch(batch, key))
        losses = LOSSES[self._name](self._predict(parameters, images), target)
        return Loss(value=losses.mean(), sums={}, counts={})

    def unused(self, batch: Batch) -> str:
        """Return no word: every batch uses all parameters."""
        return ""

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Return images of the validation split with target and predicted maps, one per frame."""
        picked = self._source.pick("validation", np.arange(NUM_SAMPLES, dtype=np.int32), frames=1)
        images, target = self._pair(
            self._source.training_batch(picked, jax.random.key(0), split="validation")
        )
        predicted = jax.jit(self._predict)(parameters, images)
        columns = {"image": images, self._name: target, "prediction": predicted}
        return {self._name: side_by_side({name: _to_uint8(x) for name, x in columns.items()}, self._fps)}

    def _pair(self, example: TrainingBatch) -> tuple[Float[Array, "N H W 3"], Map]:
        """Return images in [0, 1] and their target maps."""
        images, target = example.frames * 0.5 + 0.5, example.maps[self._name]
        return images.reshape(-1, *images.shape[2:]), target.reshape(-1, *target.shape[2:])

    def _predict(self, parameters: Tree, images: Float[Array, "N H W 3"]) -> Map:
        """Return the predicted condition of images in [0, 1]."""
        return apply(self._network, parameters[self._name], normalise(self._name, images)) / self._divisor


def _to_uint8(x: Array) -> np.ndarray:
    image = (jnp.clip(x, 0, 1) * 255).round().astype(jnp.uint8)
    return np.asarray(jnp.broadcast_to(image, (*image.shape[:3], 3)))
