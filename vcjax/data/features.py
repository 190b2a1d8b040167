"""Feature extraction: from a clip to its record with latents and the stored features of every condition.

A record depends on its clip and the model only. XLA may round differently in a program of another batch size,
so every clip passes through programs of one fixed shape. Several clips are processed in parallel on different
devices, and decoding overlaps with the networks. XLA also rounds differently between kinds of machine: on a
CPU with another number of cores, latents may differ in the last bit of half precision.
"""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import jax
import numpy as np

from vcjax.composer.compiled import encode_frames
from vcjax.composer.composer import Composer
from vcjax.composer.loading import load
from vcjax.conditions.base import Condition, MapCondition
from vcjax.data.records import RecordCodec
from vcjax.data.videos import Sample
from vcjax.errors import BadInput
from vcjax.weights.trees import Tree


class FeatureExtractor:
    """The networks of a model, replicated on each local device, and the codec of the records.

    ```python
    extractor = FeatureExtractor(vcjax.load("tiny"), ["text", "motion"])
    data = extractor.record(sample)
    ```

    Args:
        composer: the model.
        names: names of the conditions to store.
        provided: names of those whose features the samples contain, so that no network is needed.

    Attributes:
        codec: codec of the records.
        compute_dtype: type that the networks compute in.

    Raises:
        BadInput: the model has no such condition, or lacks a network that extracts one.
    """

    def __init__(self, composer: Composer, names: Collection[str], provided: Collection[str] = ()):
        conditions = {name: c for name, c in composer.conditions.items() if name in names}
        _check_conditions(composer, names, provided)
        self.codec = RecordCodec(composer.shape, composer.latent_shape(), conditions)
        self.compute_dtype = str(composer.networks.autoencoder.dtype)
        self._composer = composer
        self._device_pool: queue.SimpleQueue[Composer] = queue.SimpleQueue()
        for device in jax.local_devices():
            self._device_pool.put(_on_device(composer, device))

    def record(self, sample: Sample) -> bytes:
        """Return the encoded record of a clip. Thread-safe: each device is used by one thread at a time.

        Raises:
            BadInput: a condition cannot be extracted or stored.
        """
        from vcjax.video.resize import resize_crop

        shape = dataclasses.replace(self.codec.shape, frames=len(sample.clip))
        stored: dict[str, Any] = {}
        with_networks: dict[str, Condition] = {}
        for name, condition in self.codec.conditions.items():
            if name in sample.features:
                stored[name] = _resize(condition, sample.features[name], shape)
            elif condition.networks:
                with_networks[name] = condition
            else:
                functions = self._composer.functions
                stored[name] = condition.stored_features(sample.clip, sample.caption, shape, functions)
        frames = resize_crop(sample.clip.frames, shape.height, shape.width, rule="latent")
        with self._idle_device() as composer:
            posterior = encode_frames(
                composer.networks.autoencoder, composer.parameters("autoencoder"), frames
            )
            for name, condition in with_networks.items():
                stored[name] = condition.stored_features(
                    sample.clip, sample.caption, shape, composer.functions
                )
            mean, std = np.asarray(posterior.mean), np.asarray(posterior.std)
        return self.codec.encode(
            {
                "clip": sample.name,
                "caption": sample.caption,
                "fps": sample.clip.fps,
                "mean": mean,
                "std": std,
                "conditions": stored,
            }
        )

    @contextlib.contextmanager
    def _idle_device(self) -> Iterator[Composer]:
        """Yield the model on an idle device, waiting for one if necessary."""
        composer = self._device_pool.get()
        try:
            yield composer
        finally:
            self._device_pool.put(composer)


def _check_conditions(composer: Composer, names: Collection[str], provided: Collection[str]) -> None:
    for name in names:
        if name not in composer.conditions:
            raise BadInput(
                f"model {composer.name} has no condition {name!r}: it has {', '.join(composer.conditions)}"
            )
    missing = {
        name: composer.conditions[name].missing_networks(composer.functions)
        for name in names
        if name not in provided
    }
    missing = {name: networks for name, networks in missing.items() if networks}
    if missing:
        networks = dict.fromkeys(network for each in missing.values() for network in each)
        raise BadInput(
            f"model {composer.name} has no {' and no '.join(networks)} network for {', '.join(missing)}: "
            f"prepare --without {','.join(missing)}, or with a model that has the networks"
        )


def _on_device(composer: Composer, device: Any) -> Composer:
    """Return the model with its parameters on a device, where its programs then run."""

    @cache
    def parameters(component: str, encoder: str | None = None) -> Tree:
        return jax.device_put(composer.parameters(component, encoder), device)

    return dataclasses.replace(composer, parameters=parameters)


def _resize(condition: Condition, features: np.ndarray, shape: Any) -> np.ndarray:
    """Resize features of the source to the size that the model takes."""
    from vcjax.video.resize import resize_crop_field

    if isinstance(condition, MapCondition) and features.shape[1:3] != condition.size(shape):
        return resize_crop_field(features, *condition.size(shape))
    return features


_lock = threading.Lock()


def shared_extractor(
    model: str, compute_dtype: str | None, names: tuple[str, ...], provided: tuple[str, ...]
) -> FeatureExtractor:
    """Return the extractor of this process for a model and conditions, created at the first call.

    Args:
        model: built-in model or path of a model folder.
        compute_dtype: type to compute in; see `vcjax.load`.
        names: names of the conditions to store.
        provided: names of those whose features the samples contain.
    """
    with _lock:  # so that threads do not load the model twice
        return _cached_extractor(model, compute_dtype, names, provided)


@cache
def _cached_extractor(
    model: str, compute_dtype: str | None, names: tuple[str, ...], provided: tuple[str, ...]
) -> FeatureExtractor:
    return FeatureExtractor(load(model, dtype=compute_dtype), names, provided)
