"""Fixtures of the tests of the composer."""

import numpy as np
import pytest

import vcjax


@pytest.fixture(scope="module")
def composer():
    return vcjax.load("tiny")


@pytest.fixture(scope="module")
def maps():
    """Maps of three frames, by condition."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.random((1, 64, 64, 3), np.float32),
        "single_sketch": rng.random((1, 64, 64, 1), np.float32),
        "motion": rng.standard_normal((3, 64, 64, 2)).astype(np.float32),
        "depth": rng.random((3, 64, 64, 1), np.float32),
        "mask": rng.random((3, 64, 64, 4), np.float32),
        "sketch": rng.random((3, 64, 64, 1), np.float32),
    }
