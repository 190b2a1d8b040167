import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.models import attention


def reference(q, k, v, seen):
    scores = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (50, 13), (33, 33)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_a_softmax_over_the_keys_that_are_there(
    implementation, queries, keys, masked, monkeypatch
):
    monkeypatch.setattr(
        attention, "QUERY_BLOCK", 16
    )  # so that 33 and 50 queries take several blocks, unevenly
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((3, n, 2, 8)).astype(np.float32) for n in (queries, keys, keys))
    mask = rng.random((3, keys)) < 0.6
    mask[:, 0] = True
    seen = mask[:, None, None, :] if masked else np.ones((3, 1, 1, keys), bool)
    out = attention.attend(
        *map(jnp.asarray, (q, k, v)), jnp.asarray(mask) if masked else None, implementation=implementation
    )
    np.testing.assert_allclose(out, reference(q, k, v, seen), atol=2e-6)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_causal_attention_sees_no_later_key(implementation, monkeypatch):
    monkeypatch.setattr(attention, "QUERY_BLOCK", 4)
    x = np.random.default_rng(0).standard_normal((2, 9, 2, 8)).astype(np.float32)
    out = attention.attend(*[jnp.asarray(x)] * 3, causal=True, implementation=implementation)
    np.testing.assert_allclose(out, reference(x, x, x, np.tril(np.ones((9, 9), bool))), atol=2e-6)


def test_blockwise_never_builds_all_scores_and_has_the_gradient_of_plain():
    x = jax.random.normal(jax.random.key(0), (2, 3000, 2, 4))

    def loss(x, implementation):
        return jnp.square(attention.attend(x, x, x, implementation=implementation)).sum()

    program = jax.jit(jax.grad(loss), static_argnums=1).lower(x, "blockwise")
    largest = max(int(np.prod(shape)) for shape in shapes_in(program.as_text()))
    assert largest <= 1024 * 3072  # one head's scores of one block of queries; all of them are 36 million
    small = x[:, :64]
    np.testing.assert_allclose(
        jax.grad(loss)(small, "blockwise"), jax.grad(loss)(small, "plain"), rtol=1e-4, atol=1e-5
    )


def shapes_in(text):
    import re

    found = re.findall(r"tensor<((?:\d+x)+)f32>", text)
    return [[int(n) for n in dims.rstrip("x").split("x")] for dims in found]


def test_auto_is_plain_for_frames_and_blockwise_for_large_maps_on_a_cpu():
    frames, pixels = jnp.zeros((1, 16, 1, 8)), jnp.zeros((1, 1024, 1, 8))
    assert attention._best(frames, frames) == "plain"
    assert attention._best(pixels, pixels) == "blockwise"


@pytest.mark.parametrize(("size", "best"), [(64, "cudnn"), (512, "blockwise"), (60, "blockwise")])
def test_auto_is_cudnn_on_a_gpu_where_it_takes_the_head(size, best, monkeypatch):
    """The autoencoder's only head has 512 channels, which cuDNN refuses."""
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    pixels = jnp.zeros((1, 1024, 1, size), jnp.bfloat16)
    assert attention._best(pixels, pixels) == best
