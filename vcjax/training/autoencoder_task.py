"""Task autoencoder: reconstruction of images with a KL penalty on the latents (arXiv 1312.6114)."""

from collections.abc import Generator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.preview import side_by_side
from vcjax.training.config import Stage
from vcjax.training.source import TrainingBatch
from vcjax.training.sprite_source import IndexBatch, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

# Weight of the KL divergence: small, since latents need a unit scale rather than a normal distribution.
KL_WEIGHT = 1e-3
OBJECT_WEIGHT = 2.0  # weight of pixels of objects, which conditions describe; the background's is 1
EDGE_WEIGHT = 0.5  # weight of the error of differences between neighbouring pixels, for sharp edges
NUM_SAMPLES = 8  # sample images, of the validation split


class AutoencoderTask:
    """Trains the component `autoencoder`; every frame of a clip is an image.

    Args:
        networks: networks of the model.
        source: training clips.
        fps: frame rate of sample videos.
    """

    allow_missing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, source: SpriteSource, fps: float):
        self._networks = networks
        self._autoencoder = networks.autoencoder
        self._source = source
        self._fps = fps

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the module's initial parameters."""
        return {"autoencoder": self._networks.init(key, "autoencoder", {}, {})}

    def frozen(self) -> Tree:
        """Return an empty tree: no network is frozen."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Yield batches of clips of the sprite world."""
        return self._source.batches(stage, begin, first)

    def loss(
        self, parameters: Tree, frozen: Tree, batch: IndexBatch, key: PRNGKeyArray, stage: Stage
    ) -> Loss:
        """Return the absolute error of pixels and of their differences, plus KL(posterior || N(0, 1))."""
        source_key, sample_key = jax.random.split(key)
        example = self._source.training_batch(batch, source_key)
        images, objects = _as_images(example)
        posterior = apply(self._autoencoder, parameters["autoencoder"], images, method="encode")
        latents = posterior.sample(sample_key)
        error = apply(self._autoencoder, parameters["autoencoder"], latents, method="decode") - images
        weighted = jnp.abs(error) * (1 + (OBJECT_WEIGHT - 1) * objects)
        edges = sum(jnp.abs(jnp.diff(error, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
        variance = jnp.square(posterior.std)
        divergence = 0.5 * (jnp.square(posterior.mean) + variance - 1 - jnp.log(variance)).mean((1, 2, 3))
        value = (weighted.mean((1, 2, 3)) + EDGE_WEIGHT * edges + KL_WEIGHT * divergence).mean()
        squared = jnp.square(error)
        sums = {
            "psnr": _psnr(squared.mean((1, 2, 3))).sum(),
            "psnr_of_objects": _psnr(
                (squared * objects).sum((1, 2, 3)) / (3 * objects.sum((1, 2, 3)) + 1)
            ).sum(),
            "divergence": divergence.sum(),
            "latent_mean_square": jnp.square(posterior.mean).mean((1, 2, 3)).sum(),
            "posterior_variance": variance.mean((1, 2, 3)).sum(),
        }
        return Loss(value=value, sums=sums, counts=dict.fromkeys(sums, jnp.asarray(images.shape[0])))

    def unused(self, batch: Batch) -> str:
        """Return no word: every batch uses all parameters."""
        return ""

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Return images of the validation split with their reconstructions, one per frame."""
        picked = self._source.pick("validation", np.arange(NUM_SAMPLES, dtype=np.int32), frames=1)
        images, _ = _as_images(self._source.training_batch(picked, jax.random.key(0), split="validation"))
        reconstructions = jax.jit(lambda p, x: apply(self._autoencoder, p, x))(
            parameters["autoencoder"], images
        )
        columns = {"image": _to_uint8(images), "reconstruction": _to_uint8(reconstructions)}
        return {"autoencoder": side_by_side(columns, self._fps)}


def _as_images(example: TrainingBatch) -> tuple[Float[Array, "N H W 3"], Float[Array, "N H W 1"]]:
    """Return all frames as images, and their masks of objects."""
    frames, objects = example.frames, example.objects
    return frames.reshape(-1, *frames.shape[2:]), objects.reshape(-1, *objects.shape[2:])


def _psnr(squared_error: Float[Array, "N"]) -> Float[Array, "N"]:
    """Return the PSNR in dB for the mean squared error of images in [-1, 1]."""
    return 10 * jnp.log10(4 / squared_error)


def _to_uint8(images: Array) -> np.ndarray:
    return np.asarray((jnp.clip(images * 0.5 + 0.5, 0, 1) * 255).round().astype(jnp.uint8))
