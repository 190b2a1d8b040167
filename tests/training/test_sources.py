"""Clips of the sprite world: single frames are any of a clip's, with its number; simple scenes are simple, and no others."""

import dataclasses

import jax
import numpy as np
import pytest

from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.sources import SpriteSource, simple

FRAMES, COUNT = 4, 6
SHAPE = ClipShape(frames=FRAMES, height=32, width=32, fps=8.0)
STAGE = Stage(name="only", steps=2, batch=2, images_every=1, images=COUNT)


def tokenize(caption):
    return np.zeros(8, np.int32)


def source(**options):
    kept = np.arange(16 * FRAMES, dtype=np.float16).reshape(16, FRAMES, 1, 1, 1) + np.zeros(
        (2, 2, 6), np.float16
    )
    return SpriteSource(SHAPE, tokenize, 0, 16, lambda: kept, **options), kept


def first_batch(source):
    batches = source.batches(STAGE, 0, 0)
    picked = next(batches)
    batches.close()
    return picked


@pytest.mark.slow
def test_a_single_frame_is_that_of_its_number_beside_the_first_of_its_clip():
    frames, kept = source(numbered=True)
    picked = first_batch(frames)
    assert picked.numbers.shape == (COUNT, 1)
    assert len(np.unique(picked.numbers)) > 1
    rows = np.arange(COUNT)[:, None]
    np.testing.assert_array_equal(picked.moments, kept[picked.indices[:, None], picked.numbers])

    example = jax.jit(frames.example)(picked, jax.random.key(0))
    whole = jax.jit(frames.example)(frames.pick("train", picked.indices, FRAMES), jax.random.key(0))
    assert example.extent == (COUNT, 1)
    np.testing.assert_array_equal(example.numbers, picked.numbers)
    np.testing.assert_allclose(example.frames, whole.frames[rows, picked.numbers], atol=1e-2)
    for name, wanted in whole.maps.items():
        if wanted.shape[1] == FRAMES:
            wanted = wanted[rows, picked.numbers]
        np.testing.assert_allclose(example.maps[name], wanted, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("step", [0, 1])
def test_numbers_are_a_function_of_the_step(step):
    one, other = (source(numbered=True)[0].batch(step, COUNT, 1, anywhere=True) for _ in range(2))
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert (source(numbered=True)[0].batch(2, COUNT, 1, anywhere=True).numbers != one.numbers).any()


def test_a_network_without_numbers_takes_first_frames():
    picked = first_batch(source()[0])
    assert picked.numbers is None
    np.testing.assert_array_equal(picked.moments, source()[1][picked.indices, :1])


def test_simple_scenes_are_those_in_which_one_object_moves_straight_and_the_caption_says_whereto():
    indices = np.arange(200, dtype=np.int32)
    chosen = simple("train", indices)
    facts = sprites.batch("train", indices, frames=2, size=16).facts
    wanted = [
        index
        for index, text in zip(indices, sprites.captions(facts), strict=True)
        if facts.count[index] == 1
        and sprites.CAMERAS[facts.camera[index]] == "still"
        and sprites.PATHS[facts.path[index, 0]] == "straight"
        and sprites.DIRECTIONS[facts.direction[index, 0]] in text
    ]
    np.testing.assert_array_equal(chosen, wanted)
    assert 10 < len(chosen) < 60


@pytest.mark.parametrize("fixed", [0, 64])
def test_a_stage_of_simple_scenes_sees_no_others_and_sees_all_of_the_fixed_ones(fixed):
    seen, again = (SpriteSource(SHAPE, tokenize, 0, fixed) for _ in range(2))
    drawn = np.concatenate([seen.batch(step, 8, 2, "simple").indices for step in range(6)])
    assert np.isin(drawn, simple("train", drawn)).all()
    np.testing.assert_array_equal(again.batch(5, 8, 2, "simple").indices, drawn[40:])
    if fixed:
        np.testing.assert_array_equal(np.unique(drawn), simple("train", np.arange(fixed, dtype=np.int32)))
    else:
        assert len(np.unique(drawn)) == len(drawn)


def test_fixed_clips_without_a_simple_scene_are_told():
    stage = dataclasses.replace(STAGE, image_scenes="simple")
    with pytest.raises(BadInput, match="fixed_clips = 1 holds no simple scene"):
        SpriteSource(SHAPE, tokenize, 0, 1).batches(stage, 0, 0)
