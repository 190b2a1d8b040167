"""From a clip to its record: the latents, and the material of every condition that is stored.

What a record holds depends on its clip and on the model alone. XLA may round otherwise in a program of another batch
size, so every clip goes through programs of one fixed shape, its frames together; several clips are worked on at once
by handing them to different devices, and by decoding some beside the networks of others. Between kinds of machine
XLA rounds differently: on a CPU with another number of cores, latents may differ in the last bit of half precision.
"""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Collection, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8

from vcjax.composer import Composer
from vcjax.conditions.base import Condition, MapCondition
from vcjax.data.footage import Sample
from vcjax.data.records import RecordForm
from vcjax.errors import BadInput
from vcjax.loading import load
from vcjax.models.autoencoder import Autoencoder
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

ENCODED_AT_ONCE = 4 * 256 * 256  # pixels that the encoder holds at a time


class Workshop:
    """A model's networks, once on each device of this process, the type that they compute in, and the records' form.

    ```python
    workshop = Workshop(vcjax.load("tiny"), ["text", "motion"])
    data = workshop.record(sample)
    ```

    Args:
        composer: the model.
        names: of the conditions to be stored.
        known: of those that the source of the clips tells, for which no network is needed.

    Raises:
        BadInput: the model has no such condition, or lacks a network that one is extracted with.
    """

    def __init__(self, composer: Composer, names: Collection[str], known: Collection[str] = ()):
        conditions = {name: c for name, c in composer.conditions.items() if name in names}
        _check(composer, names, known)
        shape, factor = composer.shape, composer.networks.autoencoder.factor
        latent = (
            shape.height // factor,
            shape.width // factor,
            composer.networks.autoencoder.latent_channels,
        )
        self.form = RecordForm(shape, latent, conditions)
        self.dtype = str(composer.networks.autoencoder.dtype)
        self._composer = composer
        self._benches: queue.SimpleQueue[Composer] = queue.SimpleQueue()
        for device in jax.local_devices():
            self._benches.put(_on_device(composer, device))

    def record(self, sample: Sample) -> bytes:
        """The record of a clip. May be called by several threads: each device works for one at a time.

        Raises:
            BadInput: a condition cannot be extracted from it or stored.
        """
        shape = dataclasses.replace(self.form.shape, frames=len(sample.clip))
        materials: dict[str, Any] = {}
        waiting: dict[str, Condition] = {}
        for name, condition in self.form.conditions.items():
            if name in sample.known:
                materials[name] = _fitted(condition, sample.known[name], shape)
            elif condition.networks:
                waiting[name] = condition
            else:
                functions = self._composer.functions
                materials[name] = condition.material(sample.clip, sample.caption, shape, functions)
        frames = _for_autoencoder(sample.clip.frames, shape.height, shape.width)
        with self._bench() as composer:
            mean, deviation = posterior(
                composer.networks.autoencoder, composer.parameters("autoencoder"), frames
            )
            for name, condition in waiting.items():
                materials[name] = condition.material(sample.clip, sample.caption, shape, composer.functions)
            mean, deviation = np.asarray(mean), np.asarray(deviation)
        return self.form.encode(
            {
                "clip": sample.name,
                "caption": sample.caption,
                "fps": sample.clip.fps,
                "mean": mean,
                "deviation": deviation,
                "conditions": materials,
            }
        )

    @contextlib.contextmanager
    def _bench(self) -> Iterator[Composer]:
        """The model on a device that nobody else works on meanwhile."""
        composer = self._benches.get()
        try:
            yield composer
        finally:
            self._benches.put(composer)


@partial(compilation.jit, static_argnums=0)
def posterior(
    autoencoder: Autoencoder, parameters: Tree, frames: UInt8[Array, "F H W 3"]
) -> tuple[Float32[Array, "F h w c"], Float32[Array, "F h w c"]]:
    """Mean and deviation of the latents of a clip's frames, a few at a time."""

    def one(frame: Array) -> tuple[Array, Array]:
        image = frame.astype(jnp.float32) / 127.5 - 1
        found = apply(autoencoder, parameters, image[None], method="encode")
        return found.mean[0], found.deviation[0]

    count, height, width, _ = frames.shape
    return jax.lax.map(one, frames, batch_size=min(count, max(1, ENCODED_AT_ONCE // (height * width))))


def _check(composer: Composer, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in composer.conditions:
            raise BadInput(
                f"model {composer.name} has no condition {name!r}: it has {', '.join(composer.conditions)}"
            )
    lacking = {n: composer.conditions[n].lacks(composer.functions) for n in names if n not in known}
    lacking = {name: networks for name, networks in lacking.items() if networks}
    if lacking:
        networks = dict.fromkeys(network for each in lacking.values() for network in each)
        raise BadInput(
            f"model {composer.name} has no {' and no '.join(networks)} network, which {', '.join(lacking)} would be "
            f"extracted with: prepare --without {','.join(lacking)}, or with a model that has them"
        )


def _on_device(composer: Composer, device: Any) -> Composer:
    """The same model, its parameters on this device, so that its programs run there."""

    @cache
    def placed(component: str, encoder: str | None = None) -> Tree:
        return jax.device_put(composer.parameters(component, encoder), device)

    return dataclasses.replace(composer, parameters=placed)


def _for_autoencoder(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    from vcjax.video.resize import resize_crop

    return resize_crop(frames, height, width, rule="latent")


def _fitted(condition: Condition, known: np.ndarray, shape: Any) -> np.ndarray:
    """A material that the source tells, at the size that the model takes."""
    from vcjax.video.resize import resize_crop_field

    if isinstance(condition, MapCondition) and known.shape[1:3] != condition.size(shape):
        return resize_crop_field(known, *condition.size(shape))
    return known


def open_workshop(*settings: Any) -> Workshop:
    """The workshop of this process for a model's name, a type, names of conditions and those that are known.

    Made when it is first asked for; see `Workshop` and `vcjax.load`.
    """
    with _one_at_a_time:
        return _workshop(*settings)


_one_at_a_time = threading.Lock()


@cache
def _workshop(model: str, dtype: str | None, names: tuple[str, ...], known: tuple[str, ...]) -> Workshop:
    return Workshop(load(model, dtype=dtype), names, known)
