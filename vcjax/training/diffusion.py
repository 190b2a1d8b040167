"""The diffusion task: the UNet with its encoders learns to answer for noisy latents, given some of the conditions."""

import dataclasses
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from vcjax.composer import Composer
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.preview import side_by_side
from vcjax.diffusion.objective import Prediction, q_sample, signal_and_noise, target
from vcjax.diffusion.schedule import Schedule
from vcjax.models.layout import ALONE, Layout
from vcjax.programs import decode, encode_text
from vcjax.training.clip_pair import clip_pixels, middle_frame
from vcjax.training.config import Dropout, Stage
from vcjax.training.dropout import draw_kept, where_kept
from vcjax.training.sources import Example, Source
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

BUCKETS = 4  # of timesteps, for the metrics
MIN_SNR_GAMMA = 5.0  # arXiv 2303.09556, section 4
COMPONENTS = ("unet", "stc", "tokens")
VECTOR_NETWORKS = {"style": "vision"}  # the frozen network that makes each vector condition


class DiffusionTask:
    """Parameters are `unet`, `stc` and `tokens`; what makes latents and embeddings is held frozen.

    Args:
        composer: the model; its parameters are those of the frozen networks.
        source: of the clips.
        weighting: of the loss over timesteps, see `vcjax.training.config.Run`.
        layout: how batches lie on several devices.
        timesteps: how they are drawn, see `Run` too.
        zero_encoders: condition encoders begin with an output of zero, so that a trained model takes them on unchanged.
    """

    growing: tuple[str, ...] = ("stc",)

    def __init__(
        self,
        composer: Composer,
        source: Source,
        weighting: str,
        layout: Layout = ALONE,
        *,
        timesteps: str = "uniform",
        zero_encoders: bool = False,
    ):
        self.composer = composer
        networks = composer.networks
        self._networks = dataclasses.replace(networks, stc=networks.stc.clone(zero=zero_encoders))
        self._layout = layout
        self._unet, self._stc = (net.clone(layout=layout) for net in (networks.unet, self._networks.stc))
        self.source = source
        every = jnp.arange(composer.schedule.steps)
        self._weights = weights_of(weighting, composer.schedule, composer.prediction, every)
        self._by_weight = timesteps == "by_weight"
        conditions = composer.conditions
        self._maps = {name: c for name, c in conditions.items() if isinstance(c, MapCondition)}
        self._vectors = {name: c.width for name, c in conditions.items() if isinstance(c, VectorCondition)}

    def init(self, key: PRNGKeyArray) -> Tree:
        """As the modules begin: what ends a branch at zero."""
        channels = {name: condition.channels for name, condition in self._maps.items()}
        return {name: self._networks.init(key, name, channels, self._vectors) for name in COMPONENTS}

    def frozen(self) -> Tree:
        """Autoencoder, text and image tower, and the empty string's embedding."""
        parts = {name: self.composer.parameters(name) for name in self.frozen_parts(self.composer)}
        ids = self.composer.tokenize("")[None]
        return {**parts, "empty": encode_text(self._networks.text, parts["text"], ids)[0]}

    @staticmethod
    def frozen_parts(composer: Composer) -> list[str]:
        """The components that make latents and embeddings for a model."""
        vectors = [name for name, c in composer.conditions.items() if isinstance(c, VectorCondition)]
        return ["autoencoder", "text", *(VECTOR_NETWORKS[name] for name in vectors)]

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Clips, and single images among them as the stage says."""
        return self.source.batches(stage, begin, first)

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """The weighted mean squared error of the UNet's answer (VideoComposer, section 3.1)."""
        keys = jax.random.split(key, 7)
        example = self.source.example(batch, keys[0])
        clean = self.encode(frozen, example, keys[1])
        count, frames = clean.shape[:2]
        schedule, prediction = self.composer.schedule, self.composer.prediction
        images = frames == 1 and stage.images > 0
        t, weights = self._timesteps(keys[2], count, stage.image_lowest_t if images else 0)
        noise = jax.random.normal(keys[3], clean.shape)
        names = stage.given(self.composer.conditions, images=images)
        kept = draw_kept(keys[4], stage.dropout, names, count)
        maps = self.maps(parameters, example, kept, keys[5])
        tokens, mask = self.tokens(parameters, frozen, example, kept, stage.dropout, keys[6])
        noisy = q_sample(clean, noise, t, schedule)
        options = {
            "numbers": example.numbers,
            "temporal": frames > 1,
            "deterministic": False,
            "rngs": {"dropout": keys[5]},
        }
        answer = apply(self._unet, parameters["unet"], noisy, t, maps, tokens, mask, **options)

        wanted = target(prediction, clean, noise, t, schedule)
        errors = jnp.square(answer - wanted).mean(tuple(range(1, clean.ndim)))
        groups = by_timestep(t, schedule.steps) | {f"loss_with_{name}": rows for name, rows in kept.items()}
        return Loss(
            value=(errors * weights).mean(),
            sums={name: (errors * members).sum() for name, members in groups.items()},
            counts={name: members.sum() for name, members in groups.items()},
        )

    def _timesteps(
        self, key: PRNGKeyArray, count: int, lowest: int
    ) -> tuple[Int[Array, "B"], Float[Array, "B"] | Float[Array, ""]]:
        """Timesteps from `lowest` on, and what their errors are multiplied by."""
        if self._by_weight:
            weights = self._weights[lowest:]
            return lowest + drawn_by_weight(key, count, weights), weights.mean()
        t = jax.random.randint(key, (count,), lowest, self.composer.schedule.steps)
        return t, self._weights[t]

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """A clip of the validation split composed anew: from its text, and from its text and all its maps."""
        composer = self.composer.with_parameters({**frozen, **parameters})
        shape = composer.shape
        index = np.zeros(1, np.int32)
        picked = self.source.pick("validation", index, shape.frames)
        example = self.source.example(picked, jax.random.key(0), split="validation")
        if example.frames is None:
            real = decode(self._networks.autoencoder, frozen["autoencoder"], example.posterior.mean[0])
        else:
            real = ((example.frames[0] + 1) * 127.5).round().astype(jnp.uint8)
        maps: dict[str, Any] = {
            n: np.asarray(self._sized(n, m)[0]) for n, m in example.maps.items() if n in self._maps
        }
        (text,) = self.source.captions("validation", index)
        columns = {
            "real": np.asarray(real),
            **composer.preview(maps, shape),
            "text": composer(text=text).frames,
            "text and maps": composer(text=text, **maps).frames,
        }
        return {"clip": side_by_side(columns, shape.fps)}

    def encode(self, frozen: Tree, example: Example, key: PRNGKeyArray) -> Float[Array, "B F h w c"]:
        """Latents drawn from the posterior of each frame."""
        if example.posterior is not None:
            return example.posterior.sample(key)
        batch, frames = example.extent
        layout = self._layout.suited(batch, frames)
        encode = layout.each_image(partial(apply, self._networks.autoencoder, method="encode"))
        posterior = encode(frozen["autoencoder"], layout.merged(example.frames))
        return jax.tree.map(partial(layout.apart, batch=batch), posterior).sample(key)

    def maps(
        self, parameters: Tree, example: Example, kept: Mapping[str, Bool[Array, "B"]], key: PRNGKeyArray
    ) -> Float[Array, "B F h w m"]:
        """The encodings of the maps that each sample keeps, added; a dropped one leaves no trace."""
        stc, factor, shape = self._networks.stc, self._networks.autoencoder.factor, self.composer.shape
        latent = (shape.height // factor, shape.width // factor)
        total = jnp.zeros((*example.extent, *latent, stc.features))
        numbers = jnp.arange(example.extent[1])[None] if example.numbers is None else example.numbers
        for i, name in enumerate(name for name in kept if name in self._maps):
            rendered = lax.optimization_barrier(example.maps[name])  # once, not again in each use
            condition = self._sized(name, rendered)
            options = {
                "numbers": numbers,
                "deterministic": False,
                "rngs": {"dropout": jax.random.fold_in(key, i)},
            }
            encoded = apply(self._stc, parameters["stc"][name], condition, latent, **options)
            total += where_kept(kept[name], encoded, 0.0)
        return total

    def _sized(self, name: str, condition: Float[Array, "B F H W c"]) -> Float[Array, "B F h w c"]:
        """A map of the clip's size in that of its condition."""
        size = (*condition.shape[:2], *self._maps[name].size(self.composer.shape), condition.shape[-1])
        return condition if condition.shape == size else jax.image.resize(condition, size, "bilinear")

    def tokens(
        self,
        parameters: Tree,
        frozen: Tree,
        example: Example,
        kept: Mapping[str, Bool[Array, "B"]],
        dropout: Dropout,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Text and vectors as tokens, with the empty forms that `dropout` says for those that are dropped."""
        text = apply(self._networks.text, frozen["text"], example.ids)
        count, length = text.shape[:2]
        nobody, everybody = jnp.zeros(count, bool), jnp.ones(count, bool)
        empty = jnp.broadcast_to(frozen["empty"] * (dropout.text == "empty"), text.shape)
        embeddings = {"text": where_kept(kept.get("text", nobody), text, empty)}
        present = {"text": everybody}
        # A dropped vector is absent or null; one that this stage does not know at all is absent.
        null = {
            "absent": nobody,
            "null": everybody,
            "either": jax.random.bernoulli(key, shape=(count,)),
            "zeros": everybody,
        }[dropout.style]
        for name, width in self._vectors.items():
            if name in kept:
                vector = where_kept(kept[name], self._vector(name, frozen, example), 0.0)
                embeddings[name], present[name] = vector, kept[name] | null
            else:
                embeddings[name], present[name] = jnp.zeros((count, width)), nobody
        tokens, mask = apply(self._networks.tokens, parameters["tokens"], embeddings, present)
        if dropout.style == "zeros":  # behind the MLP, as in the original's training
            for place, name in enumerate(sorted(self._vectors), start=length):
                token = where_kept(kept.get(name, nobody), tokens[:, place], 0.0)
                tokens = tokens.at[:, place].set(token)
        return tokens, mask

    def _vector(self, name: str, frozen: Tree, example: Example) -> Float[Array, "B E"]:
        """The vector of a condition, of the clip's middle frame."""
        if name in example.vectors:
            return example.vectors[name]
        network = getattr(self._networks, VECTOR_NETWORKS[name])
        layout = self._layout.suited(*example.extent)
        frames = middle_frame(example.frames)
        size = (frames.shape[0], network.size, network.size, 3)
        frames = frames if frames.shape == size else jax.image.resize(frames, size, "bicubic")
        return layout.each_clip(partial(apply, network))(frozen[VECTOR_NETWORKS[name]], clip_pixels(frames))


def weights_of(
    weighting: str, schedule: Schedule, prediction: Prediction, t: Int[Array, "B"]
) -> Float[Array, "B"]:
    """Weights of the squared error of what the network predicts, by the error of the clean latent that it amounts to.

    An error of epsilon is one of the clean latent times 1/SNR, an error of v times 1/(SNR + 1). That of the clean latent
    counts as it is (`clean`), or min(SNR, 5) times (`min_snr`, arXiv 2303.09556, section 3.4); `plain` counts what the
    network predicts.
    """
    if weighting == "plain":
        return jnp.ones(t.shape)
    signal, sigma = signal_and_noise(schedule, t)
    in_units_of = {
        "x0": jnp.ones_like(signal),
        "epsilon": jnp.square(sigma / signal),
        "v": jnp.square(sigma) / (jnp.square(sigma) + jnp.square(signal)),
    }[prediction]
    if weighting == "clean":
        return in_units_of
    return jnp.minimum(jnp.square(signal / sigma), MIN_SNR_GAMMA) * in_units_of


def drawn_by_weight(key: PRNGKeyArray, count: int, weights: Float[Array, "T"]) -> Int[Array, "count"]:
    """Timesteps in proportion to their weights, one from each of `count` parts of equal weight.

    Their plain mean error times the mean weight is, in expectation, the weighted mean error of uniform ones; it varies less.
    """
    places = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count
    up_to = jnp.cumsum(weights) / weights.sum()
    return jnp.minimum(jnp.searchsorted(up_to, places, side="right"), weights.size - 1)


def by_timestep(t: Int[Array, "B"], steps: int) -> dict[str, Bool[Array, "B"]]:
    """Which samples lie in which bucket of timesteps, by the name of its metric."""
    bucket = t * BUCKETS // steps
    edges = [steps * i // BUCKETS for i in range(BUCKETS + 1)]
    return {f"loss_at_t_{edges[i]}_to_{edges[i + 1] - 1}": bucket == i for i in range(BUCKETS)}
