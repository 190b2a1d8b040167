"""The CLIP task: a text tower and an image tower learn which caption belongs to which picture (arXiv 2103.00020)."""

import math
from collections.abc import Generator, Mapping

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.tokenizer import PADDING
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.sources import Picked, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.extraction import normalised
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

WORDS = 0.2  # weight of telling each word from its hidden state
LARGEST_SCALE = math.log(100.0)  # at which the scale of the logits is clipped: arXiv 2103.00020, section 2.4


class ClipTask:
    """Components are `text`, `vision` and `pair`.

    A picture says nothing of where things move, so a text tower that learns from pictures alone soon gives "left" and "right"
    the same hidden states, and no UNet could tell them apart. Each state has to tell its word too, by the token embeddings.

    Args:
        networks: of the model.
        source: of the clips.

    Raises:
        BadInput: the model has no image tower or no pair.
    """

    growing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, source: SpriteSource):
        if networks.vision is None or networks.pair is None:
            raise BadInput(
                "config.model.networks must hold vision and pair, which task clip trains with text"
            )
        self._networks = networks
        self._text, self._vision, self._pair = networks.text, networks.vision, networks.pair
        self._source = source

    def init(self, key: PRNGKeyArray) -> Tree:
        """The modules' own parameters."""
        return {name: self._networks.init(key, name, {}, {}) for name in ("text", "vision", "pair")}

    def frozen(self) -> Tree:
        """Nothing is."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch]:
        """Clips of the sprite world; the picture is the middle frame."""
        return self._source.batches(stage, begin, first)

    def loss(self, parameters: Tree, frozen: Tree, batch: Picked, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Cross-entropies: of which picture a caption belongs to in the batch, the other way round, and of the words."""
        example = self._source.example(batch, key)
        vision = apply(self._vision, parameters["vision"], clip_pixels(middle_frame(example.frames)))
        hidden = apply(self._text, parameters["text"], example.ids)
        text = apply(self._pair, parameters["pair"], hidden, example.ids)
        scale = jnp.exp(jnp.minimum(parameters["pair"]["scale"], LARGEST_SCALE))
        logits = scale * _unit(text) @ _unit(vision).T
        rows = jnp.arange(len(logits))
        words = hidden @ parameters["text"]["tokens"]["embedding"].T
        there = example.ids != PADDING
        of_words = optax.softmax_cross_entropy_with_integer_labels(words, example.ids)
        of_text = optax.softmax_cross_entropy_with_integer_labels(logits, rows)
        of_image = optax.softmax_cross_entropy_with_integer_labels(logits.T, rows)
        sums = {
            "image_found": (logits.argmax(1) == rows).sum(),
            "text_found": (logits.argmax(0) == rows).sum(),
            "words_told": ((words.argmax(-1) == example.ids) & there).sum(),
        }
        counts = dict.fromkeys(sums, jnp.asarray(len(logits))) | {"words_told": there.sum()}
        value = (of_text + of_image).mean() / 2 + WORDS * of_words.mean(where=there)
        return Loss(value=value, sums=sums, counts=counts)

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """There is nothing to look at."""
        return {}


def middle_frame(frames: Float[Array, "B F H W 3"]) -> Float[Array, "B H W 3"]:
    """The frame that a clip's style is taken from."""
    return frames[:, frames.shape[1] // 2]


def clip_pixels(frames: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
    """Frames in [-1, 1] as CLIP's image tower takes them."""
    return normalised("vision", frames * 0.5 + 0.5)


def _unit(x: Float[Array, "B E"]) -> Float[Array, "B E"]:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
