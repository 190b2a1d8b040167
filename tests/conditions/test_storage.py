"""Storage of conditions: round trips within the stated error, and records below 2 MB."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vcjax
from vcjax.conditions.base import ClipShape
from vcjax.conditions.catalogue import CATALOGUE, conditions_from_config, conditions_to_config
from vcjax.conditions.mask import Mask
from vcjax.conditions.storage import ENCODINGS, HEADER_BYTES, ImageFileCondition, decode_images, encode_images
from vcjax.data.records import RecordCodec
from vcjax.errors import BadInput
from vcjax.video.resize import resize_crop_field
from vcjax.weights.convert.releases import CONDITIONS

SMALL = ClipShape(frames=3, height=8, width=12, fps=8.0)  # maps so small that PNG always fits
RELEASED = ClipShape(frames=16, height=256, width=256, fps=4.0)
MEGABYTE = 1_000_000


def noise(condition, shape, rng):
    """Return random stored features of a condition."""
    if condition.kind == "tokens":
        size = getattr(condition, "embed_dim", 77)
        return (
            rng.standard_normal(size, np.float32)
            if "embed_dim" in dir(condition)
            else rng.integers(0, 99, size, np.int32)
        )
    channels = 3 if isinstance(condition, Mask) else condition.channels
    maps = rng.random((condition.count(shape), *condition.size(shape), channels), np.float32)
    low, high = np.clip(condition.limits, 0 if isinstance(condition, CATALOGUE["depth"]) else -1, 1)
    return (low + maps * (high - low)).astype(np.float32)


def psnr(a, b):
    return 10 * np.log10(np.ptp(b) ** 2 / np.mean((a - b).astype(np.float64) ** 2))


@pytest.mark.parametrize("name", CATALOGUE)
def test_decoding_inverts_encoding(name):
    condition = CATALOGUE[name]()
    stored = noise(condition, SMALL, np.random.default_rng(0))
    fields = condition.encode(stored)
    assert fields.keys() == condition.fields(SMALL).keys()
    decoded = condition.decode(fields)
    assert decoded.shape == stored.shape
    assert decoded.dtype == stored.dtype
    assert np.abs(decoded - stored).max() <= np.ptp(stored) / 500  # half a level of 8 bits, with slack
    assert condition.stored_as
    assert condition.from_stored(decoded, 3).shape[:-1] == decoded.shape[:-1]


@settings(max_examples=20, deadline=None)
@given(
    low=st.floats(-5, 5),
    span=st.floats(0, 10),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_small_maps_are_exact_up_to_8_bits(low, span, channels, seed):
    maps = low + span * np.random.default_rng(seed).random((2, 6, 5, channels))
    files = encode_images(maps, (low, low + span), 3)
    assert {file[:4] for file in files} == {b"\x89PNG"}
    slack = 1e-5 * (1 + abs(low) + span)  # of float32
    assert np.abs(decode_images(files, (low, low + span)) - maps).max() <= span / 510 + slack


def test_an_encoded_map_is_below_its_maximum_of_bits():
    rng = np.random.default_rng(0)
    for family in CATALOGUE.values():
        if issubclass(family, ImageFileCondition):
            condition = dataclasses.replace(family(), scale=1.0)
            stored = noise(condition, dataclasses.replace(RELEASED, frames=2), rng)
            largest = max(map(len, condition.encode(stored)[family.name]))
            assert largest <= HEADER_BYTES + family.bits * 256 * 256 / 8
    assert ENCODINGS[0][0] == "PNG"


def test_a_clip_of_noise_takes_less_than_2_megabytes():
    """At the released size, with another vector in each block, and incompressible latents."""
    rng = np.random.default_rng(0)
    conditions = conditions_from_config(CONDITIONS)
    stored = {name: noise(condition, RELEASED, rng) for name, condition in conditions.items()}
    field = np.zeros((16, 480, 854, 2), np.float32)
    field[:, 8::16, 8::16] = rng.integers(-64, 64, (16, 30, 53, 2)) / 4
    stored["motion"] = resize_crop_field(field, 256, 256)
    latents = rng.standard_normal((2, 16, 32, 32, 4), np.float32)
    record = {"clip": "", "caption": "", "fps": 4.0, "mean": latents[0], "std": latents[1]}
    data = RecordCodec(RELEASED, (32, 32, 4), conditions).encode({**record, "conditions": stored})
    assert len(data) < 2 * MEGABYTE


def test_real_videos_are_stored_with_the_stated_psnr(shared):
    clip = vcjax.read(shared / "media" / "tennis.mp4", fps=4, count=2)
    shape = dataclasses.replace(RELEASED, frames=2)
    conditions = conditions_from_config(CONDITIONS)
    for name, least in (("image", 38), ("mask", 37)):
        condition = conditions[name]
        stored = condition.stored_features(clip, "", shape, {})
        assert psnr(condition.decode(condition.encode(stored)), stored) > least
        assert f"above {least} dB" in condition.stored_as


def test_codec_vectors_are_stored_exactly():
    """Quarters of a pixel, the resolution of the codec, up to 256 pixels."""
    motion = np.arange(-1024, 1024, dtype=np.float32).reshape(1, 32, 32, 2) / 4
    condition = CATALOGUE["motion"]()
    np.testing.assert_array_equal(condition.decode(condition.encode(motion)), motion)


def test_values_outside_the_range_of_half_precision_are_errors():
    with pytest.raises(BadInput, match="motion must lie within 65504"):
        CATALOGUE["motion"]().encode(np.full((1, 4, 4, 2), 1e5, np.float32))


def test_masks_are_drawn_at_loading():
    mask = Mask()
    frames = np.full((3, 32, 32, 3), 0.5, np.float32)
    one, again, other = mask.from_stored(frames, 1), mask.from_stored(frames, 1), mask.from_stored(frames, 2)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(one[..., :3], frames * one[..., 3:])
    assert set(np.unique(one[..., 3])) <= {0.0, 1.0}


def test_settings_round_trip():
    conditions = conditions_from_config(CONDITIONS)
    assert conditions_from_config(conditions_to_config(conditions)) == conditions


def test_a_custom_map_condition_can_be_stored(tmp_path):
    settings_ = {"colour": {"class": "tests.conditions.custom_condition:Colour", "scale": 0.5}}
    conditions = conditions_from_config(settings_)
    assert conditions_to_config(conditions)["colour"]["class"] == "tests.conditions.custom_condition:Colour"
    colour = conditions["colour"]
    stored = colour.stored_features(vcjax.Clip(np.full((3, 8, 12, 3), 51, np.uint8), 8), "", SMALL, {})
    assert colour.fields(SMALL)["colour"].shape == (None, 4, 6, 3)
    np.testing.assert_allclose(colour.decode(colour.encode(stored)), 0.2, rtol=2**-11)
