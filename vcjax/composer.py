"""The composer: conditions in, video out. It is what `vcjax.load` gives a person to hold."""

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

from vcjax.conditions.base import ClipShape, Condition, Footage, MapCondition
from vcjax.conditions.media import sampled
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
from vcjax.programs import STEPS_A_CALL, add_map, decode, encode_map, encode_text, encode_tokens, take_steps
from vcjax.progress import Tell
from vcjax.settings import check_seed, finite, whole
from vcjax.video.clip import Clip
from vcjax.weights.extraction import extractors
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a model is sampled with where nothing else is asked for.

    Attributes:
        steps: DDIM steps.
        guidance: weight of guidance.
    """

    steps: int = 50
    guidance: float = 9.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composer:
    """A model ready to make videos from any subset of its conditions.

    ```python
    composer = vcjax.load("tiny")
    clip = composer(text="a red circle moving left", image="first.png", motion=vcjax.extract("walk.mp4"), seed=7)
    clip.save("out.mp4")
    ```

    Attributes:
        name: of the model.
        networks: its networks.
        conditions: what it can be composed from, by name.
        schedule: forward process that it was trained on.
        prediction: what its UNet predicts.
        shape: of the clips that it was trained on.
        defaults: of sampling.
        parameters: gives the parameters of a component (and of one encoder in it), loading them at the first call.
        tokenize: text to token ids.
        mesh: the devices that share the work, see `on`; without it, one does it.
        programs: takes a compiled function to what is called in its place, such as `vcjax.parallel.stored.Stored`.
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
    programs: Callable[[compilation.jit], Callable[..., Any]] = lambda function: function

    def __call__(
        self,
        *,
        steps: int | None = None,
        guidance: float | int | None = None,
        toward: Collection[str] | None = None,
        away: Collection[str] | None = None,
        strength: Mapping[str, float | int] | None = None,
        eta: float | int = 0.0,
        seed: int = 0,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        progress: Tell | None = None,
        **given: Any,
    ) -> Clip:
        """Make a video.

        Args:
            steps: DDIM steps.
            guidance: weight w of out(away) + w (out(toward) - out(away)).
            toward: names of the conditions that guidance leads toward; all that are given without it.
            away: names of those that it leads away from; without it all that are given but text and style, as the
                released model does. Where both sets are the same, guidance does nothing and one branch is run.
            strength: factor for a condition, 1 where nothing is said. It scales a map's encoding, and how far text
                and style lie from their null.
            eta: noise of the sampler, from 0 (deterministic) to 1.
            seed: of the first noise and of what is drawn at random.
            frames: number of frames.
            size: height and width in pixels.
            progress: called with a stage (`reading`, `compiling`, `sampling`, `decoding`), steps done and steps in all.
            **given: conditions by name: finished (see `Condition.accepts`), or `vcjax.extract(footage)`.

        Raises:
            BadInput: an unknown condition, one that cannot be read, a number out of range, or work that the devices cannot
                share equally.
        """
        (clip,) = self.many(
            [seed],
            steps=steps,
            guidance=guidance,
            toward=toward,
            away=away,
            strength=strength,
            eta=eta,
            frames=frames,
            size=size,
            progress=progress,
            **given,
        )
        return clip

    def many(
        self,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | int | None = None,
        toward: Collection[str] | None = None,
        away: Collection[str] | None = None,
        strength: Mapping[str, float | int] | None = None,
        eta: float | int = 0.0,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        progress: Tell | None = None,
        **given: Any,
    ) -> list[Clip]:
        """Make a video for each seed, all at once; the rest is as in a call.

        The conditions are the same in all: what is drawn at random in them is drawn from the first seed.
        """
        tell = progress or (lambda stage, done, total: None)
        shape = self.clip_shape(frames, size)
        given = {name: value for name, value in given.items() if value is not None}
        toward, away = self._branches(given, toward, away)
        weights = self._strengths(given, strength)
        weight = np.float32(finite("guidance", self.defaults.guidance if guidance is None else guidance))
        steps = whole("steps", self.defaults.steps if steps is None else steps)
        table = ddim_steps(self.schedule, steps, prediction=self.prediction, eta=finite("eta", eta))

        tell("reading", 0, len(table))
        for seed in seeds:
            check_seed(seed)
        if not seeds:
            raise BadInput("seeds must hold at least one")
        arrays = self.read(given, shape, seeds[0])
        branches = [toward] if toward == away else [away, toward]
        tokens, mask = self._tokens(arrays, branches, weights, shape)
        maps = self._maps(arrays, branches, weights, shape)
        # all clips of the branch that guidance leads away from, then all of the other
        maps, tokens, mask = (self._on_all(jnp.repeat(x, len(seeds), 0)) for x in (maps, tokens, mask))

        keys = [jax.random.split(jax.random.key(seed)) for seed in seeds]
        latent = (shape.frames, *self._latent_size(shape), self.networks.unet.latent_channels)
        z = self._on_all(jnp.stack([jax.random.normal(first, latent) for first, _ in keys]))
        later = jnp.stack([later for _, later in keys])
        parameters = self.parameters("unet")
        chunks = table.chunks(STEPS_A_CALL)

        def take(z: Array, rows: Steps) -> Array:
            return self.programs(take_steps)(
                self.networks.unet, parameters, z, rows, later, maps, tokens, mask, weight
            )

        tell("compiling", 0, len(table))
        z = take(z, chunks[0].inactive())  # compiles the program, or finds it compiled, and computes nothing
        tell("sampling", 0, len(table))
        for i, rows in enumerate(chunks):
            z = jax.block_until_ready(
                take(z, rows)
            )  # so that progress is true; the device idles for microseconds
            tell("sampling", min((i + 1) * STEPS_A_CALL, len(table)), len(table))

        tell("decoding", len(table), len(table))
        if not jnp.isfinite(z).all():
            raise BadInput(
                f"sampling ended in NaN or infinity: guidance {weight:g} or a strength is too large, "
                f"or the weights of model {self.name} are damaged"
            )
        autoencoder, layout = self.parameters("autoencoder"), Layout(self.mesh)
        show = self.programs(decode)
        pixels = [show(self.networks.autoencoder, autoencoder, latents, layout) for latents in z]
        return [Clip(np.asarray(frames), shape.fps) for frames in pixels]

    def on(self, mesh: Mesh) -> "Composer":
        """The same model on a mesh of devices: a clip's frames are split over its axis `frames`, clips over the others.

        ```python
        eight = composer.on(make_mesh(MeshShape(frames=8)))     # one clip by eight devices
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

    def _on_all(self, x: Array) -> Array:
        """An array on every device of the mesh."""
        return x if self.mesh is None else jax.device_put(x, replicated(self.mesh))

    def with_parameters(self, parameters: Tree) -> "Composer":
        """The same model with the parameters of these components, a tree by their names."""

        def of(component: str, encoder: str | None = None) -> Tree:
            return parameters[component] if encoder is None else parameters[component][encoder]

        return dataclasses.replace(self, parameters=of)

    def read(self, given: Mapping[str, Any], shape: ClipShape, seed: int = 0) -> dict[str, np.ndarray]:
        """The arrays of conditions that are handed in, by name: finished ones read, footage extracted from.

        Each file of footage is decoded once, however many conditions are taken from it.
        """
        check_seed(seed)
        clips: dict[Any, Clip] = {}
        arrays = {}
        for name, value in given.items():
            condition = self._condition(name)
            if isinstance(value, Footage):
                condition.check_footage(value, self.functions)
                key = id(value.source) if isinstance(value.source, Clip) else str(value.source)
                if key not in clips:
                    clips[key] = sampled(value, shape)
                arrays[name] = condition.extract(clips[key], shape, self.functions, seed, **value.aids)
            else:
                arrays[name] = condition.read(value, shape, self.functions)
        return arrays

    def preview(
        self, arrays: Mapping[str, np.ndarray], shape: ClipShape
    ) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
        """What `read` gave as pictures to look at, by name."""
        return previews(self.conditions, arrays, shape)

    def clip_shape(self, frames: int | None = None, size: tuple[int, int] | None = None) -> ClipShape:
        """The model's clip shape with other frames or another size.

        Raises:
            BadInput: no frame, or a size that the networks cannot halve often enough.
        """
        if size is not None and not (isinstance(size, tuple | list) and len(size) == 2):
            raise BadInput(f"size must be height and width, such as (64, 96), not {size!r}")
        height, width = size or (self.shape.height, self.shape.width)
        height, width = whole("height", height), whole("width", width)
        multiple = self.networks.autoencoder.factor * 2 ** (len(self.networks.unet.multipliers) - 1)
        if height < multiple or width < multiple or height % multiple or width % multiple:
            raise BadInput(
                f"height and width must be multiples of {multiple} for this model, not {height}x{width}"
            )
        frames = self.shape.frames if frames is None else whole("frames", frames)
        return dataclasses.replace(self.shape, frames=frames, height=height, width=width)

    @property
    def latent(self) -> tuple[int, int, int]:
        """Height, width and channels of the latent of a frame of `shape`."""
        factor = self.networks.autoencoder.factor
        return self.shape.height // factor, self.shape.width // factor, self.networks.unet.latent_channels

    @cached_property
    def functions(self) -> dict[str, Callable[..., np.ndarray]]:
        """The frozen networks that conditions may call, from host arrays to host arrays, by name."""

        def text(ids: np.ndarray) -> np.ndarray:
            encode = self.programs(encode_text)
            return np.asarray(encode(self.networks.text, self.parameters("text"), ids[None])[0])

        functions = {"tokenizer": self.tokenize, "text": text, **extractors(self.networks, self.parameters)}
        if self.networks.pair is not None:
            functions["pair"] = partial(self._of_pair, self.networks.pair)
        return functions

    def _of_pair(self, pair: TextProjection, ids: np.ndarray) -> np.ndarray:
        """The embedding of a text in the space of CLIP's pictures, not normalised."""
        hidden = self.functions["text"](ids)
        return np.asarray(
            apply(pair, self.parameters("pair"), jnp.asarray(hidden)[None], jnp.asarray(ids)[None])[0]
        )

    def _condition(self, name: str) -> Condition:
        if name not in self.conditions:
            raise BadInput(
                f"model {self.name} has no condition {name!r}: it has {', '.join(self.conditions)}"
            )
        return self.conditions[name]

    def _branches(
        self, given: Mapping[str, Any], toward: Collection[str] | None, away: Collection[str] | None
    ) -> tuple[frozenset[str], frozenset[str]]:
        """The two sets of conditions of guidance."""
        for name in given:
            self._condition(name)
        for names, what in ((toward, "toward"), (away, "away")):
            if isinstance(names, str):
                raise BadInput(f"{what} must be a list of names, such as [{names!r}], not {names!r}")
            for name in names or ():
                if name not in given:
                    raise BadInput(f"guidance {what} {name!r} needs that condition, but it is not given")
        tokens = {name for name in given if self.conditions[name].kind == "tokens"}
        return (
            frozenset(given if toward is None else toward),
            frozenset(set(given) - tokens if away is None else away),
        )

    def _strengths(
        self, given: Mapping[str, Any], strength: Mapping[str, float | int] | None
    ) -> dict[str, float]:
        for name, value in (strength or {}).items():
            if name not in given:
                raise BadInput(f"strength of {name!r} needs that condition, but it is not given")
            finite(f"strength of {name}", value)
        return dict.fromkeys(given, 1.0) | dict(strength or {})

    def _tokens(
        self,
        arrays: Mapping[str, np.ndarray],
        branches: list[frozenset[str]],
        weights: Mapping[str, float],
        shape: ClipShape,
    ) -> tuple[Array, Array]:
        """Tokens and key mask of all branches: what is given, else its null, else masked out."""
        embeddings, present = {}, {}
        for name, condition in self.conditions.items():
            if condition.kind != "tokens":
                continue
            null = condition.null(shape, self.functions)
            embedding = null
            if name in arrays:
                embedding = null + weights[name] * (condition.embed(arrays[name], self.functions) - null)
            embeddings[name] = np.stack([embedding if name in branch else null for branch in branches])
            there = name in arrays or condition.absent_is_null
            present[name] = np.full(len(branches), there)
        encode = self.programs(encode_tokens)
        return encode(self.networks.tokens, self.parameters("tokens"), embeddings, present)

    def _maps(
        self,
        arrays: Mapping[str, np.ndarray],
        branches: list[frozenset[str]],
        weights: Mapping[str, float],
        shape: ClipShape,
    ) -> Float[Array, "G F h w m"]:
        """The sum of the encoded maps of each branch; each encoder runs once."""
        size = self._latent_size(shape)
        stc = self.networks.stc
        total = jnp.zeros((len(branches), shape.frames, *size, stc.features))
        for name, array in arrays.items():
            if isinstance(self.conditions[name], MapCondition):
                encoded = self.programs(encode_map)(
                    stc, self.parameters("stc", name), array[None], size, shape.frames
                )
                of_branch = np.array([weights[name] * (name in branch) for branch in branches], np.float32)
                total = add_map(total, encoded, of_branch)
        return total

    def _latent_size(self, shape: ClipShape) -> tuple[int, int]:
        factor = self.networks.autoencoder.factor
        return shape.height // factor, shape.width // factor
