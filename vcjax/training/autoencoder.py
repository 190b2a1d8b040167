"""The autoencoder task: images to latents and back, weighing what moves, with latents kept near a unit normal."""

from collections.abc import Generator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.preview import side_by_side
from vcjax.training.config import Stage
from vcjax.training.sources import Example, Picked, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

DIVERGENCE = 1e-3  # small: latents need a sensible scale more than they need to be normal
OBJECTS = 2.0  # weight of a pixel of an object in units of the background's: conditions speak of objects
EDGES = 0.5  # weight of errors of differences between neighbouring pixels, which keep borders sharp
SHOWN = 8  # images of the validation split


class AutoencoderTask:
    """Its only component is `autoencoder`. Every frame of a clip is an image; a stage says how many it takes."""

    growing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, source: SpriteSource, fps: float):
        self._networks = networks
        self._autoencoder = networks.autoencoder
        self._source = source
        self._fps = fps

    def init(self, key: PRNGKeyArray) -> Tree:
        """The module's own parameters."""
        return {"autoencoder": self._networks.init(key, "autoencoder", {}, {})}

    def frozen(self) -> Tree:
        """Nothing is."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Clips of the sprite world."""
        return self._source.batches(stage, begin, first)

    def loss(self, parameters: Tree, frozen: Tree, batch: Picked, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Absolute error of pixels and of their differences, and the posterior's divergence from a unit normal."""
        source_key, sample_key = jax.random.split(key)
        example = self._source.example(batch, source_key)
        images, objects = _as_images(example)
        posterior = apply(self._autoencoder, parameters["autoencoder"], images, method="encode")
        latents = posterior.sample(sample_key)
        error = apply(self._autoencoder, parameters["autoencoder"], latents, method="decode") - images
        weighted = jnp.abs(error) * (1 + (OBJECTS - 1) * objects)
        edges = sum(jnp.abs(jnp.diff(error, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
        variance = jnp.square(posterior.deviation)
        divergence = 0.5 * (jnp.square(posterior.mean) + variance - 1 - jnp.log(variance)).mean((1, 2, 3))
        value = (weighted.mean((1, 2, 3)) + EDGES * edges + DIVERGENCE * divergence).mean()
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

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Images of the validation split and what is left of them, one a frame."""
        picked = self._source.pick("validation", np.arange(SHOWN, dtype=np.int32), frames=1)
        images, _ = _as_images(self._source.example(picked, jax.random.key(0), split="validation"))
        again = jax.jit(lambda p, x: apply(self._autoencoder, p, x))(parameters["autoencoder"], images)
        columns = {"image": _bytes(images), "again": _bytes(again)}
        return {"autoencoder": side_by_side(columns, self._fps)}


def _as_images(example: Example) -> tuple[Float[Array, "N H W 3"], Float[Array, "N H W 1"]]:
    frames, objects = example.frames, example.objects
    return frames.reshape(-1, *frames.shape[2:]), objects.reshape(-1, *objects.shape[2:])


def _psnr(squared_error: Float[Array, "N"]) -> Float[Array, "N"]:
    """Of images in [-1, 1], in dB."""
    return 10 * jnp.log10(4 / squared_error)


def _bytes(images: Array) -> np.ndarray:
    return np.asarray((jnp.clip(images * 0.5 + 0.5, 0, 1) * 255).round().astype(jnp.uint8))
