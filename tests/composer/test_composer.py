"""Sampling with any subset of conditions: the composer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax import settings
from vcjax.composer import encoding, sampling
from vcjax.composer import reading as module
from vcjax.composer.completion import complete_request
from vcjax.composer.encoding import encode_conditions
from vcjax.composer.request import Request
from vcjax.data import sprites
from vcjax.errors import BadInput
from vcjax.models.stc import STCEncoder

FAST = {"steps": 4, "frames": 3}


STYLE = np.random.default_rng(1).standard_normal(128).astype(np.float32)


def test_the_same_seed_gives_the_same_video_and_another_does_not(composer):
    first, again, other = (composer(text="a red circle", seed=seed, **FAST).frames for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_every_condition_changes_the_video_and_so_does_its_strength(composer, maps):
    plain = composer(text="a red circle", **FAST).frames.astype(int)
    for name, value in {**maps, "style": STYLE}.items():
        steered = composer(text="a red circle", **{name: value}, **FAST).frames
        weaker = composer(text="a red circle", **{name: value}, strength={name: 0.3}, **FAST).frames
        assert np.abs(steered - plain).mean() > 0.1, name
        assert np.abs(steered.astype(int) - weaker).mean() > 0.1, name
        if (
            name != "style"
        ):  # a style of strength 0 is a null style, which is there; a map of strength 0 is not
            off = composer(text="a red circle", **{name: value}, strength={name: 0.0}, **FAST).frames
            np.testing.assert_array_equal(off, plain, err_msg=name)
    assert np.abs(composer(text="a blue star", **FAST).frames - plain).mean() > 0.1


def test_one_compilation_for_all_subsets_and_each_encoder_once_a_clip(composer, maps, monkeypatch):
    """Counts programs, and runs of the encoders, over many subsets with two branches of guidance."""
    sampling.sample_chunk.clear_cache()
    encoded = []
    encode = encoding.encode_map
    monkeypatch.setattr(encoding, "encode_map", lambda *x: encoded.append(x[2].shape[-1]) or encode(*x))
    subsets = [[], ["depth"], ["depth", "motion"], list(maps)]
    for style in (None, STYLE):
        for subset in subsets:
            encoded.clear()
            composer(text="a red circle", style=style, **{name: maps[name] for name in subset}, **FAST)
            assert len(encoded) == len(subset)
    composer(text="another", steps=7, frames=3, guidance=2, eta=0.5, strength={"text": 0.5}, seed=9)
    assert sampling.sample_chunk._cache_size() == 1


def test_the_branches_of_guidance_are_one_batch(composer, maps, monkeypatch):
    seen = []
    take = sampling.sample_chunk
    monkeypatch.setattr(
        sampling, "sample_chunk", lambda *x: seen.append((x[4].shape[0], x[7].shape[0])) or take(*x)
    )
    composer(text="a red circle", depth=maps["depth"], **FAST)
    assert set(seen) == {(1, 2)}
    seen.clear()
    composer(depth=maps["depth"], **FAST)  # maps alone: both sets are the same, so one branch is run
    assert set(seen) == {(1, 1)}


def test_guidance_between_any_two_sets(composer, maps):
    conditions = {"text": "a red circle", "depth": maps["depth"], "motion": maps["motion"]}
    released = composer(**conditions, **FAST).frames
    spelled_out = composer(
        **conditions, positive=list(conditions), negative=["depth", "motion"], **FAST
    ).frames
    np.testing.assert_array_equal(released, spelled_out)
    against_nothing = composer(**conditions, negative=[], **FAST).frames.astype(int)
    assert np.abs(against_nothing - released).mean() > 0.1
    at_one = composer(**conditions, negative=[], guidance=1.0, **FAST).frames.astype(int)
    positive_only = composer(**conditions, negative=list(conditions), **FAST).frames
    assert np.abs(at_one - positive_only).max() <= 1  # weight 1 is the `positive` branch, to rounding


def test_a_chain_of_guidance_has_a_weight_for_each_further_branch(composer, maps):
    conditions = {"text": "a red circle", "depth": maps["depth"]}
    two = composer(**conditions, branches=[["depth"], ["text", "depth"]], guidance=2.0, **FAST).frames
    np.testing.assert_array_equal(two, composer(**conditions, guidance=2.0, **FAST).frames)
    chain = [[], ["depth"], ["depth", "text"]]
    weight_one = composer(**conditions, branches=chain, guidance=[1.0, 2.0], **FAST).frames.astype(int)
    assert np.abs(weight_one - two).max() <= 1  # c_0 cancels, to rounding
    other = composer(**conditions, branches=chain, guidance=[3.0, 2.0], **FAST).frames.astype(int)
    assert np.abs(other - two).mean() > 0.1
    merged = composer(
        **conditions, branches=[["depth"], ["depth"], ["text", "depth"]], guidance=[7.0, 2.0], **FAST
    )
    np.testing.assert_array_equal(merged.frames, two)


def test_negative_text_takes_the_place_of_the_empty_string(composer, maps):
    plain = composer(text="a red circle", **FAST).frames
    np.testing.assert_array_equal(composer(text="a red circle", negative_text="", **FAST).frames, plain)
    negative = composer(text="a red circle", negative_text="a blue square", **FAST).frames.astype(int)
    assert np.abs(negative - plain).mean() > 0.1
    alone = composer(depth=maps["depth"], negative_text="a blue square", **FAST).frames.astype(int)
    assert np.abs(alone - composer(depth=maps["depth"], **FAST).frames).mean() > 0.1
    same = composer(text="a red circle", negative_text="a red circle", guidance=5.0, **FAST).frames
    at_one = composer(text="a red circle", guidance=1.0, **FAST).frames.astype(int)
    assert np.abs(same - at_one).max() <= 1  # both branches are equal, to rounding


def test_the_samplers_differ_and_agree_with_many_steps(composer):
    coarse, other = (
        composer(text="a red circle", sampler=name, steps=4, frames=3).frames.astype(int)
        for name in ("ddim", "dpmpp_2m")
    )
    assert np.abs(coarse - other).mean() > 1
    many = [
        composer(text="a red circle", sampler=name, steps=150, frames=3).frames.astype(int)
        for name in ("ddim", "dpmpp_2m")
    ]
    assert np.abs(many[0] - many[1]).mean() < np.abs(coarse - other).mean() / 3


def test_videos_of_several_seeds_are_those_of_single_calls(composer):
    clips = composer.generate(composer.request(text="a red circle", seeds=[3, 5], **FAST))
    for clip, seed in zip(clips, (3, 5), strict=True):
        single = composer(text="a red circle", seed=seed, **FAST).frames.astype(int)
        assert np.abs(clip.frames - single).max() <= 1


def test_absent_style_is_exactly_absent_and_absent_text_the_empty_string(composer):
    """Absent: equal to a context without the token. Null: there, and different."""
    request = complete_request(Request(), composer)
    (encoded,) = encode_conditions(composer, request, composer.reader(request)).values()
    tokens, mask = encoded.tokens[0], encoded.mask[0]
    assert not mask[0, -1]
    assert mask[0, :-1].all()
    unet, parameters = composer.networks.unet, {"params": composer.parameters("unet")}
    z = jax.random.normal(jax.random.key(0), (1, 2, 8, 8, 8))
    maps = jnp.zeros((1, 2, 8, 8, composer.networks.stc.out_channels))
    apply = jax.jit(unet.apply)
    masked = apply(parameters, z, jnp.array([500]), maps, tokens, mask)
    without = apply(parameters, z, jnp.array([500]), maps, tokens[:, :-1], mask[:, :-1])
    np.testing.assert_allclose(masked, without, atol=1e-5)
    null = apply(parameters, z, jnp.array([500]), maps, tokens, jnp.ones_like(mask))
    assert jnp.abs(null - without).max() > 1e-4
    empty = composer.conditions["text"].null(composer.shape, composer.functions)
    np.testing.assert_allclose(tokens[0, :-1], empty, atol=1e-6)
    assert np.abs(empty).min(-1).max() > 0  # not zeros


def test_nothing_given_still_makes_a_video(composer):
    assert composer(**FAST).frames.shape == (3, 64, 64, 3)


def test_other_sizes_and_lengths(composer):
    clip = composer(text="a red circle", steps=2, frames=2, size=(32, 96))
    assert clip.frames.shape == (2, 32, 96, 3)
    assert clip.fps == composer.shape.fps


def test_progress_is_reported_between_calls_of_the_same_program(composer):
    reports = []
    composer(text="a", steps=12, frames=3, progress=lambda *x: reports.append(x))
    sampling = [(done, total) for stage, done, total in reports if stage == "sampling"]
    assert list(dict.fromkeys(phase for phase, *_ in reports)) == [
        "reading conditions", "encoding conditions", "loading weights", "compiling the sampler", "sampling", "decoding",
    ]  # fmt: skip
    assert sampling == [(0, 12), (5, 12), (10, 12), (12, 12)]  # as many as asked for


def test_an_output_that_is_not_finite_is_an_error_and_not_a_black_video(composer):
    with pytest.raises(BadInput, match="sampling ended in NaN or infinity"):
        composer(text="a red circle", strength={"text": 1e38}, **FAST)


def test_a_source_video_is_decoded_once_for_all_conditions_extracted_from_it(composer, tmp_path, monkeypatch):
    clip = vcjax.Clip(np.asarray(sprites.batch("test", jnp.array([0])).frames[0]), 8.0)
    clip.save(tmp_path / "clip.mp4")
    calls = []
    sample_source = module.sample_source
    monkeypatch.setattr(module, "sample_source", lambda *x: calls.append(x) or sample_source(*x))
    source = vcjax.extract(tmp_path / "clip.mp4")
    arrays = composer.read({"image": source, "motion": source, "mask": source}, composer.clip_shape())
    assert len(calls) == 1
    assert {name: array.shape for name, array in arrays.items()} == {
        "image": (1, 64, 64, 3),
        "motion": (16, 64, 64, 2),
        "mask": (16, 64, 64, 4),
    }


def test_what_a_model_cannot_extract_is_named(composer):
    without_depth = dataclasses.replace(composer, networks=dataclasses.replace(composer.networks, depth=None))
    message = "depth is extracted by a depth network, which this model does not have"
    with pytest.raises(BadInput, match=message):
        without_depth(depth=vcjax.extract("x.mp4"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smell": 1}, "model tiny has no condition 'smell': it has text, style"),
        ({"depth": "nowhere.png"}, r"nowhere\.png"),
        ({"text": "a", "strength": {"depth": 1.0}}, "strength names condition 'depth', but"),
        ({"text": "a", "strength": {"text": float("nan")}}, "finite"),
        ({"text": "a", "negative": ["depth"]}, "negative names condition 'depth', but"),
        ({"size": (60, 64)}, "multiples of 16 for this model, not 60x64"),
        ({"frames": 0}, "at least one frame"),
        ({"steps": 2000}, "from 1 to 1000, not 2000"),
        ({"steps": 0}, "from 1 to 1000, not 0"),
        ({"eta": 2.0}, "eta must be from 0"),
        ({"eta": 0.5, "sampler": "dpmpp_2m"}, "eta must be 0 for this sampler"),
        (
            {"sampler": "euler"},
            "sampler must be one of ddim, dpmpp_2m, dpmpp_2m_sde, unipc, heun, lcm, not 'euler'",
        ),
        (
            {"spacing": "even"},
            "spacing must be one of leading, trailing, linspace, logsnr, karras, lcm, not 'even'",
        ),
        (
            {"spacing": "leading"},
            "spacing must be one of trailing, linspace, logsnr, karras, lcm with zero terminal SNR",
        ),
        ({"text": "a", "branches": [["text"]], "negative": []}, "branches exclude positive and negative"),
        (
            {"text": "a", "branches": [[], ["text"]], "guidance": [1, 2]},
            "one weight fewer than branches, 1, not 2",
        ),
        ({"text": "a", "branches": []}, "at least one set of conditions"),
        ({"text": "a", "branches": [["smell"]]}, "branches names condition 'smell'"),
        ({"text": "a", "negative": ["text"], "negative_text": "b"}, "first branch without text"),
        ({"seeds": []}, "seeds must hold at least one"),
        ({"seeds": [1], "seed": 2}, "seed and seeds exclude each other"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "seed must be from 0"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"text": "a", "negative": "text"}, r"negative must be a list of names, such as \['text'\]"),
        ({"mask": vcjax.extract("x.mp4", hdie="y.png")}, "mask has no extraction option 'hdie'"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_computed(composer, arguments, message, monkeypatch):
    monkeypatch.setattr(sampling, "sample_chunk", lambda *x: pytest.fail("sampled"))
    with pytest.raises(BadInput, match=message):
        composer(**arguments)


def test_a_spatial_map_is_encoded_once_and_equals_its_repetition(composer, maps):
    """The encoder of a spatial condition sees one frame; a repeated frame would give the same, frame by frame."""
    stc = composer.networks.stc
    assert isinstance(stc, STCEncoder)
    parameters = composer.parameters("stc", "image")
    once = encoding.encode_map(stc, parameters, maps["image"][None], (8, 8), 3)
    repeated = encoding.encode_map(stc, parameters, np.repeat(maps["image"][None], 3, 1), (8, 8), 3)
    np.testing.assert_allclose(np.broadcast_to(once, repeated.shape), repeated, atol=1e-5)


@pytest.mark.parametrize("value", [1.5, "3", None, True, float("nan")])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(BadInput, match="steps must be an integer"):
        settings.integer("steps", value)


@pytest.mark.parametrize("value", ["9", None, True, float("nan"), float("inf")])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(BadInput, match="guidance must be a finite number"):
        settings.finite("guidance", value)
