"""`Composer`: the pipeline from conditions to video, as returned by `vcjax.load`."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from vcjax.composer.branches import condition_strengths, guidance_branches
from vcjax.composer.compiled import (
    add_map,
    decode,
    encode_map,
    encode_text,
    encode_tokens,
    sample_chunk,
    sample_in_chunks,
)
from vcjax.composer.model_config import Defaults, ModelSpec
from vcjax.conditions.base import ClipShape, Condition, MapCondition, SourceVideo
from vcjax.conditions.media import sample_source
from vcjax.conditions.preview import previews
from vcjax.diffusion.ddim import Steps, ddim_steps
from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.models.clip import TextProjection
from vcjax.models.layout import Layout
from vcjax.parallel import compilation
from vcjax.parallel.mesh import replicated
from vcjax.parallel.rules import RULES, partition
from vcjax.progress import ProgressCallback, no_progress
from vcjax.settings import check_seed, finite, integer
from vcjax.video.clip import Clip
from vcjax.weights.extraction import extractors
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composer:
    """Pipeline that samples videos from any subset of a model's conditions.

    ```python
    composer = vcjax.load("tiny")
    video = vcjax.extract("walk.mp4")
    clip = composer(text="a red circle moving left", image="first.png", motion=video, seed=7)
    clip.save("out.mp4")
    ```

    Attributes:
        name: name of the model.
        networks: networks of the model.
        conditions: conditions of the model, by name.
        schedule: noise schedule of the training.
        prediction: prediction type of the UNet.
        shape: shape of the training clips.
        defaults: sampling defaults.
        parameters: function that returns the parameters of a component, or of one of its encoders; they are
            loaded at the first call.
        tokenize: function from text to token ids.
        mesh: device mesh, see `with_mesh`; a single device if None.
        executables: wrapper of compiled functions, such as `vcjax.parallel.executables.ExecutableCache`.
    """

    name: str
    networks: Networks
    conditions: Mapping[str, Condition]
    schedule: Schedule
    prediction: Prediction
    shape: ClipShape
    defaults: Defaults
    parameters: Callable[..., Tree]
    tokenize: Callable[[str], np.ndarray]
    mesh: Mesh | None = None
    executables: Callable[[compilation.jit], Callable[..., Any]] = lambda function: function

    def __call__(
        self,
        *,
        steps: int | None = None,
        guidance: float | int | None = None,
        positive: Collection[str] | None = None,
        negative: Collection[str] | None = None,
        strength: Mapping[str, float | int] | None = None,
        eta: float | int = 0.0,
        seed: int = 0,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        progress: ProgressCallback | None = None,
        **conditions: Any,
    ) -> Clip:
        """Sample a video from conditions.

        Args:
            steps: number of sampling steps; the model's default if None.
            guidance: weight w of out(negative) + w (out(positive) - out(negative)); the model's default if
                None.
            positive: names of the conditions of the positive branch; all conditions of the call if None.
            negative: names of the conditions of the negative branch; if None, all conditions of the call
                except text and style, as in the released model. If both sets are equal, one branch is
                evaluated, without guidance.
            strength: strength of conditions, by name; the default is 1. It scales the encoding of a map, and
                the difference of text and style from their null embedding.
            eta: noise of the sampler, from 0 (DDIM) to 1 (DDPM).
            seed: seed of the initial noise, and of randomly drawn conditions.
            frames: number of frames; the model's if None.
            size: height and width in pixels; the model's if None.
            progress: called with a phase, such as "loading weights" or "sampling", and its completed and
                total steps.
            **conditions: conditions by name: a finished condition (see `Condition.accepts`) or
                `vcjax.extract(source_video)`.

        Returns:
            The video.

        Raises:
            BadInput: a condition is unknown or cannot be read, a number is out of range, or the mesh does not
                divide the batch, the frames or the pixels.
        """
        (clip,) = self.sample_batch(
            [seed],
            steps=steps,
            guidance=guidance,
            positive=positive,
            negative=negative,
            strength=strength,
            eta=eta,
            frames=frames,
            size=size,
            progress=progress,
            **conditions,
        )
        return clip

    def sample_batch(
        self,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | int | None = None,
        positive: Collection[str] | None = None,
        negative: Collection[str] | None = None,
        strength: Mapping[str, float | int] | None = None,
        eta: float | int = 0.0,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        progress: ProgressCallback | None = None,
        **conditions: Any,
    ) -> list[Clip]:
        """Sample a batch of videos with the same conditions, one for each seed.

        The other arguments are those of `__call__`. Randomly drawn conditions depend on the first seed.
        """
        progress = progress or no_progress
        shape = self.clip_shape(frames, size)
        conditions = {name: value for name, value in conditions.items() if value is not None}
        positive, negative = guidance_branches(
            {name: self._condition(name) for name in conditions}, positive, negative
        )
        weights = condition_strengths(conditions, strength)
        weight = np.float32(finite("guidance", self.defaults.guidance if guidance is None else guidance))
        steps = integer("steps", self.defaults.steps if steps is None else steps)
        table = ddim_steps(self.schedule, steps, prediction=self.prediction, eta=finite("eta", eta))

        progress("reading conditions", 0, 0)
        for seed in seeds:
            check_seed(seed)
        if not seeds:
            raise BadInput("seeds must hold at least one")
        arrays = self.read(conditions, shape, seeds[0])
        progress("encoding conditions", 0, 0)
        branches = [positive] if positive == negative else [negative, positive]
        tokens, mask = self._tokens(arrays, branches, weights, shape)
        maps = self._maps(arrays, branches, weights, shape)
        # rows of the negative branch for all clips, then rows of the positive branch
        maps, tokens, mask = (self._replicate(jnp.repeat(x, len(seeds), 0)) for x in (maps, tokens, mask))

        keys = [jax.random.split(jax.random.key(seed)) for seed in seeds]
        latent = (shape.frames, *self.latent_shape(shape))
        z = self._replicate(jnp.stack([jax.random.normal(initial, latent) for initial, _ in keys]))
        step_keys = jnp.stack([step_key for _, step_key in keys])
        progress("loading weights", 0, 0)
        parameters, call = self.parameters("unet"), self.executables(sample_chunk)

        def run_chunk(z: Array, rows: Steps) -> Array:
            return call(self.networks.unet, parameters, z, rows, step_keys, maps, tokens, mask, weight)

        z = sample_in_chunks(run_chunk, z, table, progress)
        progress("decoding", len(table), len(table))
        if not jnp.isfinite(z).all():
            raise BadInput(
                f"sampling ended in NaN or infinity: guidance {weight:g} or a strength is too large, "
                f"or the weights of model {self.name} are damaged"
            )
        autoencoder, layout = self.parameters("autoencoder"), Layout(self.mesh)
        decode_latents = self.executables(decode)
        pixels = [decode_latents(self.networks.autoencoder, autoencoder, latents, layout) for latents in z]
        return [Clip(np.asarray(frames), shape.fps) for frames in pixels]

    def with_mesh(self, mesh: Mesh) -> "Composer":
        """Return the composer on a device mesh: frames are sharded over axis `frames`, clips over the others.

        ```python
        composer = composer.with_mesh(make_mesh(MeshShape(frames=8)))  # shards each clip over eight devices
        ```
        """
        layout = Layout(mesh)
        unet, stc = (network.clone(layout=layout) for network in (self.networks.unet, self.networks.stc))

        @functools.cache
        def parameters(component: str, encoder: str | None = None) -> Tree:
            tree = self.parameters(component, encoder)
            return jax.device_put(tree, partition(mesh, RULES, {component: tree})[component])

        networks = dataclasses.replace(self.networks, unet=unet, stc=stc)
        return dataclasses.replace(self, networks=networks, parameters=parameters, mesh=mesh)

    def _replicate(self, x: Array) -> Array:
        """Replicate an array over all devices of the mesh."""
        return x if self.mesh is None else jax.device_put(x, replicated(self.mesh))

    def with_model(self, spec: ModelSpec) -> "Composer":
        """Return a composer with another model and the same parameters, tokenizer and mesh."""
        return dataclasses.replace(
            self,
            name=spec.name,
            networks=spec.networks,
            conditions=spec.conditions,
            schedule=spec.schedule,
            prediction=spec.prediction,
            shape=spec.clip,
            defaults=spec.defaults,
        )

    def with_parameters(self, parameters: Tree) -> "Composer":
        """Return the composer with other parameters.

        Args:
            parameters: parameter trees by component.
        """

        def component_parameters(component: str, encoder: str | None = None) -> Tree:
            return parameters[component] if encoder is None else parameters[component][encoder]

        return dataclasses.replace(self, parameters=component_parameters)

    def read(self, conditions: Mapping[str, Any], shape: ClipShape, seed: int = 0) -> dict[str, np.ndarray]:
        """Return the arrays of conditions: finished ones are read, others extracted from their source video.

        Each source video is decoded once, even if several conditions are extracted from it.

        Args:
            conditions: conditions by name, as in `__call__`.
            shape: shape of the clip.
            seed: seed of randomly drawn conditions.

        Raises:
            BadInput: a condition is unknown, or cannot be read or extracted.
        """
        check_seed(seed)
        clips: dict[Any, Clip] = {}
        arrays = {}
        for name, value in conditions.items():
            condition = self._condition(name)
            if isinstance(value, SourceVideo):
                condition.check_source(value, self.functions)
                key = id(value.source) if isinstance(value.source, Clip) else str(value.source)
                if key not in clips:
                    clips[key] = sample_source(value, shape)
                arrays[name] = condition.extract(
                    clips[key], shape, self.functions, seed, **value.extract_options
                )
            else:
                arrays[name] = condition.read(value, shape, self.functions)
        return arrays

    def preview(
        self, arrays: Mapping[str, np.ndarray], shape: ClipShape
    ) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
        """Return images that visualise the arrays of `read`, by condition."""
        return previews(self.conditions, arrays, shape)

    def clip_shape(self, frames: int | None = None, size: tuple[int, int] | None = None) -> ClipShape:
        """Return the model's clip shape with another number of frames or another size.

        Raises:
            BadInput: the number of frames is below 1, or the size is not a multiple of the networks'
                downsampling.
        """
        if size is not None and not (isinstance(size, tuple | list) and len(size) == 2):
            raise BadInput(f"size must be height and width, such as (64, 96), not {size!r}")
        height, width = size or (self.shape.height, self.shape.width)
        height, width = integer("height", height), integer("width", width)
        multiple = self.networks.autoencoder.downsampling * self.networks.unet.downsampling
        if height < multiple or width < multiple or height % multiple or width % multiple:
            raise BadInput(
                f"height and width must be multiples of {multiple} for this model, "
                f"not {height}x{width} (height x width)"
            )
        frames = self.shape.frames if frames is None else integer("frames", frames)
        return dataclasses.replace(self.shape, frames=frames, height=height, width=width)

    def latent_shape(self, shape: ClipShape | None = None) -> tuple[int, int, int]:
        """Return height, width and channels of the latent of a frame; `shape` is the model's if None."""
        shape = self.shape if shape is None else shape
        size = self.networks.autoencoder.latent_size(shape.height, shape.width)
        return (*size, self.networks.unet.latent_channels)

    @cached_property
    def functions(self) -> dict[str, Callable[..., np.ndarray]]:
        """Frozen networks that conditions may call, by name, as functions of NumPy arrays."""

        def text(ids: np.ndarray) -> np.ndarray:
            encode = self.executables(encode_text)
            return np.asarray(encode(self.networks.text, self.parameters("text"), ids[None])[0])

        functions = {"tokenizer": self.tokenize, "text": text, **extractors(self.networks, self.parameters)}
        if self.networks.text_projection is not None:
            functions["text_projection"] = partial(self._project_text, self.networks.text_projection)
        return functions

    def _project_text(self, projection: TextProjection, ids: np.ndarray) -> np.ndarray:
        """Return the embedding of a text in the joint embedding space of CLIP, not normalised."""
        hidden, parameters = self.functions["text"](ids), self.parameters("text_projection")
        embedding = apply(projection, parameters, jnp.asarray(hidden)[None], jnp.asarray(ids)[None])
        return np.asarray(embedding[0])

    def _condition(self, name: str) -> Condition:
        """Return a condition of the model."""
        if name not in self.conditions:
            raise BadInput(
                f"model {self.name} has no condition {name!r}: it has {', '.join(self.conditions)}"
            )
        return self.conditions[name]

    def _tokens(
        self,
        arrays: Mapping[str, np.ndarray],
        branches: list[frozenset[str]],
        weights: Mapping[str, float],
        shape: ClipShape,
    ) -> tuple[Array, Array]:
        """Return tokens and key mask of all branches.

        A condition that is not in a branch has its null embedding; one that is not in the call is masked if
        it has no null meaning.
        """
        embeddings, present = {}, {}
        for name, condition in self.conditions.items():
            if condition.kind != "tokens":
                continue
            null = condition.null(shape, self.functions)
            embedding = null
            if name in arrays:
                embedding = null + weights[name] * (condition.embed(arrays[name], self.functions) - null)
            embeddings[name] = np.stack([embedding if name in branch else null for branch in branches])
            is_present = name in arrays or condition.absent_is_null
            present[name] = np.full(len(branches), is_present)
        encode = self.executables(encode_tokens)
        return encode(self.networks.tokens, self.parameters("tokens"), embeddings, present)

    def _maps(
        self,
        arrays: Mapping[str, np.ndarray],
        branches: list[frozenset[str]],
        weights: Mapping[str, float],
        shape: ClipShape,
    ) -> Float[Array, "G F h w m"]:
        """Return the sum of the encoded maps of each branch; each map is encoded once."""
        size = self.latent_shape(shape)[:2]
        stc = self.networks.stc
        total = jnp.zeros((len(branches), shape.frames, *size, stc.out_channels))
        for name, array in arrays.items():
            if isinstance(self.conditions[name], MapCondition):
                encoded = self.executables(encode_map)(
                    stc, self.parameters("stc", name), array[None], size, shape.frames
                )
                branch_weights = np.array(
                    [weights[name] * (name in branch) for branch in branches], np.float32
                )
                total = add_map(total, encoded, branch_weights)
        return total
