"""The sprite world as a data set: reproducible clips, splits with disjoint combinations, true captions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.data import sprites
from vcjax.errors import BadInput

MANY = 4096
ALL = len(sprites.SHAPES) * len(sprites.COLOURS) * len(sprites.DIRECTIONS)


@pytest.fixture(scope="module")
def facts() -> dict[str, sprites.Facts]:
    """Facts of many clips of each split, without rendering."""

    def of_split(split: str) -> sprites.Facts:
        return jax.jit(jax.vmap(lambda n: sprites.scene(split, n).facts))(jnp.arange(MANY))

    return {split: jax.device_get(of_split(split)) for split in sprites.SPLITS}


def combinations(facts: sprites.Facts) -> set[tuple[int, ...]]:
    return set(
        zip(*(fact[:, 0].tolist() for fact in (facts.shape, facts.colour, facts.direction)), strict=True)
    )


def rows(clips: sprites.Sprites, index: int) -> list[np.ndarray]:
    """Return every field of one clip of a batch."""
    return [np.asarray(leaf[index]) for leaf in jax.tree.leaves(clips)]


def test_clip_n_is_the_same_in_every_batch():
    single = sprites.batch("train", jnp.array([5]))
    ordered = sprites.batch("train", jnp.arange(8))
    shuffled = sprites.batch("train", jnp.array([5, 0, 2, 7, 3, 1, 4, 6]))
    for one, same, moved in zip(rows(single, 0), rows(ordered, 5), rows(shuffled, 0), strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(one, moved)
    frames = np.asarray(ordered.frames).reshape(8, -1)
    assert len(np.unique(frames, axis=0)) == 8


def test_selected_frames_are_those_of_the_full_clips():
    """Up to rounding, since the compiled programs sum in different orders."""
    indices, only = jnp.arange(4), jnp.array([[0, 3], [15, 14], [7, 7], [1, 0]])
    whole, drawn = sprites.batch("train", indices), sprites.batch("train", indices, only=only)
    for name in ("frames", "motion", "depth", "mask", "ids", "outline", "track"):
        picked = np.asarray(getattr(whole, name), np.float32)[np.arange(4)[:, None], np.asarray(only)]
        difference = np.abs(np.asarray(getattr(drawn, name), np.float32) - picked)
        assert difference.max() <= 1 if name == "frames" else difference.max() < 1e-4, (
            name
        )  # one level of 255
        assert (difference > 1e-4).mean() < 1e-3, name


def test_splits_have_different_clips(facts):
    wordings = [facts[split].wording for split in sprites.SPLITS]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (wordings[one] == wordings[other]).mean() < 0.01


def test_test_split_holds_out_combinations_and_nothing_else(facts):
    train, validation, test = (combinations(facts[split]) for split in sprites.SPLITS)
    assert not (train | validation) & test
    assert train == validation  # with this many clips, all combinations that are not held out
    assert len(test) == ALL // 8
    assert len(train) == ALL - len(test)
    for position, table in enumerate((sprites.SHAPES, sprites.COLOURS, sprites.DIRECTIONS)):
        everything = set(range(len(table)))
        assert {combination[position] for combination in test} == everything
        assert {combination[position] for combination in train} == everything
    for dropped in range(3):
        pairs = {combination[:dropped] + combination[dropped + 1 :] for combination in train}
        sizes = [len(sprites.SHAPES), len(sprites.COLOURS), len(sprites.DIRECTIONS)]
        del sizes[dropped]
        assert len(pairs) == sizes[0] * sizes[1]


def test_held_out_direction_separates_the_test_split(facts):
    for split in sprites.SPLITS:
        shape, colour, direction = (
            fact[:, 0] for fact in (facts[split].shape, facts[split].colour, facts[split].direction)
        )
        held_out = (
            np.asarray(sprites.held_out_direction(jnp.asarray(shape), jnp.asarray(colour))) == direction
        )
        assert (held_out == (split == "test")).all()


def test_every_value_of_every_fact_occurs(facts):
    train = facts["train"]
    for fact, table, minimum in [
        (train.shape[:, 0], sprites.SHAPES, 0.15),
        (train.colour[:, 0], sprites.COLOURS, 0.11),
        (train.texture[:, 0], sprites.TEXTURES, 0.045),
        (train.size[:, 0], sprites.SIZES, 0.31),
        (train.direction[:, 0], sprites.DIRECTIONS, 0.11),
        (train.path[:, 0], sprites.PATHS, 0.38),
        (train.turn[:, 0], sprites.TURNS, 0.13),
        (train.growth[:, 0], sprites.GROWTHS, 0.09),
        (train.background, sprites.BACKGROUNDS, 0.23),
        (train.palette, sprites.PALETTES, 0.11),
        (train.camera, sprites.CAMERAS, 0.07),
        (train.count - 1, range(sprites.MAX_OBJECTS), 0.09),
    ]:
        frequencies = np.bincount(fact, minlength=len(table)) / MANY
        assert len(frequencies) == len(table)
        assert frequencies.min() > minimum
    ordered = np.sort(train.colour, axis=1)
    assert (np.diff(ordered, axis=1) > 0).all()  # no two objects of a clip have the same colour


def test_captions_are_short_and_name_colour_shape_and_direction(facts):
    for split in sprites.SPLITS:
        of_split = facts[split]
        texts = sprites.captions(of_split)
        assert len(set(texts)) > MANY // 2
        assert texts == sprites.captions(of_split)
        words = [text.split() for text in texts]
        assert set().union(*words) == set(sprites.VOCABULARY)
        assert max(map(len, words)) <= sprites.MAX_WORDS
        for n, text in enumerate(texts):
            assert f"{sprites.COLOURS[of_split.colour[n, 0]]} {sprites.SHAPES[of_split.shape[n, 0]]} " in text
            verb = text.split(sprites.SHAPES[of_split.shape[n, 0]], 1)[1].split()
            direction = sprites.DIRECTIONS[of_split.direction[n, 0]].split()
            assert verb[1 : 1 + len(direction)] == direction


@pytest.mark.parametrize(
    ("word", "true"),
    [
        ("growing", lambda facts: facts.growth[:, 0] == sprites.GROWTHS.index("growing")),
        ("turning", lambda facts: facts.turn[:, 0] == sprites.TURNS.index("turning")),
        ("curve", lambda facts: facts.path[:, 0] == sprites.PATHS.index("curved")),
        ("camera pans up", lambda facts: facts.camera == sprites.CAMERAS.index("pan up")),
        ("camera", lambda facts: facts.camera != sprites.CAMERAS.index("static")),
        ("large", lambda facts: facts.size[:, 0] == sprites.SIZES.index("large")),
        ("in front of", lambda facts: (facts.count > 1) & (facts.layer[:, 0] > facts.layer[:, 1])),
        ("behind", lambda facts: (facts.count > 1) & (facts.layer[:, 0] < facts.layer[:, 1])),
        ("beige striped background", lambda facts: (facts.palette == 0) & (facts.background == 2)),
    ],
)
def test_details_are_mentioned_in_some_of_the_captions_where_they_are_true(facts, word, true):
    mentioned = np.array([word in text for text in sprites.captions(facts["train"])])
    truth = true(facts["train"])
    assert not (mentioned & ~truth).any()
    assert 0.2 < (mentioned & truth).sum() / truth.sum() < 0.8


def test_object_colours_are_separable_from_background_colours():
    objects = jnp.array(list(sprites.OBJECT_RGB.values()))
    expected = list(range(len(sprites.COLOURS)))
    for tone in (1.0, 0.8, 0.6):  # range of the darkening by textures
        assert sprites.colour_ids(tone * objects).tolist() == expected
    muted = jnp.array(list(sprites.PALETTE_RGB.values()))
    assert (sprites.colour_ids(muted) == sprites.NO_COLOUR).all()

    def chroma(rgb: jax.Array) -> jax.Array:
        return jnp.linalg.norm(rgb - rgb.mean(-1, keepdims=True), axis=-1)

    # A margin for the errors of a decoder on both sides of the threshold.
    assert chroma(0.6 * objects).min() > 1.4 * sprites.CHROMA_THRESHOLD
    assert chroma(muted).max() < sprites.CHROMA_THRESHOLD / 1.4


@pytest.mark.parametrize(("frames", "size"), [(1, 64), (8, 32), (16, 96)])
def test_shapes_follow_frames_and_size(frames, size):
    clips = jax.eval_shape(lambda n: sprites.batch("test", n, frames=frames, size=size), jnp.arange(2))
    assert clips.frames.shape == (2, frames, size, size, 3)
    assert clips.motion.shape == (2, frames, size, size, 2)
    assert clips.depth.shape == clips.mask.shape == clips.outline.shape == (2, frames, size, size, 1)
    assert clips.ids.shape == (2, frames, size, size)
    assert clips.track.shape == (2, frames, 2)
    assert clips.facts.shape.shape == (2, sprites.MAX_OBJECTS)


def test_unused_ground_truth_is_not_computed():
    def program(field):
        compiled = jax.jit(lambda n: getattr(sprites.batch("train", n), field)).lower(jnp.arange(2)).compile()
        return compiled.as_text() or ""

    assert "64,64" in program("ids")
    assert "64,64" not in program("track")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "training"}, "split 'training'.*train, validation, test"),
        ({"frames": 0}, "at least 1, not 0"),
        ({"size": 8}, "at least 16 pixels, not 8"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    arguments = {"split": "train", "indices": jnp.arange(2)} | arguments
    with pytest.raises(BadInput, match=message):
        sprites.batch(**arguments)
