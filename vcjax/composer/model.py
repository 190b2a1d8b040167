"""`LoadedModel`: a model with its weights, which are read when they are first used."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.tree_util import keystr
from jaxtyping import Array

from vcjax.composer.compiled import encode_text
from vcjax.composer.latent_colours import LatentColours
from vcjax.composer.model_config import Defaults, ModelSpec
from vcjax.conditions.base import ClipShape, Condition
from vcjax.diffusion.objective import Prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.input_files import check_memory
from vcjax.models.clip import TextProjection
from vcjax.models.layout import Layout
from vcjax.parallel.mesh import replicated
from vcjax.parallel.placement import place
from vcjax.settings import integer
from vcjax.weights.adapters import Adapter, read_adapter
from vcjax.weights.extraction import extractors
from vcjax.weights.networks import Networks, apply
from vcjax.weights.trees import Tree

Loaded = TypeVar("Loaded", bound="LoadedModel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with its weights.

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
        latent_colours: map from latents to colours, for pictures while sampling; None if the model has none.
        mesh: device mesh, see `with_mesh`; a single device if None.
        read_unet: function that reads the parameters of the UNet from the model's folder, with adapters merged; None for a
            model that has no folder.
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
    latent_colours: LatentColours | None = None
    mesh: Mesh | None = None
    read_unet: Callable[[Sequence[tuple[Adapter, float]]], Tree] | None = None

    def with_adapters(self: Loaded, adapters: Mapping[str, float | int]) -> Loaded:
        """Return the model with adapters in its UNet.

        ```python
        composer = vcjax.load("tiny").with_adapters({"look.safetensors": 0.8})
        ```

        They are merged into the weights, in float32, so that sampling costs what it costs without them.

        Args:
            adapters: strengths of adapters, by their files.

        Raises:
            BadInput: a file holds no adapters, or they do not fit the model.
        """
        if self.read_unet is None:
            raise BadInput(f"model {self.name} has no folder, from which weights for adapters are read")
        unet = self.read_unet([(read_adapter(Path(file)), float(x)) for file, x in adapters.items()])

        def parameters(component: str, encoder: str | None = None) -> Tree:
            return unet if component == "unet" else self.parameters(component, encoder)

        return dataclasses.replace(self, parameters=parameters, read_unet=None)

    def with_mesh(
        self: Loaded,
        mesh: Mesh,
        parameters: Callable[..., Tree] | None = None,
        read_unet: Callable[[Sequence[tuple[Adapter, float]]], Tree] | None = None,
    ) -> Loaded:
        """Return the model on a device mesh: frames are sharded over axis `frames`, clips over the others.

        ```python
        composer = composer.with_mesh(make_mesh(MeshShape(frames=8)))  # shards each clip over eight devices
        ```

        Args:
            mesh: device mesh.
            parameters: function that returns parameters on the mesh; where None, those of the model are put there.
            read_unet: see the attribute; it puts parameters on the mesh.
        """
        layout = Layout(mesh)
        unet, stc = (network.clone(layout=layout) for network in (self.networks.unet, self.networks.stc))

        @functools.cache
        def put(component: str, encoder: str | None = None) -> Tree:
            def put_one(path: Any, x: Array) -> Array:
                return place(f"{component}/{keystr(path, simple=True, separator='/')}", x, mesh)

            return jax.tree.map_with_path(put_one, self.parameters(component, encoder))

        networks = dataclasses.replace(self.networks, unet=unet, stc=stc)
        return dataclasses.replace(
            self, networks=networks, parameters=parameters or put, mesh=mesh, read_unet=read_unet
        )

    def replicate(self, x: Array) -> Array:
        """Replicate an array over all devices of the mesh."""
        return x if self.mesh is None else jax.device_put(x, replicated(self.mesh))

    def with_model(self: Loaded, spec: ModelSpec) -> Loaded:
        """Return another model with the same parameters, tokenizer and mesh."""
        return dataclasses.replace(
            self,
            name=spec.name,
            networks=spec.networks,
            conditions=spec.conditions,
            schedule=spec.schedule,
            prediction=spec.prediction,
            shape=spec.clip,
            defaults=spec.defaults,
            latent_colours=spec.latent_colours,
            read_unet=None,
        )

    def with_parameters(self: Loaded, parameters: Tree) -> Loaded:
        """Return the model with other parameters.

        Args:
            parameters: parameter trees by component.
        """

        def component_parameters(component: str, encoder: str | None = None) -> Tree:
            return parameters[component] if encoder is None else parameters[component][encoder]

        return dataclasses.replace(self, parameters=component_parameters, read_unet=None)

    def clip_shape(self, frames: int | None = None, size: tuple[int, int] | None = None) -> ClipShape:
        """Return the model's clip shape with another number of frames or another size.

        Raises:
            BadInput: the number of frames is below 1, the size is not a multiple of the networks' downsampling, or the clip
                takes more memory than there is.
        """
        if size is not None and not (isinstance(size, tuple | list) and len(size) == 2):
            raise BadInput(f"size must be height and width, such as (64, 96), not {size!r}")
        height, width = size or (self.shape.height, self.shape.width)
        height, width = integer("height", height), integer("width", width)
        multiple = self.networks.size_multiple
        if height < multiple or width < multiple or height % multiple or width % multiple:
            raise BadInput(
                f"height and width must be multiples of {multiple} for this model, "
                f"not {height}x{width} (height x width)"
            )
        frames = self.shape.frames if frames is None else integer("frames", frames)
        check_memory(
            3 * frames * height * width,
            f"the pixels of {frames} frames of {height}x{width}",
            "give fewer frames or a smaller size",
        )
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
            return np.asarray(encode_text(self.networks.text, self.parameters("text"), ids[None])[0])

        functions = {"tokenizer": self.tokenize, "text": text, **extractors(self.networks, self.parameters)}
        if self.networks.text_projection is not None:
            functions["text_projection"] = partial(self._project_text, self.networks.text_projection)
        return functions

    def _project_text(self, projection: TextProjection, ids: np.ndarray) -> np.ndarray:
        """Return the embedding of a text in the joint embedding space of CLIP, not normalised."""
        hidden, parameters = self.functions["text"](ids), self.parameters("text_projection")
        embedding = apply(projection, parameters, jnp.asarray(hidden)[None], jnp.asarray(ids)[None])
        return np.asarray(embedding[0])

    def null(self, name: str) -> np.ndarray:
        """Return the null embedding of a token condition, computed once."""
        if name not in self._nulls:
            self._nulls[name] = self.conditions[name].null(self.shape, self.functions)
        return self._nulls[name]

    @cached_property
    def _nulls(self) -> dict[str, np.ndarray]:
        return {}

    def condition(self, name: str) -> Condition:
        """Return a condition of the model."""
        if name not in self.conditions:
            raise BadInput(
                f"model {self.name} has no condition {name!r}: it has {', '.join(self.conditions)}"
            )
        return self.conditions[name]
