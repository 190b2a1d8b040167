"""Conditions: reading, extraction, previews and configuration."""

import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image as Picture

import vcjax
from vcjax.conditions.base import ClipShape, MapCondition, SourceVideo
from vcjax.conditions.catalogue import CATALOGUE, conditions_from_config
from vcjax.conditions.image import Image
from vcjax.conditions.mask import Mask, hide, random_mask
from vcjax.conditions.media import sample_source
from vcjax.conditions.motion import Motion
from vcjax.conditions.preview import side_by_side
from vcjax.conditions.text import Text
from vcjax.errors import BadInput, VcjaxWarning

SHAPE = ClipShape(frames=6, height=32, width=48, fps=4.0)
MAPS = {name: family for name, family in CATALOGUE.items() if issubclass(family, MapCondition)}


# Stand-ins for the networks: depth and edges are the brightness, and the cleaner is the identity.
NETWORKS = {
    "vision": lambda frames: frames.mean((1, 2), np.float32),
    "depth": lambda frames: frames.mean(-1, np.float32, keepdims=True),
    "sketch": lambda frames: frames.mean(-1, np.float32, keepdims=True) / 255,
    "cleaner": lambda lines: lines,
}


def noise_clip(seed=0, frames=6, height=40, width=72):
    """Smooth random colours that move by (2, 1) pixels per frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 8, width // 4 + 8, 3), np.uint8)
    large = np.asarray(
        Picture.fromarray(coarse).resize((width + 32, height + 32), Picture.Resampling.BICUBIC)
    )
    cuts = [large[16 - t : 16 - t + height, 16 - 2 * t : 16 - 2 * t + width] for t in range(frames)]
    return vcjax.Clip(np.stack(cuts), 4.0)


def test_the_catalogue_has_the_eight_conditions_of_the_paper():
    assert list(CATALOGUE) == ["text", "style", "image", "single_sketch", "motion", "depth", "mask", "sketch"]
    channels = {name: family.channels for name, family in MAPS.items()}
    assert channels == {"image": 3, "single_sketch": 1, "motion": 2, "depth": 1, "mask": 4, "sketch": 1}


@pytest.mark.parametrize("name", [name for name, family in MAPS.items() if family.extractable])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_extracted_arrays_can_be_read(name, scale):
    condition = CATALOGUE[name](scale=scale)
    array = condition.extract(noise_clip(), SHAPE, NETWORKS, 0)
    frames = 1 if condition.kind == "spatial" else 6
    assert array.shape == (frames, round(32 * scale), round(48 * scale), condition.channels)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(condition.read(array, SHAPE, {}), array)
    pictures = condition.preview(array, SHAPE)
    assert pictures.shape == (frames, 32, 48, 3)
    assert pictures.std() > 0


@pytest.mark.parametrize("name", ["depth", "sketch", "single_sketch"])
def test_a_finished_map_is_read_from_an_image_or_an_array(name, tmp_path):
    condition = CATALOGUE[name]()
    ramp = np.tile(np.linspace(0, 255, 96, dtype=np.uint8), (64, 1))
    Picture.fromarray(ramp).save(tmp_path / "map.png")
    array = condition.read(tmp_path / "map.png", SHAPE, {})
    assert array.shape == (1 if condition.kind == "spatial" else 6, 32, 48, 1)
    assert array.min() < 0.05
    assert array.max() > 0.95
    np.save(tmp_path / "map.npy", array)
    np.testing.assert_array_equal(condition.read(tmp_path / "map.npy", SHAPE, {}), array)
    assert condition.preview(array, SHAPE).shape[1:] == (32, 48, 3)


def test_a_map_of_the_wrong_shape_or_with_nan_is_an_error():
    with pytest.raises(
        BadInput,
        match=r"depth must be numbers of shape \[6, 32, 48, 1\], not float32 of shape \[6, 32, 32, 1\]",
    ):
        CATALOGUE["depth"]().read(np.zeros((6, 32, 32, 1), np.float32), SHAPE, {})
    with pytest.raises(BadInput, match="finite"):
        CATALOGUE["depth"]().read(np.full((6, 32, 48, 1), np.nan), SHAPE, {})


@pytest.mark.parametrize("name", ["style", "depth", "sketch", "single_sketch"])
def test_extraction_without_its_network_is_an_error(name):
    condition = CATALOGUE[name]()
    with pytest.raises(
        BadInput, match=f"{name} is extracted by a .* network, which this model does not have"
    ):
        condition.extract(noise_clip(), SHAPE, {}, 0)


def test_depth_is_divided_by_twenty_and_clipped():
    outputs = np.float32([-20, 0, 20, 60, 1000, 3]).reshape(6, 1, 1, 1)
    networks = {"depth": lambda frames: np.broadcast_to(outputs, (*frames.shape[:3], 1))}
    depth = CATALOGUE["depth"]().extract(noise_clip(), SHAPE, networks, 0)
    np.testing.assert_allclose(depth[:, 0, 0, 0], [0, 0, 1, 3, 10, 0.15], rtol=1e-6)


def test_the_cleaner_takes_dark_lines_and_the_sketch_is_white_on_black():
    calls = []
    networks = {
        "sketch": lambda frames: (
            calls.append(len(frames)) or np.full((*frames.shape[:3], 1), 0.9, np.float32)
        ),
        "cleaner": lambda lines: calls.append(lines.mean().round(3)) or np.zeros_like(lines),
    }
    for name, count in (("sketch", 6), ("single_sketch", 1)):
        calls.clear()
        lines = CATALOGUE[name]().extract(noise_clip(), SHAPE, networks, 0)
        np.testing.assert_allclose(calls, [count, 0.1], rtol=1e-6)
        assert (lines == 1).all()


def test_style_is_the_embedding_of_the_middle_frame_or_of_an_image(tmp_path):
    sizes = []
    networks = {"vision": lambda frames: sizes.append(frames.shape) or frames.mean((1, 2), np.float32)}
    clip = noise_clip(height=32, width=32)
    style = CATALOGUE["style"](embed_dim=3, image_size=32)
    np.testing.assert_allclose(
        style.extract(clip, SHAPE, networks, 0), clip.frames[3].mean((0, 1)), rtol=1e-5
    )
    Picture.fromarray(clip.frames[5]).save(tmp_path / "style.png")
    embedding = style.read(tmp_path / "style.png", SHAPE, networks)
    np.testing.assert_allclose(embedding, clip.frames[5].mean((0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(style.read(embedding, SHAPE, {}), embedding)
    CATALOGUE["style"]().extract(clip, SHAPE, networks, 0)
    assert sizes == [(1, 32, 32, 3), (1, 32, 32, 3), (1, 224, 224, 3)]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("image", np.full((1, 32, 48, 3), 255, np.uint8), r"image must lie in \[0, 1\], not \[255, 255\]"),
        ("sketch", np.full((6, 32, 48, 1), -0.5), r"sketch must lie in \[0, 1\]"),
        ("mask", np.full((6, 32, 48, 4), 2.0), r"mask must lie in \[-1, 1\]"),
        ("depth", np.full((6, 32, 48, 1), 1e300), "finite"),
    ],
)
def test_values_out_of_range_are_errors(name, array, message):
    with pytest.raises(BadInput, match=message):
        CATALOGUE[name]().read(array, SHAPE, {})


def test_a_file_without_an_array_is_an_error(tmp_path):
    np.savez(tmp_path / "several", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    (tmp_path / "words.npy").write_text("words")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    wrong = {"several.npy": "several arrays", "words.npy": "numpy.save", "objects.npy": "numpy.save"}
    for name, words in wrong.items():
        with pytest.raises(BadInput, match=words) as caught:
            CATALOGUE["depth"]().read(tmp_path / name, SHAPE, {})
        assert "allow_pickle" not in str(caught.value)
    with pytest.raises(BadInput, match="a file, a clip or an array, not list"):
        CATALOGUE["depth"]().read([1, 2], SHAPE, {})


def numbered(count, fps, step=1):
    """A clip whose grey levels are `step` times the index of the frame."""
    frames = np.zeros((count, 8, 8, 3), np.uint8)
    frames[:] = (step * np.arange(count))[:, None, None, None]
    return vcjax.Clip(frames, fps)


@pytest.mark.parametrize("fps", [24_000 / 1001, 29.97, 30_000 / 1001, 8.0])
def test_a_clip_at_the_models_rate_is_sampled_frame_by_frame(fps):
    shape = ClipShape(frames=60, height=8, width=8, fps=fps)
    sampled = sample_source(SourceVideo(numbered(100, fps)), shape)
    np.testing.assert_array_equal(sampled.frames[:, 0, 0, 0], np.arange(60))
    assert sampled.fps == fps


def test_a_clip_with_the_right_number_of_frames_is_returned_unchanged():
    clip = numbered(6, 17.0)
    assert sample_source(SourceVideo(clip), SHAPE) is clip


def test_a_short_video_is_sampled_at_a_higher_rate_from_a_file_and_from_memory(tmp_path):
    clip = numbered(18, 20.0, step=12)  # 0.9 seconds; the model takes 1.5
    clip.save(tmp_path / "clip.webp")
    shape = ClipShape(frames=12, height=8, width=8, fps=8.0)
    sources = (tmp_path / "clip.webp", clip)
    of_file, of_memory = (sample_source(SourceVideo(source), shape) for source in sources)
    assert of_file.fps == of_memory.fps == 14.0  # int(12 frames / 0.9 seconds) + 1
    assert len(of_memory) == 12
    np.testing.assert_array_equal(of_memory.frames[:, 0, 0, 0], 12 * (np.arange(12) * 20 // 14))
    error = np.abs(of_file.frames.astype(int) - of_memory.frames)
    assert error.max() < 6  # WebP is lossy, by less than half a step


def test_the_image_is_the_first_frame_between_zero_and_one():
    clip = noise_clip(height=32, width=48)
    image = Image().extract(clip, SHAPE, {}, 0)
    np.testing.assert_allclose(image[0], clip.frames[0] / 255, atol=1e-6)


@pytest.mark.parametrize("form", ["centre", "blocks"])
def test_motion_follows_the_content(form):
    clip = noise_clip(height=64, width=96)
    motion = Motion(form=form, scale=1.5, bit_rate=4_000_000, gop=0).extract(clip, SHAPE, {}, 0)
    assert not motion[0].any()
    inner = motion[1:, 12:-12, 12:-12]
    if form == "blocks":  # the clip is resized by 0.75, and so is its motion
        np.testing.assert_allclose(inner.mean((0, 1, 2)), (1.5, 0.75), atol=0.25)
    else:  # values in the size of the source, at the centres of blocks only
        spots = np.abs(inner).max(-1) > 0
        assert 0 < spots.mean() < 0.1
        strongest = inner[spots].max(0)  # at most the vectors (2, 1): resizing averages them with zeros
        np.testing.assert_allclose(strongest[0], 2 * strongest[1], rtol=0.2)
        assert 1 < strongest[0] <= 2.5


def test_a_mask_hides_the_same_region_in_every_frame(tmp_path):
    image = np.zeros((32, 48), np.uint8)
    image[:, :24] = 255
    Picture.fromarray(image).save(tmp_path / "hole.png")
    clip = noise_clip(height=32, width=48)
    array = Mask().extract(clip, SHAPE, {}, 0, hide=tmp_path / "hole.png")
    assert not array[:, :, :24].any()
    np.testing.assert_allclose(array[:, :, 24:, :3], clip.frames[:, :, 24:] / 127.5 - 1, atol=1e-6)
    assert (array[:, :, 24:, 3] == 1).all()
    with pytest.raises(BadInput, match=r"hole\.mp4"):
        Mask().extract(clip, SHAPE, {}, 0, hide=tmp_path / "hole.mp4")


def test_random_masks_are_reproducible_and_vary():
    masks = np.stack([random_mask(seed, (64, 64)) for seed in range(300)])
    np.testing.assert_array_equal(masks[7], random_mask(7, (64, 64)))
    shares = masks.mean((1, 2))
    assert shares.min() > 0
    assert shares.std() > 0.1
    halves = [m for m in masks if m.mean() == 0.5 and (m.all(0).sum() == 32 or m.all(1).sum() == 32)]
    assert 0.04 < len(halves) / 300 < 0.17  # 10 %, within four standard deviations of a binomial of 300
    np.testing.assert_array_equal(hide(np.ones((2, 64, 64, 3), np.float32), masks[:1])[1, ..., 3], ~masks[0])


def test_text_must_be_text():
    with pytest.raises(BadInput, match="text must be a sentence, not int"):
        Text().read(3, SHAPE, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smell": {}}, "unknown condition 'smell': known are text, style"),
        ({"motion": {"gap": 12}}, "condition motion has no setting 'gap': it has scale, form, bit_rate, gop"),
        ({"motion": {"form": "block"}}, "condition motion.form must be one of centre, blocks, not 'block'"),
        ({"depth": 3}, "condition depth must be a table"),
        ({"pose": {"class": 5}}, "MODULE:NAME"),
        ({"pose": {"class": "nowhere:Pose"}}, "MODULE:NAME"),
        (
            {"pose": {"class": "vcjax.conditions.depth:Depth"}},
            "condition pose: vcjax.conditions.depth:Depth is condition 'depth'",
        ),
    ],
)
def test_wrong_settings_are_errors(settings, message):
    with pytest.raises(BadInput, match=message):
        conditions_from_config(settings)


def test_settings_become_fields():
    conditions = conditions_from_config({"motion": {"form": "blocks"}, "depth": {"scale": 1.5}})
    assert conditions == {"motion": Motion(form="blocks"), "depth": CATALOGUE["depth"](scale=1.5)}
    assert conditions["depth"].size(SHAPE) == (48, 72)


def test_previews_side_by_side_repeat_single_images():
    moving = np.zeros((5, 32, 48, 3), np.uint8)
    moving[3] = 200
    single = np.full((1, 32, 48, 3), 77, np.uint8)
    clip = side_by_side({"motion": moving, "image": single}, 4.0)
    assert clip.frames.shape[0] == 5
    assert (clip.frames[:, 16:] == 77).any((1, 2, 3)).all()
    assert (clip.frames[3] == 200).any()


@pytest.mark.parametrize("name", ["depth", "sketch", "motion", "mask", "image"])
def test_an_image_takes_the_memory_of_one_frame_of_its_size(name, tmp_path):
    picture = np.zeros((2000, 3000, 3), np.uint8)
    Picture.fromarray(picture).save(tmp_path / "a.png")
    condition, shape = CATALOGUE[name](), ClipShape(frames=16, height=32, width=48, fps=4.0)
    tracemalloc.start()
    if name in ("motion", "mask"):
        clip = sample_source(SourceVideo(tmp_path / "a.png"), shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VcjaxWarning)  # no motion in an image
            found = condition.extract(clip, shape, {}, 0)
    else:
        found = condition.read(tmp_path / "a.png", shape, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == condition.count(shape)
    assert peak < 4 * picture.nbytes
