import numpy as np
import pytest

from tests.conftest import run
from vcjax.errors import BadInput
from vcjax.models import clip
from vcjax.models.clip import ImageTower
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.weights import extraction
from vcjax.weights.networks import Networks, random_parameters

NETWORKS = Networks(
    vision=ImageTower(image_size=28, width=16, layers=1, heads=2, embed_dim=6),
    cleaner=SketchCleaner(channels=(2,) * 22),
)
TREES = random_parameters(NETWORKS.shapes({}, {}, ["vision", "cleaner"]), 0)


@pytest.fixture
def extractors():
    return extraction.extractors(NETWORKS, TREES.__getitem__)


def frames(count, side=28):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_a_model_has_extractors_for_its_networks_only(extractors):
    assert list(extractors) == ["vision", "cleaner"]


def test_the_result_does_not_depend_on_the_batch_and_one_program_is_compiled(extractors, monkeypatch):
    images = frames(7)
    one_by_one = np.concatenate([extractors["vision"](image[None]) for image in images])
    assert one_by_one.shape == (7, 6)
    assert one_by_one.std(0).min() > 1e-3
    monkeypatch.setattr(extraction, "batch_size", lambda: 3)
    before = extraction.predict._cache_size()
    np.testing.assert_allclose(extractors["vision"](images), one_by_one, atol=1e-5)
    np.testing.assert_allclose(extractors["vision"](images[:1]), one_by_one[:1], atol=1e-5)
    assert extraction.predict._cache_size() == before + 1


def test_images_are_normalised_and_sketches_are_not(extractors):
    images = frames(1)
    normalised = ((images / 255 - clip.MEAN) / clip.STD).astype(np.float32)
    expected = run(NETWORKS.vision, {"params": TREES["vision"]}, normalised)
    np.testing.assert_allclose(extractors["vision"](images), expected, atol=1e-5)
    sketches = np.random.default_rng(1).random((1, 16, 16, 1), np.float32)
    expected = run(NETWORKS.cleaner, {"params": TREES["cleaner"]}, sketches)
    np.testing.assert_allclose(extractors["cleaner"](sketches), expected, atol=1e-5)


def test_images_of_another_size_are_refused(extractors):
    with pytest.raises(BadInput, match="takes images of 28x28 pixels, not 56x56"):
        extractors["vision"](frames(1, side=56))
    with pytest.raises(BadInput, match="multiples of 8, not 12x12"):
        extractors["cleaner"](np.zeros((1, 12, 12, 1), np.float32))
