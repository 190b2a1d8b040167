"""Parity of conditions that are extracted from real videos by networks, including the preprocessing.

Weights are random, except for PiDiNet's, whose released weights are in ../shared.
"""

import numpy as np
import PIL.Image
import pytest

from tests.parity import originals
from tests.parity.originals import VIDEOCOMPOSER, difference, torch
from tests.parity.reduced import NETWORKS, converted
from tests.parity.test_extraction_networks import open_clip_tower
from vcjax.conditions.base import ClipShape, SourceVideo
from vcjax.conditions.catalogue import conditions_from_config
from vcjax.conditions.media import sample_source
from vcjax.models.clip import MEAN, STD
from vcjax.video.read import read
from vcjax.video.resize import resize_crop
from vcjax.weights.convert.released import bijection, shapes_of
from vcjax.weights.convert.releases import CONDITIONS, RELEASED
from vcjax.weights.extraction import extractors
from vcjax.weights.networks import Networks
from vcjax.weights.torch_files import read_tensors

pytestmark = pytest.mark.parity

SHAPE = ClipShape(frames=2, height=256, width=256, fps=4.0)
MAP_SIZE = 384
BOUND = 1e-4  # of the standard deviation
EDGES_BOUND = 1e-3  # at every pixel, for the released PiDiNet


@pytest.fixture(scope="module", params=["blackswan.mp4", "tennis.mp4"])
def clip(request, shared):
    return sample_source(SourceVideo(shared / "media" / request.param), SHAPE)


@pytest.fixture
def chain(monkeypatch):
    """Return the original's preprocessing, to [F, 3, 384, 384] in [0, 1], with bicubic filters."""
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    monkeypatch.setattr(transforms.random, "choice", lambda filters: filters[1])

    def maps(frames):
        images = [PIL.Image.fromarray(frame) for frame in frames]
        return transforms.ToTensor()(
            transforms.CenterCropV2(MAP_SIZE)(transforms.random_resize(images, MAP_SIZE))
        )

    return maps


def functions(**trees):
    """Return extraction functions by network, for networks with these parameter trees."""
    found = extractors(NETWORKS, trees.__getitem__)
    return {name: found[name] for name in trees}


def channels_last(x):
    return np.moveaxis(np.asarray(x), 1, -1)


def test_depth(clip, chain):
    original = originals.depth(NETWORKS.depth)
    with torch.no_grad():
        original.head[4].weight.mul_(20)
        original.head[4].bias.fill_(100.0)  # keeps some outputs within the clipping range
        prediction = original(chain(clip.frames).sub(0.5).div(0.5))
        expected = (prediction / 20.0).clamp(0, 10.0)
    networks = functions(**converted("depth", originals.tensors(original)))
    ours = conditions_from_config(CONDITIONS)["depth"].extract(clip, SHAPE, networks, 0)
    assert difference(ours, channels_last(expected)) < BOUND


def test_sketches(clip, chain):
    sketch = NETWORKS.sketch
    pidinet = originals.pidinet(sketch.base_channels, sketch.dilation_channels, converted=False)
    cleaner = originals.cleaner()
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        expected = 1 - cleaner(1 - pidinet(chain(clip.frames).sub(mean).div(std)))
    tensors = {f"module.{name}": x for name, x in originals.tensors(pidinet).items()}
    networks = functions(**converted("sketch", tensors), **converted("cleaner", originals.tensors(cleaner)))
    for name, count in (("sketch", 2), ("single_sketch", 1)):
        ours = conditions_from_config(CONDITIONS)[name].extract(clip, SHAPE, networks, 0)
        assert difference(ours, channels_last(expected)[:count]) < BOUND


def style(image_size):
    """Return the style condition for the small image tower."""
    return conditions_from_config({"style": {"image_size": image_size}})["style"]


def test_style_of_a_video(clip):
    tensors, tower = open_clip_tower()
    size = NETWORKS.vision.image_size
    middle = PIL.Image.fromarray(clip.frames[len(clip) // 2])
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    image = transforms.ToTensor()([transforms.CenterCropV3(size)(middle)])
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    with torch.no_grad():
        expected = tower((image - mean) / std)
    networks = functions(**converted("clip", tensors))
    ours = style(size).extract(clip, SHAPE, networks, 0)
    assert difference(ours[None], expected) < BOUND


@pytest.mark.parametrize("name", ["moon_on_water.jpg", "fangao_01.jpeg"])
def test_style_of_an_image(shared, name):
    """OpenCLIP's preprocessing with reimplementations of torchvision's Resize and CenterCrop."""
    tensors, tower = open_clip_tower()
    size = NETWORKS.vision.image_size
    image = PIL.Image.open(shared / "media" / name).convert("RGB")
    image = originals.resize(image, size, originals.InterpolationMode.BICUBIC)
    left, top = round((image.width - size) / 2.0), round((image.height - size) / 2.0)
    pixels = originals.to_tensor(image.crop((left, top, left + size, top + size)))
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    with torch.no_grad():
        expected = tower(((pixels - mean) / std)[None])
    ours = style(size).read(shared / "media" / name, SHAPE, functions(**converted("clip", tensors)))
    assert difference(ours[None], expected) < BOUND


@pytest.fixture(scope="module")
def released_pidinet(shared):
    """Return our PiDiNet and the original with the released weights, as functions of 8-bit frames."""
    path = shared / "weights" / "table5_pidinet.pth"
    tensors = read_tensors(path)
    trees = bijection("sketch", tensors).to_flax(tensors, shapes_of(RELEASED, ["sketch"]), str(path))
    ours = extractors(Networks(sketch=RELEASED.sketch), trees.__getitem__)["sketch"]
    module = originals.load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    original = originals.pidinet()
    state = torch.load(path, map_location="cpu")["state_dict"]
    folded = module.convert_pidinet(state, "carv4")
    original.load_state_dict({name.removeprefix("module."): x for name, x in folded.items()}, strict=True)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def theirs(frames):
        images = torch.from_numpy(channels_first(frames)).float() / 255
        with torch.no_grad():
            return channels_last(original((images - mean) / std))

    return ours, theirs


def channels_first(frames):
    return np.ascontiguousarray(np.moveaxis(frames, -1, 1))


def test_released_pidinet_on_every_real_file(shared, released_pidinet):
    """The images and the first frames of the videos, at the size of the maps."""
    ours, theirs = released_pidinet
    files = sorted((shared / "media").iterdir())
    assert len(files) >= 10
    errors = {}
    for path in files:
        clip = read(path, count=1)
        frames = resize_crop(clip.frames[:1], MAP_SIZE, MAP_SIZE, rule="map")
        expected = theirs(frames)
        assert expected.max() > 0.5, path
        errors[path.name] = float(np.abs(ours(frames) - expected).max())
    print(errors)
    assert max(errors.values()) < EDGES_BOUND
