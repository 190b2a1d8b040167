"""Condition dropout: frequencies are the table's, samples are independent, and what is dropped leaves no trace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.runs import one_stage
from vcjax.training.assemble import task_of
from vcjax.training.config import Dropout
from vcjax.training.dropout import draw_kept
from vcjax.weights.networks import random_parameters

DRAWS = 10_000
NAMES = ("text", "depth", "motion")


def test_frequencies_are_those_of_the_table():
    dropout = Dropout(all_dropped=0.1, all_kept=0.2, each={"depth": 0.9}, others=0.5)
    kept = np.stack(list(draw_kept(jax.random.key(0), dropout, NAMES, DRAWS).values()))
    rest = 1 - 0.1 - 0.2
    share = {"text": 0.2 + rest * 0.5, "depth": 0.2 + rest * 0.1, "motion": 0.2 + rest * 0.5}
    for rows, name in zip(kept, NAMES, strict=True):
        assert abs(rows.mean() - share[name]) < 4 * np.sqrt(0.25 / DRAWS)  # four deviations at most
    none, every = (~kept).all(0).mean(), kept.all(0).mean()
    assert abs(none - (0.1 + rest * 0.5 * 0.9 * 0.5)) < 4 * np.sqrt(0.25 / DRAWS)
    assert abs(every - (0.2 + rest * 0.5 * 0.1 * 0.5)) < 4 * np.sqrt(0.25 / DRAWS)


def test_few_is_none_one_or_two_beside_the_text_each_as_likely_as_any_other():
    dropout = Dropout(all_dropped=0.1, few=0.6, all_kept=0.3, each={"text": 0.25})
    names = (*NAMES, "image", "mask")
    assert names[0] == "text"
    text, *rest = draw_kept(jax.random.key(2), dropout, names, DRAWS).values()
    kept, text = np.stack(rest), np.asarray(text)
    count, margin = kept.sum(0), 4 * np.sqrt(0.25 / DRAWS)
    assert set(count) == {0, 1, 2, len(rest)}
    assert abs((count == 0).mean() - 0.3) < margin
    for few in (1, 2):
        assert abs((count == few).mean() - 0.2) < margin
        assert abs(text[count == few].mean() - 0.75) < margin * 3
    for i, rows in enumerate(kept):
        assert abs(rows[count == 1].mean() - 1 / 4) < margin * 3
        for other in kept[:i]:
            assert abs((rows & other)[count == 2].mean() - 1 / 6) < margin * 3


def test_samples_and_conditions_are_drawn_independently():
    dropout = Dropout(all_dropped=0.0, all_kept=0.0, others=0.5)
    kept = np.stack(list(draw_kept(jax.random.key(1), dropout, NAMES, DRAWS).values())).astype(float)
    neighbours = [np.corrcoef(rows[1:], rows[:-1])[0, 1] for rows in kept]
    others = np.corrcoef(kept)[np.triu_indices(3, 1)]
    assert np.abs([*neighbours, *others]).max() < 4 / np.sqrt(DRAWS)


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory):
    """A small diffusion task with random parameters, its frozen parts, and one example of two clips."""
    tmp_path = tmp_path_factory.mktemp("dropout")
    task = task_of(one_stage(tmp_path))
    parameters = random_parameters(jax.eval_shape(task.init, jax.random.key(0)), 3)
    picked = task.source.batch(0, 2, 3)
    return task, parameters, task.frozen(), jax.jit(task.source.example)(picked, jax.random.key(0))


def kept_but(*dropped):
    return {name: jnp.full(2, name not in dropped) for name in ("text", "style", "image", "motion", "depth")}


@pytest.mark.parametrize("name", ["image", "motion", "depth"])
def test_a_dropped_map_leaves_no_trace(conditioned, name):
    task, parameters, _, example = conditioned
    other = example.replace(maps={**example.maps, name: example.maps[name] + 1})

    compiled = jax.jit(task.maps)

    def maps(example, kept):
        return np.asarray(compiled(parameters, example, kept, jax.random.key(0)))

    assert np.array_equal(maps(example, kept_but(name)), maps(other, kept_but(name)))
    assert not np.array_equal(maps(example, kept_but()), maps(other, kept_but()))


def tokens(conditioned, kept, **dropout):
    task, parameters, frozen, example = conditioned
    call = jax.jit(lambda *inputs: task.tokens(*inputs, Dropout(**dropout), jax.random.key(0)))
    return [np.asarray(x) for x in call(parameters, frozen, example, kept)]


def test_a_dropped_text_is_the_empty_string_or_zeros(conditioned):
    _, _, frozen, _ = conditioned
    empty, _ = tokens(conditioned, kept_but("text"), text="empty")
    zeros, _ = tokens(conditioned, kept_but("text"), text="zeros")
    given, _ = tokens(conditioned, kept_but())
    np.testing.assert_array_equal(empty[:, :32], np.stack([frozen["empty"]] * 2))
    assert np.any(frozen["empty"])
    assert not zeros[:, :32].any()
    assert not np.array_equal(given[0, :32], given[1, :32])


def test_a_dropped_style_is_absent_null_or_a_token_of_zeros(conditioned):
    given, mask = tokens(conditioned, kept_but())
    assert mask.all()
    assert not np.array_equal(given[0, 32], given[1, 32])
    absent, mask = tokens(conditioned, kept_but("style"), style="absent")
    assert not mask[:, 32].any()
    assert mask[:, :32].all()
    null, mask = tokens(conditioned, kept_but("style"), style="null")
    assert mask.all()
    assert null[:, 32].any()  # zeros have passed the MLP and met its biases
    assert np.array_equal(null[0, 32], null[1, 32])
    zeros, mask = tokens(conditioned, kept_but("style"), style="zeros")
    assert mask.all()
    assert not zeros[:, 32].any()
    del absent
