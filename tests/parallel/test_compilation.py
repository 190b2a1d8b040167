"""`compilation.jit` behaves like `jax.jit`, with compiler options for the default backend."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.parallel import compilation
from vcjax.platforms import compiling_for, platform


def test_it_behaves_like_jit(monkeypatch):
    calls = []
    backend = jax.default_backend
    monkeypatch.setattr(jax, "default_backend", lambda: calls.append(True) or backend())

    @functools.partial(compilation.jit, static_argnums=1)
    def power(x, exponent):
        """A power."""
        return x**exponent

    assert power.__doc__ == "A power."
    assert not calls  # decorating initialises no backend
    np.testing.assert_array_equal(power(jnp.arange(4.0), 2), [0, 1, 4, 9])
    assert calls
    np.testing.assert_array_equal(power.lower(jnp.arange(4.0), 3).compile()(jnp.arange(4.0)), [0, 1, 8, 27])


def test_matrix_products_on_a_cpu_use_no_library():
    """The option has an effect in the installed version of the compiler."""
    wide = jnp.ones((512, 512))
    compiled = compilation.jit(lambda x: x @ x).lower(wide).compile()
    assert "ynn" not in compiled.as_text()


def test_the_platform_is_that_of_the_default_device():
    assert platform() == jax.default_backend()
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        assert platform() == "cpu"
    with compiling_for("gpu"):
        assert platform() == "gpu"


def test_each_platform_has_a_program_with_its_own_options(monkeypatch):
    seen = []
    monkeypatch.setattr(
        compilation.jax, "jit", lambda f, compiler_options, **_: seen.append(compiler_options)
    )
    function = compilation.jit(lambda x: x)
    for name in ("cpu", "gpu", "tpu", "gpu"):
        with compiling_for(name):
            _ = function._jitted
    assert seen == [compilation.COMPILER_OPTIONS["cpu"], compilation.COMPILER_OPTIONS["gpu"], None]


def test_this_jaxlib_knows_the_options_for_its_cpu():
    for options in (compilation.COMPILER_OPTIONS, compilation.TRAINING_OPTIONS):
        assert compilation.jit(lambda x: x + 1, options)(1) == 2
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_cpu_nonsense"):
        compilation.jit(lambda x: x + 1, {"cpu": {"xla_cpu_nonsense": "1"}})(1)


def test_options_can_be_left_for_another_jaxlib(monkeypatch):
    monkeypatch.setenv(compilation.OPTIONS_VARIABLE, "none")
    assert compilation.jit(lambda x: x + 1, {"cpu": {"xla_cpu_nonsense": "1"}})(1) == 2


def test_the_cache_that_a_user_configured_is_left_as_it_is(monkeypatch):
    changed = []
    monkeypatch.setattr(compilation.jax.config, "update", lambda *setting: changed.append(setting))
    assert jax.config.values["jax_compilation_cache_dir"]  # tests/conftest.py
    compilation.enable_cache()
    assert changed == []
