"""Preparation: every usable clip is stored, every bad file is reported, and records are reproducible."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vcjax
from tests.training.runs import MODEL, small_parts
from tests.video.source_videos import encode
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.data import sprites
from vcjax.data.beam import pipeline_options
from vcjax.data.prepare import REPORT, WORK, Job, prepare, read_report
from vcjax.data.records import PreparedDataset
from vcjax.data.sprite_clips import SpriteClips
from vcjax.data.videos import Videos
from vcjax.errors import BadInput
from vcjax.video.read import read

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = {"text": {}, "style": {"embed_dim": 16, "image_size": 16}, "image": {}, "motion": {}, "mask": {}}
TIMEOUT = 300  # seconds, on a loaded machine


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with random weights; its clips are 3 frames of 16x16 at 8 fps."""
    return str(small_parts(tmp_path_factory.mktemp("models") / "small", {**MODEL, "conditions": CONDITIONS}))


def frames(n, count):
    """The first frames of a sprite clip."""
    return np.asarray(sprites.batch("train", jnp.array([n]), frames=9).frames[0, :count])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Usable and unusable files; the names of the latter say what is wrong."""
    folder = tmp_path_factory.mktemp("videos")
    for n in range(4):
        encode(folder / f"{n}.mp4", frames(n, 9), fps=8)
        (folder / f"{n}.txt").write_text(f"clip {n}")
    (folder / "with spaces").mkdir()
    encode(folder / "with spaces" / "走路.mp4", frames(5, 3), fps=8)
    encode(folder / "cut.mp4", np.concatenate([frames(6, 4), frames(7, 4)]), fps=8)
    encode(folder / "short.mp4", frames(8, 2), fps=8)
    Image.fromarray(frames(9, 1)[0]).save(folder / "still.png")
    (folder / "empty.mp4").touch()
    (folder / "truncated.mp4").write_bytes((folder / "0.mp4").read_bytes()[:1000])
    (folder / "text.mp4").write_text("no video")
    os.mkfifo(folder / "unreadable.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "self").symlink_to(folder)
    encode(folder / "in_tar.mp4", frames(10, 3), fps=8)
    with tarfile.open(folder / "set.tar", "w") as tar:
        tar.add(folder / "in_tar.mp4", "one.mp4")
    (folder / "in_tar.mp4").unlink()
    return folder


GOOD = {
    **{f"{n}.mp4": 3 for n in range(4)},  # 9 frames are three clips
    "with spaces/走路.mp4": 1,
    "cut.mp4": 2,  # one on either side of the cut
    "still.png": 1,
    "set.tar/one.mp4": 1,
}
BAD = {"empty.mp4", "truncated.mp4", "text.mp4", "unreadable.mp4", "loop.mp4", "self", "short.mp4"}


def run(job, folder, **options):
    prepare(job, folder, options=pipeline_options(**options))
    return folder


def records(folder):
    """Return every encoded record by split and name of the clip."""
    dataset = PreparedDataset(folder)
    found = {}
    for name in dataset.splits:
        split = dataset.split(name)
        found |= {(name, split[i]["clip"]): split.raw(i) for i in range(len(split))}
    assert len(found) == sum(dataset.splits.values())
    return found


@pytest.fixture(scope="module")
def reference(videos, model, tmp_path_factory):
    job = Job(source=Videos(path=str(videos)), model=model)
    return run(job, tmp_path_factory.mktemp("data") / "set", workers=1)


def test_every_usable_clip_is_stored_and_every_bad_file_reported(reference):
    counts = dict.fromkeys(GOOD, 0)
    for _, clip in records(reference):
        counts[clip.rpartition("@")[0]] += 1
    assert counts == GOOD
    skipped = {each.name: each.reason for each in read_report(reference)}
    assert set(skipped) == BAD
    assert "empty" in skipped["empty.mp4"]
    assert "not a regular file" in skipped["unreadable.mp4"]
    assert "has 2 frames; a clip needs 3" in skipped["short.mp4"]
    assert not (reference / WORK).exists()


def test_images_have_separate_splits(reference):
    dataset = PreparedDataset(reference)
    (name,) = [name for name in dataset.splits if name.endswith("_images")]
    (image,) = dataset.split(name)
    assert image["mean"].shape == (1, 4, 4, 4)
    assert image["conditions"]["mask"].shape == (1, 16, 16, 3)
    assert not image["conditions"]["motion"].any()


def test_a_record_has_the_features_of_its_clip(reference, model):
    dataset = PreparedDataset(reference)
    found = {
        r["clip"]: r
        for name in ("train", "validation")
        if name in dataset.splits
        for r in dataset.split(name)
    }
    record = found["1.mp4@0.375"]
    assert record["caption"] == "clip 1"
    assert record["fps"] == 8.0
    assert set(record["conditions"]) == set(CONDITIONS)
    composer = vcjax.load(model)
    np.testing.assert_array_equal(record["conditions"]["text"], composer.tokenize("clip 1"))
    clip = vcjax.Clip(frames(1, 9)[3:6], 8)  # what was encoded, up to the loss of the codec
    arrays = composer.read({name: vcjax.extract(clip) for name in ("style", "image")}, dataset.shape)
    assert np.abs(record["conditions"]["image"] - arrays["image"]).mean() < 0.05
    cosine = np.dot(record["conditions"]["style"], arrays["style"])
    assert cosine > 0.95 * np.linalg.norm(record["conditions"]["style"]) * np.linalg.norm(arrays["style"])
    masked = dataset.conditions["mask"].from_stored(record["conditions"]["mask"], 3)
    assert masked.shape == (3, 16, 16, 4)
    assert 0 < masked[..., 3].mean() < 1


def test_preparing_a_complete_data_set_changes_nothing(reference, videos, model):
    before = {path: path.stat().st_mtime_ns for path in reference.iterdir()}
    run(Job(source=Videos(path=str(videos)), model=model), reference)
    assert {path: path.stat().st_mtime_ns for path in reference.iterdir()} == before


def test_records_do_not_depend_on_shards_or_workers(reference, videos, model, tmp_path):
    job = Job(source=Videos(path=str(videos)), model=model, files_per_shard=5)
    assert records(run(job, tmp_path / "other", workers=3)) == records(reference)


def test_a_record_does_not_depend_on_the_other_files(reference, videos, model, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("1.mp4", "1.txt"):
        shutil.copy(videos / name, alone)
    found = records(run(Job(source=Videos(path=str(alone)), model=model), tmp_path / "out"))
    assert len(found) == 3
    assert found.items() <= records(reference).items()


def test_a_missing_file_of_a_manifest_is_reported(videos, model, tmp_path):
    path = videos / "list.csv"
    path.write_text("file,caption,split\n0.mp4,first,train\nmissing.mp4,none,train\n1.mp4,second,test\n")
    folder = run(Job(source=Videos(path=str(path)), model=model), tmp_path / "out")
    path.unlink()
    assert PreparedDataset(folder).splits == {"train": 3, "test": 3}
    (skipped,) = read_report(folder)
    assert skipped.name == "missing.mp4"
    assert "No such file" in skipped.reason


def test_a_folder_with_other_content_is_an_error(reference, videos, model, tmp_path):
    job = Job(source=Videos(path=str(videos), cuts=False), model=model)
    with pytest.raises(BadInput, match="was prepared with source"):
        run(job, reference)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="contains other files"):
        run(job, tmp_path)


def test_a_missing_network_or_condition_is_an_error(videos, tmp_path):
    job = Job(source=Videos(path=str(videos)), model=str(small_parts(tmp_path / "model")))
    with pytest.raises(BadInput, match="--without depth"):
        run(job, tmp_path / "out")
    with pytest.raises(BadInput, match="--without colour: model tiny has only"):
        run(Job(source=Videos(path=str(videos)), without=("colour",)), tmp_path / "out")


def test_without_any_usable_file_the_report_has_the_reasons(model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("no video")
    with pytest.raises(BadInput, match=f"{REPORT} has the reasons"):
        run(Job(source=Videos(path=str(tmp_path / "in")), model=model), tmp_path / "out")
    assert [each.name for each in read_report(tmp_path / "out")] == ["a.mp4"]


def test_sprite_clips_store_exact_features(tmp_path):
    conditions = {"text": {}, "motion": {}, "depth": {}, "sketch": {}, "mask": {}}
    parts = {**MODEL, "conditions": conditions, "clip": {"frames": 3, "height": 16, "width": 16, "fps": 8.0}}
    job = Job(source=SpriteClips(train=3, validation=2), model=str(small_parts(tmp_path / "model", parts)))
    dataset = PreparedDataset(run(job, tmp_path / "out"))
    assert dataset.splits == {"train": 3, "validation": 2}
    record = dataset.split("validation")[1]
    truth = sprites.batch("validation", jnp.array([1]), frames=3, size=16)
    assert [record["caption"]] == sprites.captions(truth.facts)
    np.testing.assert_allclose(record["conditions"]["motion"], truth.motion[0], rtol=2**-11, atol=1e-6)
    error = np.abs(record["conditions"]["depth"] - truth.depth[0])
    assert error.mean() < 0.03  # JPEG, of images with many edges
    assert not PreparedDataset(tmp_path / "out").conditions.keys() - conditions.keys()


def test_the_command_reports_its_result(videos, model, tmp_path, vc, reference):
    command = ["prepare", videos, "--out", tmp_path / "out", "--model", model, "--files-per-shard", 4]
    code, out, _ = vc(*command, "--", "--direct_num_workers=1")
    assert code == 0
    assert f"{sum(GOOD.values())} clips" in out
    assert f"skipped: {len(BAD)}" in out
    assert records(tmp_path / "out") == records(reference)
    code, out, _ = vc(*command)
    assert code == 0
    assert "already complete" in out


def test_the_command_reports_errors(videos, model, no_extraction_model, tmp_path, vc, reference):
    for arguments, message in (
        ([videos, "--out", tmp_path / "out", "--model", no_extraction_model], "prepare --without depth,"),
        (
            [videos, "--out", reference, "--model", model, "--without", "motion"],
            "was prepared with conditions",
        ),
        ([tmp_path / "none", "--out", tmp_path / "out", "--model", model], "does not exist"),
        ([videos, "more", "--out", tmp_path / "out", "--model", model], "unexpected argument 'more'"),
        (["sprites:a", "--out", tmp_path / "out", "--model", model], "are given as"),
        (
            [videos, "--out", tmp_path / "out", "--model", model, "--", "--runner=None"],
            "cannot run with these",
        ),
    ):
        code, out, err = vc("prepare", *arguments)
        assert (code, out) == (2, "")
        assert message in " ".join(err.split())


def start(videos, model, folder):
    command = [
        sys.executable,
        "-m",
        "vcjax",
        "prepare",
        str(videos),
        "--out",
        str(folder),
        "--model",
        model,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_records_are_the_same_after_five_interruptions(reference, videos, model, tmp_path):
    """Killed before the first shard, after the second, the fourth, ..., and before the end."""
    folder = tmp_path / "out"
    shards = len(GOOD) + len(BAD) - 1  # one per file; `self` is a folder
    markers = []
    for finished in (0, 2, 4, 7, shards - 1):
        with start(videos, model, folder) as process:
            until = time.monotonic() + TIMEOUT
            while len(list(folder.glob(f"{WORK}/*-*.json"))) < finished or not folder.exists():
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        markers.append({path: path.stat().st_mtime_ns for path in folder.glob(f"{WORK}/*-*.json")})
    for earlier, later in itertools.pairwise(markers):
        assert earlier.items() <= later.items()  # finished shards are not repeated
    with start(videos, model, folder) as process:
        out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert f"{sum(GOOD.values())} clips" in out
    assert f"skipped: {len(BAD)}" in out
    assert records(folder) == records(reference)
    assert sorted(read_report(folder), key=str) == sorted(read_report(reference), key=str)
    assert not list(folder.glob("**/.*"))


@contextlib.contextmanager
def serving(module, flag):
    """Run a service of Beam in another process; yields its port."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", f"apache_beam.runners.{module}", f"{flag}={port}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # workers are called `python`
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + TIMEOUT
            with socket.socket() as client:
                while client.connect_ex(("localhost", port)):
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_worker_in_another_process_writes_the_same_records(reference, videos, model, tmp_path):
    """As on a cluster: a job server with external workers."""
    job = Job(source=Videos(path=str(videos)), model=model)
    with (
        serving("worker.worker_pool_main", "--service_port") as workers,
        serving("portability.local_job_service_main", "--port") as jobs,
    ):
        remote = [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
        ]
        folder = run(job, tmp_path / "out", arguments=[*remote, f"--environment_config=localhost:{workers}"])
    assert records(folder) == records(reference)


@pytest.mark.slow
def test_a_model_with_every_network_stores_every_condition(videos, tmp_path):
    """Random networks, maps larger than the clip: stored features equal those of the composer."""
    networks = {
        "depth": {
            "image_size": 32,
            "width": 16,
            "layers": 4,
            "heads": 2,
            "neck_channels": [4, 4, 4, 4],
            "fusion_channels": 4,
        },
        "sketch": {"base_channels": 4, "dilation_channels": 2},
        "cleaner": {"channels": [2] * 22},
    }
    conditions = {name: {} for name in CATALOGUE} | {
        "style": CONDITIONS["style"],
        **{name: {"scale": 2.0} for name in ("image", "single_sketch", "depth", "mask", "sketch")},
    }
    parts = {**MODEL, "networks": MODEL["networks"] | networks, "conditions": conditions}
    model = str(small_parts(tmp_path / "model", parts))
    (tmp_path / "in").mkdir()
    shutil.copy(videos / "1.mp4", tmp_path / "in")
    dataset = PreparedDataset(
        run(Job(source=Videos(path=str(tmp_path / "in")), model=model), tmp_path / "out")
    )
    assert dataset.conditions.keys() == CATALOGUE.keys()
    (name,) = dataset.splits
    (record,) = [each for each in dataset.split(name) if each["clip"] == "1.mp4@0.375"]
    clip = read(videos / "1.mp4", fps=8, count=3, start=0.375)
    arrays = vcjax.load(model).read(
        {name: vcjax.extract(clip) for name in ("depth", "sketch", "single_sketch", "motion", "style")},
        dataset.shape,
    )
    for name, array in arrays.items():
        stored = record["conditions"][name]
        assert stored.shape == array.shape
        assert np.abs(stored - array).max() <= 0.1 * np.ptp(array)
