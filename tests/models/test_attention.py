import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.models import attention


def reference(q, k, v, allowed):
    scores = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (50, 13), (33, 33)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_the_softmax_over_unmasked_keys(implementation, queries, keys, masked, monkeypatch):
    monkeypatch.setattr(
        attention, "QUERY_BLOCK", 16
    )  # 33 and 50 queries are several blocks, the last one padded
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((3, n, 2, 8)).astype(np.float32) for n in (queries, keys, keys))
    lengths = np.array([1, keys // 2, keys], np.int32)
    allowed = np.arange(keys) < (lengths if masked else np.full(3, keys))[:, None, None, None]
    out = attention.dot_product_attention(
        *map(jnp.asarray, (q, k, v)), jnp.asarray(lengths) if masked else None, implementation=implementation
    )
    np.testing.assert_allclose(out, reference(q, k, v, allowed), atol=2e-6)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_causal_attention_ignores_later_keys(implementation, monkeypatch):
    monkeypatch.setattr(attention, "QUERY_BLOCK", 4)
    x = np.random.default_rng(0).standard_normal((2, 9, 2, 8)).astype(np.float32)
    out = attention.dot_product_attention(*[jnp.asarray(x)] * 3, causal=True, implementation=implementation)
    np.testing.assert_allclose(out, reference(x, x, x, np.tril(np.ones((9, 9), bool))), atol=2e-6)


def test_blockwise_attention_holds_one_block_of_scores_and_has_the_gradient_of_plain():
    x = jax.random.normal(jax.random.key(0), (2, 3000, 2, 4))

    def loss(x, implementation):
        return jnp.square(attention.dot_product_attention(x, x, x, implementation=implementation)).sum()

    program = jax.jit(jax.grad(loss), static_argnums=1).lower(x, "blockwise")
    largest = max(int(np.prod(shape)) for shape in shapes_in(program.as_text()))
    assert largest <= 1024 * 3072  # scores of one block of queries of one head; all scores are 36 million
    small = x[:, :64]
    np.testing.assert_allclose(
        jax.grad(loss)(small, "blockwise"), jax.grad(loss)(small, "plain"), rtol=1e-4, atol=1e-5
    )


def shapes_in(text):
    found = re.findall(r"tensor<((?:\d+x)+)f32>", text)
    return [[int(n) for n in dims.rstrip("x").split("x")] for dims in found]


def test_auto_selects_plain_for_small_and_blockwise_for_large_score_matrices_on_a_cpu():
    frames, pixels = jnp.zeros((1, 16, 1, 8)), jnp.zeros((1, 1024, 1, 8))
    assert attention._select_implementation(frames, frames) == "plain"
    assert attention._select_implementation(pixels, pixels) == "blockwise"


@pytest.mark.parametrize(("head_dim", "expected"), [(64, "cudnn"), (512, "plain"), (60, "plain")])
def test_auto_selects_cudnn_on_a_gpu_if_it_supports_the_head_dim(head_dim, expected, monkeypatch):
    """The autoencoder's only head has 512 channels, which cuDNN does not support."""
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    pixels = jnp.zeros((1, 1024, 1, head_dim), jnp.bfloat16)
    assert attention._select_implementation(pixels, pixels) == expected


def test_an_odd_number_of_keys_is_padded_for_cudnn_without_effect():
    q, k, v = (jax.random.normal(jax.random.key(i), (2, n, 2, 8)) for i, n in enumerate((6, 5, 5)))
    for lengths in (None, jnp.array([2, 5])):
        key, value, even = attention._even(k, v, lengths)
        assert key.shape[1] == value.shape[1] == 6
        expected = attention.dot_product_attention(q, k, v, lengths, implementation="plain")
        found = attention.dot_product_attention(q, key, value, even, implementation="plain")
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert attention._even(key, value, lengths)[0] is key
