"""Condition dropout: frequencies are the configured ones, samples are independent, dropped conditions have no effect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.runs import one_stage
from vcjax.training.build import build_task
from vcjax.training.config import Dropout
from vcjax.training.dropout import draw_keep_masks
from vcjax.weights.networks import random_parameters

DRAWS = 10_000
NAMES = ("text", "depth", "motion")


def test_frequencies_are_the_configured_ones():
    dropout = Dropout(drop_all=0.1, keep_all=0.2, per_condition={"depth": 0.9}, probability=0.5)
    kept = np.stack(list(draw_keep_masks(jax.random.key(0), dropout, NAMES, DRAWS).values()))
    rest = 1 - 0.1 - 0.2
    share = {"text": 0.2 + rest * 0.5, "depth": 0.2 + rest * 0.1, "motion": 0.2 + rest * 0.5}
    for rows, name in zip(kept, NAMES, strict=True):
        assert abs(rows.mean() - share[name]) < 4 * np.sqrt(0.25 / DRAWS)  # at most four standard deviations
    none, every = (~kept).all(0).mean(), kept.all(0).mean()
    assert abs(none - (0.1 + rest * 0.5 * 0.9 * 0.5)) < 4 * np.sqrt(0.25 / DRAWS)
    assert abs(every - (0.2 + rest * 0.5 * 0.1 * 0.5)) < 4 * np.sqrt(0.25 / DRAWS)


def test_sparse_keeps_zero_one_or_two_conditions_beside_the_text_with_equal_probability():
    dropout = Dropout(drop_all=0.1, sparse=0.6, keep_all=0.3, per_condition={"text": 0.25})
    names = (*NAMES, "image", "mask")
    assert names[0] == "text"
    text, *rest = draw_keep_masks(jax.random.key(2), dropout, names, DRAWS).values()
    kept, text = np.stack(rest), np.asarray(text)
    count, margin = kept.sum(0), 4 * np.sqrt(0.25 / DRAWS)
    assert set(count) == {0, 1, 2, len(rest)}
    assert abs((count == 0).mean() - 0.3) < margin
    for number in (1, 2):
        assert abs((count == number).mean() - 0.2) < margin
        assert abs(text[count == number].mean() - 0.75) < margin * 3
    for i, rows in enumerate(kept):
        assert abs(rows[count == 1].mean() - 1 / 4) < margin * 3
        for other in kept[:i]:
            assert abs((rows & other)[count == 2].mean() - 1 / 6) < margin * 3


def test_samples_and_conditions_are_drawn_independently():
    dropout = Dropout(drop_all=0.0, keep_all=0.0, probability=0.5)
    kept = np.stack(list(draw_keep_masks(jax.random.key(1), dropout, NAMES, DRAWS).values())).astype(float)
    neighbours = [np.corrcoef(rows[1:], rows[:-1])[0, 1] for rows in kept]
    others = np.corrcoef(kept)[np.triu_indices(3, 1)]
    assert np.abs([*neighbours, *others]).max() < 4 / np.sqrt(DRAWS)


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory):
    """A small diffusion task with random parameters, its frozen parameters, and a batch of two clips."""
    tmp_path = tmp_path_factory.mktemp("dropout")
    task = build_task(one_stage(tmp_path))
    parameters = random_parameters(jax.eval_shape(task.init, jax.random.key(0)), 3)
    batch = task.source.batch(0, 2, 3)
    return task, parameters, task.frozen(), jax.jit(task.source.training_batch)(batch, jax.random.key(0))


def keep_all_but(*dropped):
    return {name: jnp.full(2, name not in dropped) for name in ("text", "style", "image", "motion", "depth")}


@pytest.mark.parametrize("name", ["image", "motion", "depth"])
def test_a_dropped_map_has_no_effect(conditioned, name):
    task, parameters, _, batch = conditioned
    other = batch.replace(maps={**batch.maps, name: batch.maps[name] + 1})

    compiled = jax.jit(task.maps)

    def maps(batch, kept):
        return np.asarray(compiled(parameters, batch, kept, jax.random.key(0)))

    assert np.array_equal(maps(batch, keep_all_but(name)), maps(other, keep_all_but(name)))
    assert not np.array_equal(maps(batch, keep_all_but()), maps(other, keep_all_but()))


def tokens(conditioned, kept, **dropout):
    task, parameters, frozen, batch = conditioned
    call = jax.jit(lambda *inputs: task.tokens(*inputs, Dropout(**dropout), jax.random.key(0)))
    return [np.asarray(x) for x in call(parameters, frozen, batch, kept)]


def test_a_dropped_text_is_the_empty_string_or_zeros(conditioned):
    _, _, frozen, _ = conditioned
    empty, _ = tokens(conditioned, keep_all_but("text"), text="empty")
    zeros, _ = tokens(conditioned, keep_all_but("text"), text="zeros")
    given, _ = tokens(conditioned, keep_all_but())
    np.testing.assert_array_equal(empty[:, :32], np.stack([frozen["empty"]] * 2))
    assert np.any(frozen["empty"])
    assert not zeros[:, :32].any()
    assert not np.array_equal(given[0, :32], given[1, :32])


def test_a_dropped_style_is_absent_null_or_a_token_of_zeros(conditioned):
    given, mask = tokens(conditioned, keep_all_but())
    assert mask.all()
    assert not np.array_equal(given[0, 32], given[1, 32])
    absent, mask = tokens(conditioned, keep_all_but("style"), style="absent")
    assert not mask[:, 32].any()
    assert mask[:, :32].all()
    null, mask = tokens(conditioned, keep_all_but("style"), style="null")
    assert mask.all()
    assert null[:, 32].any()  # zeros have passed the MLP and met its biases
    assert np.array_equal(null[0, 32], null[1, 32])
    zeros, mask = tokens(conditioned, keep_all_but("style"), style="zeros")
    assert mask.all()
    assert not zeros[:, 32].any()
    del absent
