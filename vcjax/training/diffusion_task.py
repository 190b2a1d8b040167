"""Task diffusion: training of UNet, STC-encoders and token encoder with condition dropout."""

import dataclasses
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import keystr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from vcjax.composer.compiled import decode, encode_text
from vcjax.composer.composer import Composer
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.catalogue import map_channels, vector_dims
from vcjax.conditions.preview import side_by_side
from vcjax.conditions.text import Text
from vcjax.diffusion.objective import prediction_target, q_sample
from vcjax.models.layout import SINGLE_DEVICE, Layout
from vcjax.training.clip_task import clip_pixels, middle_frame
from vcjax.training.config import Dropout, Stage
from vcjax.training.dropout import draw_keep_masks, where_keep
from vcjax.training.loss_weighting import importance_timesteps, loss_weights, timestep_buckets
from vcjax.training.source import Source, TrainingBatch
from vcjax.training.task import Batch, Loss
from vcjax.video.clip import Clip
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

COMPONENTS = ("unet", "stc", "tokens")
HEAD = "unet/conv_out/kernel"  # of the UNet's last convolution, which is in float32
KeepMasks = Mapping[str, Bool[Array, "B"]]


class DiffusionTask:
    """Trains the components `unet`, `stc` and `tokens`; autoencoder and CLIP towers are frozen.

    Args:
        composer: the model; its parameters are those of the frozen networks.
        source: training clips.
        loss_weighting: see `vcjax.training.config.Run`.
        timestep_sampling: see `vcjax.training.config.Run`.
        layout: how batches are split over devices.
        zero_encoders: initialise new STC-encoders with zero output, so that a trained model keeps its
            behaviour.
    """

    allow_missing: tuple[str, ...] = ("stc",)

    def __init__(
        self,
        composer: Composer,
        source: Source,
        *,
        loss_weighting: str = "constant",
        timestep_sampling: str = "uniform",
        layout: Layout = SINGLE_DEVICE,
        zero_encoders: bool = False,
    ):
        self.composer = composer
        self.source = source
        networks = composer.networks
        self._networks = dataclasses.replace(networks, stc=networks.stc.clone(zero=zero_encoders))
        self._layout = layout
        self._unet, self._stc = (net.clone(layout=layout) for net in (networks.unet, self._networks.stc))
        timesteps = jnp.arange(composer.schedule.timesteps)
        self._weights = loss_weights(loss_weighting, composer.schedule, composer.prediction, timesteps)
        self._importance = timestep_sampling == "importance"
        self._maps = {n: c for n, c in composer.conditions.items() if isinstance(c, MapCondition)}
        self._vectors = {n: c for n, c in composer.conditions.items() if isinstance(c, VectorCondition)}
        (self._null_text,) = (c.null_text for c in composer.conditions.values() if isinstance(c, Text))

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the modules' initial parameters."""
        channels, vectors = map_channels(self._maps), vector_dims(self._vectors)
        return {name: self._networks.init(key, name, channels, vectors) for name in COMPONENTS}

    def frozen(self) -> Tree:
        """Return the parameters of the frozen networks, and the embedding of the text that stands for none."""
        frozen = {name: self.composer.parameters(name) for name in self.frozen_components(self.composer)}
        ids = self.composer.tokenize(self._null_text)[None]
        return {**frozen, "empty": encode_text(self._networks.text, frozen["text"], ids)[0]}

    @staticmethod
    def frozen_components(composer: Composer) -> list[str]:
        """Return the components that encode frames and conditions of a model: autoencoder and CLIP towers."""
        vectors = [c for c in composer.conditions.values() if isinstance(c, VectorCondition)]
        return ["autoencoder", "text", *(network for c in vectors for network in c.networks)]

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Yield batches of clips, and of single images where the stage has them."""
        return self.source.batches(stage, begin, first)

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Return the weighted mean squared error of the prediction (VideoComposer, section 3.1)."""
        keys = jax.random.split(key, 7)
        parameters = self.in_compute_type(parameters)
        clips = self.source.training_batch(batch, keys[0])
        x0 = self.encode(frozen, clips, keys[1])
        count, frames = x0.shape[:2]
        schedule, prediction = self.composer.schedule, self.composer.prediction
        images = frames == 1 and stage.image_batch_size > 0
        t, weights = self._timesteps(keys[2], count, stage.image_min_timestep if images else 0)
        noise = jax.random.normal(keys[3], x0.shape)
        names = stage.condition_names(self.composer.conditions, images=images)
        keep_masks = draw_keep_masks(keys[4], stage.dropout, names, count)
        maps = self.maps(parameters, clips, keep_masks, keys[5])
        tokens, mask = self.tokens(parameters, frozen, clips, keep_masks, stage.dropout, keys[6])
        predicted = self.predict(
            parameters,
            q_sample(x0, noise, t, schedule),
            t,
            maps,
            tokens,
            mask,
            frame_index=clips.frame_index,
            temporal=frames > 1,
            deterministic=False,
            rngs={"dropout": keys[5]},
        )
        target = prediction_target(prediction, x0, noise, t, schedule)
        errors = jnp.square(predicted - target).mean(tuple(range(1, x0.ndim)))
        groups = timestep_buckets(t, schedule.timesteps)
        groups |= {f"loss_with_{name}": keep_mask for name, keep_mask in keep_masks.items()}
        return Loss(
            value=(errors * weights).mean(),
            sums={name: (errors * members).sum() for name, members in groups.items()},
            counts={name: members.sum() for name, members in groups.items()},
        )

    def predict(self, parameters: Tree, *inputs: Any, **options: Any) -> Float[Array, "B F h w c"]:
        """Return the output of the UNet."""
        return apply(self._unet, parameters["unet"], *inputs, **options)

    def in_compute_type(self, parameters: Tree) -> Tree:
        """Return the parameters with kernels in the compute type, in which all layers but the head read them.

        So they are converted once, and not again where activations are recomputed; and where they are sharded, it is half
        as many bytes that the devices gather.
        """
        dtype = self._unet.dtype

        def cast(path: Any, x: Array) -> Array:
            head = keystr(path, simple=True, separator="/") == HEAD
            return x if x.ndim < 2 or head else x.astype(dtype)

        return jax.tree.map_with_path(cast, parameters)

    def _timesteps(
        self, key: PRNGKeyArray, count: int, lowest: int
    ) -> tuple[Int[Array, "B"], Float[Array, "B"] | Float[Array, ""]]:
        """Draw timesteps of at least `lowest`, and return the weights of their errors."""
        if self._importance:
            weights = self._weights[lowest:]
            return lowest + importance_timesteps(key, count, weights), weights.mean()
        t = jax.random.randint(key, (count,), lowest, self.composer.schedule.timesteps)
        return t, self._weights[t]

    def unused(self, batch: Batch) -> str:
        """Return `temporal` for single images, which the temporal layers do not see."""
        clips = jax.eval_shape(self.source.training_batch, batch, jax.random.key(0))
        return "temporal" if clips.extent[1] == 1 else ""

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Sample a clip of the validation split from its text, and from its text and all its maps."""
        composer = self.composer.with_parameters({**frozen, **parameters})
        shape = composer.shape
        index = np.zeros(1, np.int32)
        picked = self.source.pick("validation", index, shape.frames)
        clips = self.source.training_batch(picked, jax.random.key(0), split="validation")
        if clips.frames is None:
            real = decode(self._networks.autoencoder, frozen["autoencoder"], clips.posterior.mean[0])
        else:
            real = ((clips.frames[0] + 1) * 127.5).round().astype(jnp.uint8)
        maps: dict[str, Any] = {
            n: np.asarray(self._resized(n, m)[0]) for n, m in clips.maps.items() if n in self._maps
        }
        (text,) = self.source.captions("validation", index)
        columns = {
            "real": np.asarray(real),
            **composer.preview(maps, shape),
            "text": composer(text=text).frames,
            "text and maps": composer(text=text, **maps).frames,
        }
        return {"clip": side_by_side(columns, shape.fps)}

    def encode(self, frozen: Tree, clips: TrainingBatch, key: PRNGKeyArray) -> Float[Array, "B F h w c"]:
        """Sample latents from the posterior of each frame."""
        if clips.posterior is not None:
            return clips.posterior.sample(key)
        batch, frames = clips.extent
        layout = self._layout.for_batch(batch, frames)
        encode = layout.map_images(partial(apply, self._networks.autoencoder, method="encode"))
        posterior = encode(frozen["autoencoder"], layout.flatten_frames(clips.frames))
        return jax.tree.map(partial(layout.unflatten_frames, batch=batch), posterior).sample(key)

    def maps(
        self, parameters: Tree, clips: TrainingBatch, keep_masks: KeepMasks, key: PRNGKeyArray
    ) -> Float[Array, "B F h w m"]:
        """Return the sum of the encodings of the maps that each sample keeps."""
        stc, shape = self._networks.stc, self.composer.shape
        latent = self._networks.autoencoder.latent_size(shape.height, shape.width)
        total = jnp.zeros((*clips.extent, *latent, stc.out_channels))
        frame_index = jnp.arange(clips.extent[1])[None] if clips.frame_index is None else clips.frame_index
        for i, name in enumerate(name for name in keep_masks if name in self._maps):
            # The barrier keeps XLA from rendering the map again in each of its uses.
            condition = self._resized(name, lax.optimization_barrier(clips.maps[name]))
            options = {
                "frame_index": frame_index,
                "deterministic": False,
                "rngs": {"dropout": jax.random.fold_in(key, i)},
            }
            encoded = apply(self._stc, parameters["stc"][name], condition, latent, **options)
            total += where_keep(keep_masks[name], encoded, 0.0)
        return total

    def _resized(self, name: str, condition: Float[Array, "B F H W c"]) -> Float[Array, "B F h w c"]:
        """Resize a map from the clip's size to its condition's."""
        size = (*condition.shape[:2], *self._maps[name].size(self.composer.shape), condition.shape[-1])
        return condition if condition.shape == size else jax.image.resize(condition, size, "bilinear")

    def tokens(
        self,
        parameters: Tree,
        frozen: Tree,
        clips: TrainingBatch,
        keep_masks: KeepMasks,
        dropout: Dropout,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Return the tokens of text and vector conditions, with null embeddings for dropped conditions."""
        text = apply(self._networks.text, frozen["text"], clips.ids)
        count, length = text.shape[:2]
        none, every = jnp.zeros(count, bool), jnp.ones(count, bool)
        empty = jnp.broadcast_to(frozen["empty"] * (dropout.text == "empty"), text.shape)
        embeddings = {"text": where_keep(keep_masks.get("text", none), text, empty)}
        present = {"text": every}
        # A dropped vector is absent or null; one that the stage does not have at all is absent.
        null = {
            "absent": none,
            "null": every,
            "either": jax.random.bernoulli(key, shape=(count,)),
            "zeros": every,
        }[dropout.style]
        for name, condition in self._vectors.items():
            if name in keep_masks:
                vector = where_keep(keep_masks[name], self._vector(condition, frozen, clips), 0.0)
                embeddings[name], present[name] = vector, keep_masks[name] | null
            else:
                embeddings[name], present[name] = jnp.zeros((count, condition.embed_dim)), none
        tokens, mask = apply(self._networks.tokens, parameters["tokens"], embeddings, present)
        if dropout.style == "zeros":  # after the MLP, as in the original's training
            for i, name in enumerate(sorted(self._vectors)):
                count = self._networks.tokens.vector_tokens
                rows = slice(length + i * count, length + (i + 1) * count)
                tokens = tokens.at[:, rows].set(where_keep(keep_masks.get(name, none), tokens[:, rows], 0.0))
        return tokens, mask

    def _vector(self, condition: VectorCondition, frozen: Tree, clips: TrainingBatch) -> Float[Array, "B E"]:
        """Return a vector condition, as stored or extracted from the middle frames."""
        if condition.name in clips.vectors:
            return clips.vectors[condition.name]
        (component,) = condition.networks
        network = getattr(self._networks, component)
        layout = self._layout.for_batch(*clips.extent)
        frames = middle_frame(clips.frames)
        size = (frames.shape[0], network.image_size, network.image_size, 3)
        frames = frames if frames.shape == size else jax.image.resize(frames, size, "bicubic")
        return layout.map_clips(partial(apply, network))(frozen[component], clip_pixels(frames))
