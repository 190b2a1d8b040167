"""Parity of the conditions of real videos with the original's resizing, cropping and scaling.

The reference is the original's `data/transforms.py`, with the functions of torchvision reimplemented in
`originals.py`. Inline steps of its pipeline, in a file that needs OpenCV and a motion vector reader, are
repeated here: rasterising and resizing vectors, masking frames.
"""

import numpy as np
import PIL.Image
import pytest

from tests.parity import originals
from tests.parity.originals import OPEN_CLIP, VIDEOCOMPOSER, torch
from vcjax.conditions.base import ClipShape, SourceVideo
from vcjax.conditions.catalogue import conditions_from_config
from vcjax.conditions.media import sample_source
from vcjax.conditions.tokenizer import Tokenizer, byte_pair_tokenizer, read_merges
from vcjax.video.clip import Clip
from vcjax.video.motion import codec_motion
from vcjax.video.resize import resize_crop
from vcjax.weights.convert.releases import CONDITIONS

pytestmark = pytest.mark.parity

SHAPE = ClipShape(frames=16, height=256, width=256, fps=4.0)
SIZE, MAP_SIZE = 256, 384
BOUND = 1e-4
CLIPS = ["blackswan.mp4", "tennis.mp4"]


@pytest.fixture(scope="module", params=CLIPS)
def clip(request, shared):
    """Return the frames for both sides; the original decodes them from a re-encoded stream."""
    return sample_source(SourceVideo(shared / "media" / request.param), SHAPE)


@pytest.fixture(scope="module")
def conditions():
    return conditions_from_config(CONDITIONS)


def images_of(clip):
    return [PIL.Image.fromarray(frame) for frame in clip.frames]


@pytest.fixture
def misc(monkeypatch):
    """Return the original's `misc_transforms`, from PIL images to [F, 3, 384, 384] in [0, 1].

    The original draws the filter of each frame among bilinear, bicubic and Lanczos. vcjax always uses
    bicubic, so that conditions are deterministic, and here the original does too.
    """
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    monkeypatch.setattr(transforms.random, "choice", lambda filters: filters[1])

    def chain(images):
        images = transforms.CenterCropV2(MAP_SIZE)(transforms.random_resize(images, MAP_SIZE))
        return transforms.ToTensor()(images).numpy()

    return chain


def channels_last(x):
    return np.moveaxis(np.asarray(x), 1, -1)


def test_image_is_the_first_frame(clip, conditions, misc):
    expected = channels_last(misc(images_of(clip)))[:1]
    ours = conditions["image"].extract(clip, SHAPE, {}, 0)
    np.testing.assert_allclose(ours, expected, atol=BOUND)
    assert expected.std() > 0.05


@pytest.mark.parametrize("name", ["moon_on_water.jpg", "fangao_01.jpeg"])
def test_image_from_a_file(shared, conditions, misc, name):
    path = shared / "media" / name
    image = PIL.Image.open(path)
    assert image.mode == "RGB"  # the original drops an alpha channel, vcjax blends it with white
    ours = conditions["image"].read(path, SHAPE, {})
    np.testing.assert_allclose(ours, channels_last(misc([image])), atol=BOUND)


def test_masked_clip(clip, conditions, misc):
    """The original draws the region at random at 512x512; here both sides have the same region at 384x384."""
    hidden = np.zeros((MAP_SIZE, MAP_SIZE), np.uint8)
    hidden[100:250, 37:301] = 1
    frames, mask = torch.from_numpy(misc(images_of(clip))), torch.from_numpy(hidden)[None, None].float()
    frames = frames.sub(0.5).div_(0.5)
    expected = torch.cat([frames * (1 - mask), (1 - mask).expand(len(frames), -1, -1, -1)], dim=1)
    mask_clip = Clip(np.repeat(255 * hidden[None, ..., None], 3, axis=-1), 1.0)
    ours = conditions["mask"].extract(clip, SHAPE, {}, 0, hide=mask_clip)
    np.testing.assert_allclose(ours, channels_last(expected), atol=BOUND)


def test_codec_motion(clip, conditions):
    """Both sides use the vectors of one encoding, since they depend on the version of the encoder."""
    height, width = clip.frames.shape[1:3]
    fields = []
    for found in codec_motion(clip.frames, fps=clip.fps).vectors:
        field = np.zeros((height, width, 2))
        for x, y, *motion in found[
            ["dst_x", "dst_y", "source", "motion_x", "motion_y", "motion_scale"]
        ].tolist():
            source, motion_x, motion_y, scale = motion
            at = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            field[at] = source * motion_x / scale, source * motion_y / scale
        fields.append(field)
    fields = torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)
    # torchvision's Resize and CenterCrop of a tensor, without anti-aliasing, as when the original was written
    size = SIZE, int(SIZE * width / height)
    fields = torch.nn.functional.interpolate(fields, size, mode="bilinear", align_corners=False)
    left = round((size[1] - SIZE) / 2.0)
    expected = channels_last(fields[..., left : left + SIZE]).astype(np.float32)

    ours = conditions["motion"].extract(clip, SHAPE, {}, 0)
    np.testing.assert_allclose(ours, expected, atol=BOUND)
    assert (expected[1:12] != 0).any((1, 2, 3)).all()
    assert not expected[0].any()


def test_frames_for_the_autoencoder(clip):
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    frames = transforms.ToTensor()(transforms.CenterCropV2(SIZE)(images_of(clip)))
    expected = channels_last((frames - 0.5) / 0.5)
    ours = resize_crop(clip.frames, SIZE, SIZE, rule="latent").astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(ours, expected, atol=BOUND)


def test_text(shared, tmp_path, conditions):
    sentence = "A black swan swims in a pond, the ripples shimmer."
    vocabulary = shared / "weights" / "bpe_simple_vocab_16e6.txt.gz"
    (tmp_path / "tokenizer.json").write_text(byte_pair_tokenizer(read_merges(vocabulary)), "utf-8")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", length=77, vocabulary=49_408)
    expected = originals.load(OPEN_CLIP, "tokenizer").SimpleTokenizer(str(vocabulary))(sentence)[0]
    np.testing.assert_array_equal(
        conditions["text"].read(sentence, SHAPE, {"tokenizer": tokenizer}), expected
    )
