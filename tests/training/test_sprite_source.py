"""Clips of the sprite world: a single image may be any frame of a clip, with its index; selection of simple scenes."""

import dataclasses

import jax
import numpy as np
import pytest

from vcjax.conditions.base import ClipShape
from vcjax.data import sprites
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.errors import BadInput
from vcjax.training.config import Stage
from vcjax.training.sprite_source import SpriteSource, simple

FRAMES, COUNT = 4, 6
SHAPE = ClipShape(frames=FRAMES, height=32, width=32, fps=8.0)
STAGE = Stage(name="only", steps=2, batch_size=2, images_every=1, image_batch_size=COUNT)
FIXED = SpriteSelection(fixed_clips=16)


def tokenize(caption):
    return np.zeros(8, np.int32)


def source(**options):
    moments = np.arange(16 * FRAMES, dtype=np.float16).reshape(16, FRAMES, 1, 1, 1) + np.zeros(
        (2, 2, 6), np.float16
    )
    return SpriteSource(SHAPE, tokenize, 0, FIXED, lambda: moments, **options), moments


def first_batch(source):
    batches = source.batches(STAGE, 0, 0)
    picked = next(batches)
    batches.close()
    return picked


@pytest.mark.slow
def test_a_single_image_is_the_frame_of_its_index():
    sprite_source, moments = source(any_frame=True)
    picked = first_batch(sprite_source)
    assert picked.frame_index.shape == (COUNT, 1)
    assert len(np.unique(picked.frame_index)) > 1
    rows = np.arange(COUNT)[:, None]
    np.testing.assert_array_equal(picked.moments, moments[picked.indices[:, None], picked.frame_index])

    batch = jax.jit(sprite_source.training_batch)(picked, jax.random.key(0))
    clips = jax.jit(sprite_source.training_batch)(
        sprite_source.pick("train", picked.indices, FRAMES), jax.random.key(0)
    )
    assert batch.extent == (COUNT, 1)
    np.testing.assert_array_equal(batch.frame_index, picked.frame_index)
    np.testing.assert_allclose(batch.frames, clips.frames[rows, picked.frame_index], atol=1e-2)
    for name, target in clips.maps.items():
        if target.shape[1] == FRAMES:
            target = target[rows, picked.frame_index]
        np.testing.assert_allclose(batch.maps[name], target, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("step", [0, 1])
def test_frame_indices_are_a_function_of_the_step(step):
    one, other = (source(any_frame=True)[0].batch(step, COUNT, 1, any_frame=True) for _ in range(2))
    np.testing.assert_array_equal(one.frame_index, other.frame_index)
    assert (source(any_frame=True)[0].batch(2, COUNT, 1, any_frame=True).frame_index != one.frame_index).any()


def test_a_network_without_a_frame_embedding_takes_first_frames():
    picked = first_batch(source()[0])
    assert picked.frame_index is None
    np.testing.assert_array_equal(picked.moments, source()[1][picked.indices, :1])


def test_simple_scenes_have_one_object_on_a_straight_path_whose_direction_the_caption_names():
    indices = np.arange(200, dtype=np.int32)
    chosen = simple("train", indices)
    facts = sprites.batch("train", indices, frames=2, size=16).facts
    target = [
        index
        for index, text in zip(indices, sprites.captions(facts), strict=True)
        if facts.count[index] == 1
        and sprites.CAMERAS[facts.camera[index]] == "static"
        and sprites.PATHS[facts.path[index, 0]] == "straight"
        and sprites.DIRECTIONS[facts.direction[index, 0]] in text
    ]
    np.testing.assert_array_equal(chosen, target)
    assert 10 < len(chosen) < 60


@pytest.mark.parametrize("fixed", [0, 64])
def test_a_stage_of_simple_scenes_takes_no_others_and_all_of_the_fixed_ones(fixed):
    seen, again = (SpriteSource(SHAPE, tokenize, 0, SpriteSelection(fixed_clips=fixed)) for _ in range(2))
    drawn = np.concatenate([seen.batch(step, 8, 2, "simple").indices for step in range(6)])
    assert np.isin(drawn, simple("train", drawn)).all()
    np.testing.assert_array_equal(again.batch(5, 8, 2, "simple").indices, drawn[40:])
    if fixed:
        np.testing.assert_array_equal(np.unique(drawn), simple("train", np.arange(fixed, dtype=np.int32)))
    else:
        assert len(np.unique(drawn)) == len(drawn)


def test_fixed_clips_without_a_simple_scene_are_an_error():
    stage = dataclasses.replace(STAGE, sprites=SpriteSelection(image_scenes="simple"))
    with pytest.raises(BadInput, match="fixed_clips = 1 holds no simple scene"):
        SpriteSource(SHAPE, tokenize, 0, SpriteSelection(fixed_clips=1)).batches(stage, 0, 0)
