"""Every condition can be stored: what is read back is as true as it says, and a clip takes less than 2 MB."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vcjax
from vcjax.conditions.base import ClipShape
from vcjax.conditions.catalogue import CATALOGUE, from_settings, to_settings
from vcjax.conditions.mask import Mask
from vcjax.conditions.storage import FORMS, TABLES, PictureCondition, maps_of, picture_files
from vcjax.data.records import RecordForm
from vcjax.errors import BadInput
from vcjax.video.resize import resize_crop_field
from vcjax.weights.convert.released import CONDITIONS

SMALL = ClipShape(frames=3, height=8, width=12, fps=8.0)  # whose maps fit into a PNG of any content
RELEASED = ClipShape(frames=16, height=256, width=256, fps=4.0)
MEGABYTE = 1_000_000


def noise(condition, shape, rng):
    """Material of a condition that nothing can be known of."""
    if condition.kind == "tokens":
        size = getattr(condition, "width", 77)
        return (
            rng.standard_normal(size, np.float32)
            if "width" in dir(condition)
            else rng.integers(0, 99, size, np.int32)
        )
    channels = 3 if isinstance(condition, Mask) else condition.channels
    maps = rng.random((condition.count(shape), *condition.size(shape), channels), np.float32)
    low, high = np.clip(condition.limits, 0 if isinstance(condition, CATALOGUE["depth"]) else -1, 1)
    return (low + maps * (high - low)).astype(np.float32)


def psnr(a, b):
    return 10 * np.log10(np.ptp(b) ** 2 / np.mean((a - b).astype(np.float64) ** 2))


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_condition_comes_back(name):
    condition = CATALOGUE[name]()
    material = noise(condition, SMALL, np.random.default_rng(0))
    stored = condition.encode(material)
    assert stored.keys() == condition.fields(SMALL).keys()
    back = condition.decode(stored)
    assert back.shape == material.shape
    assert back.dtype == material.dtype
    assert np.abs(back - material).max() <= np.ptp(material) / 500  # half a level of 8 bits, with slack
    assert condition.stored_as
    assert condition.at_load(back, 3).shape[:-1] == back.shape[:-1]


@settings(max_examples=20, deadline=None)
@given(
    low=st.floats(-5, 5),
    spread=st.floats(0, 10),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_small_maps_are_exact_but_for_their_8_bits(low, spread, channels, seed):
    maps = low + spread * np.random.default_rng(seed).random((2, 6, 5, channels))
    files = picture_files(maps, (low, low + spread), 3)
    assert {file[:4] for file in files} == {b"\x89PNG"}
    slack = 1e-5 * (1 + abs(low) + spread)  # of float32
    assert np.abs(maps_of(files, (low, low + spread)) - maps).max() <= spread / 510 + slack


def test_a_map_never_takes_more_than_its_bits():
    rng = np.random.default_rng(0)
    for family in CATALOGUE.values():
        if issubclass(family, PictureCondition):
            condition = dataclasses.replace(family(), scale=1.0)
            material = noise(condition, dataclasses.replace(RELEASED, frames=2), rng)
            largest = max(map(len, condition.encode(material)[family.name]))
            assert largest <= TABLES + family.bits * 256 * 256 / 8
    assert FORMS[0][0] == "PNG"


def test_a_clip_of_noise_takes_less_than_2_megabytes():
    """At the released size, each block with a vector of its own, and latents that cannot be packed."""
    rng = np.random.default_rng(0)
    conditions = from_settings(CONDITIONS)
    materials = {name: noise(condition, RELEASED, rng) for name, condition in conditions.items()}
    field = np.zeros((16, 480, 854, 2), np.float32)
    field[:, 8::16, 8::16] = rng.integers(-64, 64, (16, 30, 53, 2)) / 4
    materials["motion"] = resize_crop_field(field, 256, 256)
    latents = rng.standard_normal((2, 16, 32, 32, 4), np.float32)
    record = {"clip": "", "caption": "", "fps": 4.0, "mean": latents[0], "deviation": latents[1]}
    data = RecordForm(RELEASED, (32, 32, 4), conditions).encode({**record, "conditions": materials})
    assert len(data) < 2 * MEGABYTE


def test_real_footage_is_as_true_as_it_says(shared):
    clip = vcjax.read(shared / "media" / "tennis.mp4", fps=4, count=2)
    shape = dataclasses.replace(RELEASED, frames=2)
    conditions = from_settings(CONDITIONS)
    for name, least in (("image", 38), ("mask", 37)):
        condition = conditions[name]
        material = condition.material(clip, "", shape, {})
        assert psnr(condition.decode(condition.encode(material)), material) > least
        assert f"above {least} dB" in condition.stored_as


def test_vectors_of_the_codec_come_back_exactly():
    """Quarters of a pixel, as the codec counts them, up to 256 pixels."""
    motion = np.arange(-1024, 1024, dtype=np.float32).reshape(1, 32, 32, 2) / 4
    condition = CATALOGUE["motion"]()
    np.testing.assert_array_equal(condition.decode(condition.encode(motion)), motion)


def test_what_half_precision_cannot_hold_is_refused():
    with pytest.raises(BadInput, match="motion must lie within 65504"):
        CATALOGUE["motion"]().encode(np.full((1, 4, 4, 2), 1e5, np.float32))


def test_masks_are_drawn_when_they_are_loaded():
    mask = Mask()
    frames = np.full((3, 32, 32, 3), 0.5, np.float32)
    one, again, other = mask.at_load(frames, 1), mask.at_load(frames, 1), mask.at_load(frames, 2)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(one[..., :3], frames * one[..., 3:])
    assert set(np.unique(one[..., 3])) <= {0.0, 1.0}


def test_settings_of_conditions_come_back():
    conditions = from_settings(CONDITIONS)
    assert from_settings(to_settings(conditions)) == conditions


def test_a_condition_of_ones_own_is_stored_as_maps_are(tmp_path):
    settings_ = {"colour": {"class": "tests.conditions.own:Colour", "scale": 0.5}}
    conditions = from_settings(settings_)
    assert to_settings(conditions)["colour"]["class"] == "tests.conditions.own:Colour"
    colour = conditions["colour"]
    material = colour.material(vcjax.Clip(np.full((3, 8, 12, 3), 51, np.uint8), 8), "", SMALL, {})
    assert colour.fields(SMALL)["colour"].shape == (None, 4, 6, 3)
    np.testing.assert_allclose(colour.decode(colour.encode(material)), 0.2, rtol=2**-11)
