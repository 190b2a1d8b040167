"""`compilation.jit` behaves like `jax.jit`, with compiler options for the default backend."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.parallel import compilation


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
