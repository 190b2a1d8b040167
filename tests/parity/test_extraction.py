"""Conditions that networks make of real footage, against the original's own chain of resizing and networks.

Weights are random, but for the line network's where ../shared has the released ones.
"""

import numpy as np
import PIL.Image
import pytest

from tests.parity import originals
from tests.parity.originals import VIDEOCOMPOSER, difference, torch
from tests.parity.reduced import NETWORKS, converted
from tests.parity.test_extraction_networks import open_clip_tower
from vcjax.conditions.base import ClipShape, Footage
from vcjax.conditions.catalogue import from_settings
from vcjax.conditions.media import sampled
from vcjax.models.clip import DEVIATION, MEAN
from vcjax.video.read import read
from vcjax.video.resize import resize_crop
from vcjax.weights.convert.released import CONDITIONS, RELEASED, bijection, shapes_of
from vcjax.weights.extraction import extractors
from vcjax.weights.networks import Networks
from vcjax.weights.torch_files import read_tensors

pytestmark = pytest.mark.parity

SHAPE = ClipShape(frames=2, height=256, width=256, fps=4.0)
MAP_SIZE = 384
BOUND = 1e-4  # of the deviation
LINES_BOUND = 1e-3  # at every pixel of the released line network


@pytest.fixture(scope="module", params=["blackswan.mp4", "tennis.mp4"])
def clip(request, shared):
    return sampled(Footage(shared / "media" / request.param), SHAPE)


@pytest.fixture
def chain(monkeypatch):
    """The original's maps of frames, [F, 3, 384, 384] in [0, 1]; it draws the filter, ours is the one in the middle."""
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    monkeypatch.setattr(transforms.random, "choice", lambda filters: filters[1])

    def maps(frames):
        images = [PIL.Image.fromarray(frame) for frame in frames]
        return transforms.ToTensor()(
            transforms.CenterCropV2(MAP_SIZE)(transforms.random_resize(images, MAP_SIZE))
        )

    return maps


def functions(**trees):
    """Our functions of the networks whose trees are given."""
    found = extractors(NETWORKS, trees.__getitem__)
    return {name: found[name] for name in trees}


def channels_last(x):
    return np.moveaxis(np.asarray(x), 1, -1)


def test_depth(clip, chain):
    original = originals.depth(NETWORKS.depth)
    with torch.no_grad():
        original.head[4].weight.mul_(20)
        original.head[4].bias.fill_(100.0)  # so that neither end of the range clips all
        answer = original(chain(clip.frames).sub(0.5).div(0.5))
        expected = (answer / 20.0).clamp(0, 10.0)
    networks = functions(**converted("depth", originals.tensors(original)))
    ours = from_settings(CONDITIONS)["depth"].extract(clip, SHAPE, networks, 0)
    assert difference(ours, channels_last(expected)) < BOUND


def test_sketches(clip, chain):
    lines, cleaner = (
        originals.pidinet(NETWORKS.sketch.width, NETWORKS.sketch.dilated, folded=False),
        originals.cleaner(),
    )
    mean, deviation = (
        torch.tensor(x).view(1, 3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        expected = 1 - cleaner(1 - lines(chain(clip.frames).sub(mean).div(deviation)))
    tensors = {f"module.{name}": x for name, x in originals.tensors(lines).items()}
    networks = functions(**converted("sketch", tensors), **converted("cleaner", originals.tensors(cleaner)))
    for name, count in (("sketch", 2), ("single_sketch", 1)):
        ours = from_settings(CONDITIONS)[name].extract(clip, SHAPE, networks, 0)
        assert difference(ours, channels_last(expected)[:count]) < BOUND


def style(picture):
    """The condition for the reduced tower, whose pictures are smaller."""
    return from_settings({"style": {"picture": picture}})["style"]


def test_style_of_footage(clip):
    tensors, tower = open_clip_tower()
    size = NETWORKS.vision.size
    middle = PIL.Image.fromarray(clip.frames[len(clip) // 2])
    transforms = originals.load(VIDEOCOMPOSER, "data.transforms")
    picture = transforms.ToTensor()([transforms.CenterCropV3(size)(middle)])
    mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, DEVIATION))
    with torch.no_grad():
        expected = tower((picture - mean) / deviation)
    networks = functions(**converted("clip", tensors))
    ours = style(size).extract(clip, SHAPE, networks, 0)
    assert difference(ours[None], expected) < BOUND


@pytest.mark.parametrize("name", ["moon_on_water.jpg", "fangao_01.jpeg"])
def test_style_of_a_picture(shared, name):
    """OpenCLIP's chain: torchvision's Resize and CenterCrop of a picture, written anew since it is not installed."""
    tensors, tower = open_clip_tower()
    size = NETWORKS.vision.size
    image = PIL.Image.open(shared / "media" / name).convert("RGB")
    image = originals.resize(image, size, originals.InterpolationMode.BICUBIC)
    left, top = round((image.width - size) / 2.0), round((image.height - size) / 2.0)
    picture = originals.to_tensor(image.crop((left, top, left + size, top + size)))
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, DEVIATION))
    with torch.no_grad():
        expected = tower(((picture - mean) / deviation)[None])
    ours = style(size).read(shared / "media" / name, SHAPE, functions(**converted("clip", tensors)))
    assert difference(ours[None], expected) < BOUND


@pytest.fixture(scope="module")
def released_lines(shared):
    """Ours and the original's line network with the released weights, as functions of frames of 8 bits."""
    path = shared / "weights" / "table5_pidinet.pth"
    tensors = read_tensors(path)
    trees = bijection("sketch", tensors).to_ours(tensors, shapes_of(RELEASED, ["sketch"]), str(path))
    ours = extractors(Networks(sketch=RELEASED.sketch), trees.__getitem__)["sketch"]
    module = originals.load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    original = originals.pidinet()
    state = torch.load(path, map_location="cpu")["state_dict"]
    folded = module.convert_pidinet(state, "carv4")
    original.load_state_dict({name.removeprefix("module."): x for name, x in folded.items()}, strict=True)
    mean, deviation = (
        torch.tensor(x).view(1, 3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )

    def theirs(frames):
        images = torch.from_numpy(channels_first(frames)).float() / 255
        with torch.no_grad():
            return channels_last(original((images - mean) / deviation))

    return ours, theirs


def channels_first(frames):
    return np.ascontiguousarray(np.moveaxis(frames, -1, 1))


def test_the_released_line_network_on_every_real_file(shared, released_lines):
    """Pictures as they are (cut to what two cores do in seconds) and frames of videos, at the maps' size."""
    ours, theirs = released_lines
    files = sorted((shared / "media").iterdir())
    assert len(files) >= 10
    greatest = {}
    for path in files:
        clip = read(path, count=1)
        frames = resize_crop(clip.frames[:1], MAP_SIZE, MAP_SIZE, rule="map")
        expected = theirs(frames)
        assert expected.max() > 0.5, path  # there are lines
        greatest[path.name] = float(np.abs(ours(frames) - expected).max())
    print(greatest)
    assert max(greatest.values()) < LINES_BOUND
