"""What a request takes at least, which is compared with the machine before anything is computed."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from vcjax.composer.model import LoadedModel
from vcjax.composer.tiling import WindowSettings
from vcjax.conditions.base import ClipShape
from vcjax.diffusion.windows import Tiling
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.input_files import check_memory

SMALLER = "give fewer frames, a smaller size or smaller windows"
MANY_WINDOWS = 32  # from which on a request says how many there are


def check_request_memory(model: LoadedModel, shape: ClipShape, windows: WindowSettings) -> None:
    """Check that the largest arrays of sampling could fit into this machine.

    These are the summed maps of all windows, `[U, f, h, w, m]`, and two feature maps of the UNet's first level for one
    window, `[f, h, w, base_channels]`. All others come on top.

    Args:
        model: model that samples.
        shape: shape of the clip.
        windows: complete windows, see `vcjax.composer.tiling.complete_windows`.

    Raises:
        BadInput: they cannot.
    """
    assert windows.frames is not None
    assert windows.size is not None
    unet, autoencoder = model.networks.unet, model.networks.autoencoder
    window = windows.frames * math.prod(autoencoder.latent_size(windows.size[0], windows.size[1]))
    clip = shape.frames * math.prod(autoencoder.latent_size(shape.height, shape.width))
    item = jax.numpy.dtype(unet.dtype).itemsize
    needed = item * (2 * window * unet.base_channels + clip * model.networks.stc.out_channels)
    check_memory(needed, f"the features of {_described(shape)}", SMALLER)


def warn_of_many_windows(tiling: Tiling, shape: ClipShape, steps: int) -> None:
    """Say how many windows each step takes, where they are many."""
    count = math.prod(len(tiling.starts(axis, 0)) for axis in range(3))
    if count >= MANY_WINDOWS:
        warnings.warn(
            f"{_described(shape)} are {count} windows in each of {steps} steps, so that this takes {count} times as "
            "long as one of them",
            VcjaxWarning,
            stacklevel=3,
        )


@contextmanager
def within_memory(shape: ClipShape) -> Iterator[None]:
    """Say in one sentence that the device has too little memory for a clip.

    Raises:
        BadInput: the body needs more memory than the device has.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise BadInput(
            f"{_described(shape)} take more memory than the device has ({str(error).splitlines()[0]}); {SMALLER}"
        ) from error


def _described(shape: ClipShape) -> str:
    return f"{shape.frames} frames of {shape.height}x{shape.width}"
