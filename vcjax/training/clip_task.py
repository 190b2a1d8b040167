"""Task clip: contrastive training of text and image towers on captioned images (arXiv 2103.00020)."""

import math
from collections.abc import Generator, Mapping

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.conditions.tokenizer import PADDING
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.sprite_source import IndexBatch, SpriteSource
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.extraction import normalise
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

TOKEN_LOSS_WEIGHT = 0.2  # weight of the token reconstruction loss
# Clipping of the log of the inverse temperature (arXiv 2103.00020, section 2.4).
MAX_LOGIT_SCALE = math.log(100.0)


class ClipTask:
    """Trains the components `text`, `vision` and `text_projection`.

    Images contain no motion: with the contrastive loss alone the hidden states of "left" and "right" become
    equal, and a UNet cannot distinguish them. A second loss therefore predicts each token from its hidden
    state, with the token embeddings as the output layer.

    Args:
        networks: networks of the model.
        source: training clips.

    Raises:
        BadInput: the model has no image tower or no text projection.
    """

    allow_missing: tuple[str, ...] = ()

    def __init__(self, networks: Networks, source: SpriteSource):
        if networks.vision is None or networks.text_projection is None:
            raise BadInput(
                "config.model.networks must hold vision and text_projection, which task clip trains with text"
            )
        self._networks = networks
        self._text, self._vision = networks.text, networks.vision
        self._text_projection = networks.text_projection
        self._source = source

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the modules' initial parameters."""
        return {
            name: self._networks.init(key, name, {}, {}) for name in ("text", "vision", "text_projection")
        }

    def frozen(self) -> Tree:
        """Return an empty tree: no network is frozen."""
        return {}

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch]:
        """Yield batches of clips of the sprite world; the loss uses their middle frames."""
        return self._source.batches(stage, begin, first)

    def loss(
        self, parameters: Tree, frozen: Tree, batch: IndexBatch, key: PRNGKeyArray, stage: Stage
    ) -> Loss:
        """Return the symmetric contrastive loss and the token loss, both cross-entropies."""
        example = self._source.training_batch(batch, key)
        vision = apply(self._vision, parameters["vision"], clip_pixels(middle_frame(example.frames)))
        hidden = apply(self._text, parameters["text"], example.ids)
        text = apply(self._text_projection, parameters["text_projection"], hidden, example.ids)
        scale = jnp.exp(jnp.minimum(parameters["text_projection"]["scale"], MAX_LOGIT_SCALE))
        logits = scale * _normalise_rows(text) @ _normalise_rows(vision).T
        rows = jnp.arange(len(logits))
        token_logits = hidden @ parameters["text"]["tokens"]["embedding"].T
        is_token = example.ids != PADDING
        token_loss = optax.softmax_cross_entropy_with_integer_labels(token_logits, example.ids)
        text_loss = optax.softmax_cross_entropy_with_integer_labels(logits, rows)
        image_loss = optax.softmax_cross_entropy_with_integer_labels(logits.T, rows)
        sums = {
            "text_to_image_accuracy": (logits.argmax(1) == rows).sum(),
            "image_to_text_accuracy": (logits.argmax(0) == rows).sum(),
            "token_accuracy": ((token_logits.argmax(-1) == example.ids) & is_token).sum(),
        }
        counts = dict.fromkeys(sums, jnp.asarray(len(logits))) | {"token_accuracy": is_token.sum()}
        value = (text_loss + image_loss).mean() / 2 + TOKEN_LOSS_WEIGHT * token_loss.mean(where=is_token)
        return Loss(value=value, sums=sums, counts=counts)

    def unused(self, batch: Batch) -> str:
        """Return no word: every batch uses all parameters."""
        return ""

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Return no videos."""
        return {}


def middle_frame(frames: Float[Array, "B F H W 3"]) -> Float[Array, "B H W 3"]:
    """Return the middle frames, from which style is extracted."""
    return frames[:, frames.shape[1] // 2]


def clip_pixels(frames: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
    """Normalise frames in [-1, 1] for CLIP's image tower."""
    return normalise("vision", frames * 0.5 + 0.5)


def _normalise_rows(x: Float[Array, "B E"]) -> Float[Array, "B E"]:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
