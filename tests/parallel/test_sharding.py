"""Whatever the mesh, the numbers are one device's, and the work is split as it should be: run on eight simulated devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1500  # seconds: a loaded machine compiles slowly
FLAGS = "--xla_force_host_platform_device_count=8"


def told_by(name, tmp_path):
    out = tmp_path / f"{name}.json"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": FLAGS}
    command = [sys.executable, "-m", "tests.parallel.program", name, str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def forward(tmp_path_factory):
    return told_by("forward", tmp_path_factory.mktemp("forward"))


@pytest.mark.parametrize("what", ["videos", "images"])
def test_eight_devices_answer_what_one_does(forward, what):
    assert forward[what]["size"] > 1
    assert forward[what]["difference"] < 1e-12 * forward[what]["size"]


def test_spatial_layers_have_their_share_of_the_frames_and_temporal_ones_of_the_pixels(forward):
    """What results on a mesh of data 2, fsdp 2, frames 2, for 8 clips of 8 frames; [whole, of one device]."""
    lie = forward["videos"]["lie"]
    spatial = [
        "stc/conv_0",
        "down_sample",
        "down_sample/conv",
        "residual/conv_1",
        "spatial/layer",
        "spatial/layer/self",
        "up_sample/conv",
    ]
    for name in [*spatial, "residual/norm_0", "spatial/layer/gated", "up_sample"]:
        whole, share = lie[name]
        axes = [i for i, (a, b) in enumerate(zip(whole, share, strict=True)) if a != b]
        assert np.prod(whole) == 8 * np.prod(share), name
        assert axes in ([0], [0, 1]), name  # rows, or clips and frames
    for name in [
        "residual/temporal",
        *(f"residual/temporal/{k}_{i}" for k in ("conv", "norm") for i in range(4)),
    ]:
        assert lie[name] == [[8, 8, 16, 16], [2, 8, 8, 16]], name  # clips and pixels; all frames
    for name in ("temporal/layer", "temporal/layer/self", "temporal/layer/gated"):
        whole, share = lie[name]
        assert whole[:2] == [8 * 16, 8], name
        assert share == [whole[0] // 8, *whole[1:]], name  # rows are the pixels of all clips
    assert lie["temporal"] == [[8, 8, 4, 4, 16], [2, 4, 4, 4, 16]]  # and back to frames


def test_images_lie_over_all_axes(forward):
    lie = forward["images"]["lie"]
    assert "temporal" not in lie
    assert len(lie) > 20
    for name, (whole, share) in lie.items():
        if whole[0] == 8 and "time" not in name:
            assert share == [1, *whole[1:]], name


@pytest.mark.slow
def test_losses_are_one_devices(tmp_path):
    """20 losses in float64 to 1e-9, 5 on single axes, of images, and in pieces; in float32 the first, and its gradient, to 1e-5."""
    told = told_by("losses", tmp_path)
    for kind, tolerance in (("float64", 1e-9), ("images", 1e-9), ("pieces", 1e-9), ("float32", 1e-5)):
        (_, one), *others = told[kind].items()
        assert others
        for name, losses in others:
            assert losses
            np.testing.assert_allclose(losses, one[: len(losses)], rtol=tolerance, err_msg=f"{kind} {name}")
    lengths = [len(losses) for losses in told["float64"].values()]
    assert lengths == [20, 20, 5, 5, 5, 5]
    first, *_, last = (loss for loss, _ in told["float64"]["(1, 1, 1)"])
    assert last < 0.5 * first


@pytest.mark.slow
def test_losses_of_the_built_in_model_are_one_devices(tmp_path):
    one, eight = (np.array(losses) for losses in told_by("tiny", tmp_path).values())
    assert one.shape == (5, 2)
    np.testing.assert_allclose(eight, one, rtol=1e-9)


@pytest.mark.slow
def test_sharded_sampling_is_one_devices(tmp_path):
    """One clip over its frames, and two clips over all axes; a grey level is the rounding of float32."""
    told = told_by("sampling", tmp_path)
    assert told["one clip by frames"] <= 1
    assert told["two clips by all axes"] <= 1
    assert told["seeds differ"] > 20
