"""A function is compiled as jax.jit compiles it, with options that the default backend's compiler takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.parallel import compilation


def test_it_is_jit_with_options(monkeypatch):
    asked = []
    backend = jax.default_backend
    monkeypatch.setattr(jax, "default_backend", lambda: asked.append(True) or backend())

    @functools.partial(compilation.jit, static_argnums=1)
    def power(x, exponent):
        """A power."""
        return x**exponent

    assert power.__doc__ == "A power."
    assert not asked  # decorating starts no backend
    np.testing.assert_array_equal(power(jnp.arange(4.0), 2), [0, 1, 4, 9])
    assert asked
    np.testing.assert_array_equal(power.lower(jnp.arange(4.0), 3).compile()(jnp.arange(4.0)), [0, 1, 8, 27])


def test_a_cpu_multiplies_without_the_library():
    """The option is one that this version of the compiler knows and heeds."""
    wide = jnp.ones((512, 512))
    compiled = compilation.jit(lambda x: x @ x).lower(wide).compile()
    assert "ynn" not in compiled.as_text()
