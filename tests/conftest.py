"""Shared fixtures: the compilation cache, small networks, and real media that are not in the repository."""

import functools
import os
import shutil
import sys
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from vcjax.parallel.compilation import enable_cache

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

os.environ["VCJAX_CACHE"] = str(ROOT / ".pytest_cache" / "xla")  # not the user's; reused between runs
enable_cache()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, images and weights beside the checkout; the test is skipped where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared with real media and weights, which are not part of the repository")
    return SHARED


@pytest.fixture
def no_extraction_model(tmp_path) -> Path:
    """The built-in model without its depth and sketch networks."""
    from vcjax.weights.folder import read_config, write_config

    folder = tmp_path / "no_extraction_model"
    shutil.copytree(str(resources.files("vcjax") / "builtin" / "tiny"), folder)
    config = read_config(folder)
    for network in ("depth", "sketch"):
        config["networks"].pop(network, None)
        config["files"].pop(network, None)
    config["conditions"] |= {"sketch": {}, "single_sketch": {}}
    write_config(folder, config)
    return folder


@pytest.fixture
def vc(monkeypatch, capsys):
    """Run the command line; return exit code, standard output and standard error."""
    from vcjax import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["vcjax", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


def small_unet(**changes):
    """A UNet with every kind of block in it, small enough to run in a test."""
    from vcjax.models.unet import UNet

    sizes = {
        "base_channels": 32,
        "channel_multipliers": (1, 2),
        "num_res_blocks": 1,
        "attention_levels": (0,),
        "head_dim": 16,
        "num_input_heads": 2,
        "norm_groups": 8,
    }
    return UNet(**{**sizes, **changes})


def unet_inputs(key, *, batch=1, frames=4, height=8, width=8, tokens=5, features=24):
    """Random inputs of a UNet: latent, timesteps, maps, tokens and their mask."""
    keys = jax.random.split(key, 3)
    return (
        jax.random.normal(keys[0], (batch, frames, height, width, 4)),
        jnp.arange(1, batch + 1) * 100,
        jax.random.normal(keys[1], (batch, frames, height, width, 8)),
        jax.random.normal(keys[2], (batch, tokens, features)),
        jnp.ones((batch, tokens), bool),
    )


def random_variables(module, *inputs, seed=0):
    """Variables of a module, random and none of them zero. Inputs that are tuples are static."""
    from vcjax.weights.networks import random_parameters

    def init(*arrays):
        return module.init(jax.random.key(0), *arrays)

    shapes = jax.eval_shape(*_with_static(init, inputs))
    return {"params": jax.tree.map(jnp.asarray, random_parameters(shapes["params"], seed))}


def run(module, variables, *inputs, **options):
    """Apply a module, compiled as one program. Inputs that are tuples, and options, are static."""
    static = tuple(i for i, x in enumerate(inputs, start=1) if isinstance(x, tuple))
    return _compiled(module, static, **options)(variables, *inputs)


@functools.cache
def _compiled(module, static, **options):
    return jax.jit(functools.partial(module.apply, **options), static_argnums=static)


def _with_static(function, inputs):
    """The function of those inputs that are not tuples, and those inputs."""

    def of_arrays(*arrays):
        rest = iter(arrays)
        return function(*(x if isinstance(x, tuple) else next(rest) for x in inputs))

    return of_arrays, *(x for x in inputs if not isinstance(x, tuple))
