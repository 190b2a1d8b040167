"""Throughput of the data pipeline with `tiny`: decoding, motion vectors, preparation by stage, the loader.

    python -m benchmarks.data                       # with generated videos of the sprite world
    python -m benchmarks.data --videos FOLDER       # with the .mp4 files of a folder

Throughput is in clips/s of 16 frames at 8 frames/s, each stage by itself in one process. The PyAV baseline is
a plain loop: decode, take every nth frame as RGB, re-encode as MPEG-4 Part 2, and decode again with exported
motion vectors; its runs alternate with ours. The data wait is the share of a training step (stage two of
`configs/sprites.py`) that waits for the next batch.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import jax
import jax.numpy as jnp
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType

import vcjax
from benchmarks.train import configured
from vcjax.composer.compiled import encode_frames
from vcjax.composer.composer import Composer
from vcjax.data import sprites
from vcjax.data.features import FeatureExtractor
from vcjax.data.loader import LoaderConfig
from vcjax.data.prepare import Job, prepare
from vcjax.data.records import RecordCodec
from vcjax.data.scenes import find_scenes
from vcjax.data.sprite_clips import SpriteClips
from vcjax.data.videos import Sample
from vcjax.planning.programs import without_fixed_clips
from vcjax.training.build import build_task
from vcjax.training.config import Run
from vcjax.training.setup import set_up
from vcjax.training.state import TrainState
from vcjax.training.step import make_step
from vcjax.video.clip import Clip
from vcjax.video.motion import BIT_RATE, GOP, codec_motion
from vcjax.video.read import read

FPS, FRAMES = 8, 16  # of a clip
VIDEOS, SIDE, RATE = 6, 320, 24  # videos of the sprite world: number, size in pixels, frames/s
RECORDS = 128  # records in the data set, which the loader repeats
TURNS = 5  # runs of each measurement; the fastest counts, since the machine may be shared
BATCHES = 12  # batches that the loader is timed over
STEPS = 5  # training steps
FROM, TO = 2_000, 10_000  # numbers of records between which memory growth is measured
WINDOW = 500  # records over which resident memory is averaged


def main() -> None:
    """Run all benchmarks and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--videos", type=Path, help="folder of .mp4 files [default: generated videos of the sprite world]"
    )
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        videos = sorted(options.videos.glob("*.mp4")) if options.videos else sprite_videos(Path(name))
        print("| stage | clips/s |\n| --- | --- |")
        extraction(videos)
        composer = vcjax.load("tiny")
        preparation(composer, videos)
        data = Path(name) / "data"
        began = time.perf_counter()
        prepare(Job(source=SpriteClips(train=RECORDS, validation=0)), data)
        row(
            f"preparation of {RECORDS} sprite clips, with Beam's startup",
            RECORDS,
            time.perf_counter() - began,
        )
        loading(data)
        memory(data)
        waiting(data)


def row(stage: str, clips: int, seconds: float) -> None:
    """Print a row of the table."""
    print(f"| {stage} | {clips / seconds:.1f} |", flush=True)


def timed(calls: list[Callable[[], Any]], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Return the seconds of each call, the fastest of several interleaved runs."""
    turns = [[_seconds(call, clock) for call in calls] for _ in range(TURNS)]
    return np.min(turns, axis=0).tolist()


def _seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    call()
    return clock() - began


def sprite_videos(folder: Path) -> list[Path]:
    """Write videos of the sprite world, two seconds each."""
    count = FRAMES * RATE // FPS
    paths = [folder / f"{n}.mp4" for n in range(VIDEOS)]
    for n, path in enumerate(paths):
        clips = sprites.batch("train", jnp.array([n]), frames=count, size=SIDE)
        Clip(np.asarray(clips.frames[0]), RATE).save(path)
    return paths


def extraction(videos: list[Path]) -> None:
    """Benchmark decoding and motion vectors, against a PyAV baseline."""

    def decode(path: Path) -> Clip:
        return read(path, fps=FPS, count=FRAMES)

    def vectors(path: Path) -> Any:
        return codec_motion(decode(path).frames, fps=FPS)

    seconds = np.sum(
        [timed([partial(f, path) for f in (decode, vectors, plain_vectors)]) for path in videos], axis=0
    )
    row("decoding", len(videos), seconds[0])
    row("decoding with motion vectors", len(videos), seconds[1])
    row("decoding with motion vectors, PyAV baseline", len(videos), seconds[2])
    both = [timed([partial(f, path) for f in (vectors, plain_vectors)], time.process_time) for path in videos]
    ours, plain = np.sum(both, axis=0)
    print(f"| speedup over the PyAV baseline, CPU time | {plain / ours:.2f} |", flush=True)


def plain_vectors(path: Path) -> tuple[list[Any], list[Any]]:
    """Return a clip's frames and motion vectors, by a loop over frames in PyAV."""
    decoder: Any = av.CodecContext.create("mpeg4", "r")
    decoder.flags2 |= Flags2.export_mvs
    encoder: Any = av.CodecContext.create("mpeg4", "w")
    frames, found, taken = [], [], 0

    def take(packets: Iterable[Any]) -> None:
        for packet in packets:
            for frame in decoder.decode(packet):
                vectors = frame.side_data.get("MOTION_VECTORS")
                found.append(None if vectors is None else vectors.to_ndarray())

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, step = "AUTO", round(float(stream.average_rate or 0) / FPS)
        for number, frame in enumerate(container.decode(video=0)):
            if number % step:
                continue
            if not taken:
                encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuv420p"
                encoder.time_base, encoder.framerate = Fraction(1, FPS), FPS
                encoder.bit_rate, encoder.gop_size, encoder.thread_count = BIT_RATE, GOP, 1
            frames.append(frame.to_ndarray(format="rgb24"))
            frame.pts, frame.time_base, frame.pict_type = taken, Fraction(1, FPS), PictureType.NONE
            take(encoder.encode(frame))
            taken += 1
            if taken == FRAMES:
                break
    take([*encoder.encode(None), None])
    return frames, found


def preparation(composer: Composer, videos: list[Path]) -> None:
    """Benchmark each stage of preparation on the first clip of each video."""
    shape = composer.shape
    supported = [
        name for name, c in composer.conditions.items() if not c.missing_networks(composer.functions)
    ]
    extractor = FeatureExtractor(composer, supported)
    samples = [Sample(p.name, read(p, fps=shape.fps, count=shape.frames), "a red circle") for p in videos]
    stages: dict[str, Callable[[Sample], Any]] = {
        "latents": lambda sample: latents(composer, sample),
        **{
            name: lambda sample, c=composer.conditions[name]: c.stored_features(
                sample.clip, sample.caption, shape, composer.functions
            )
            for name in supported
        },
        "full record": extractor.record,
    }
    records = [extractor.record(sample) for sample in samples]  # compiles the networks
    seconds = timed([partial(find_scenes, path, cuts=True) for path in videos])
    row("preparation: scene detection", len(videos), sum(seconds))
    for name, stage in stages.items():
        stage(samples[0])
        calls = [partial(stage, sample) for sample in samples]
        row(f"preparation: {name}", len(samples), sum(timed(calls)))
    decoded = [extractor.codec.decode(record) for record in records]
    serialisation(extractor.codec, decoded)


def latents(composer: Composer, sample: Sample) -> Any:
    """Compute the posterior of a clip's latents."""
    from vcjax.video.resize import resize_crop

    frames = resize_crop(sample.clip.frames, composer.shape.height, composer.shape.width, rule="latent")
    return jax.block_until_ready(
        encode_frames(composer.networks.autoencoder, composer.parameters("autoencoder"), frames)
    )


def serialisation(codec: RecordCodec, records: list[dict[str, Any]]) -> None:
    """Benchmark the serialisation of records."""
    row("preparation: serialisation", len(records), sum(timed([partial(codec.encode, r) for r in records])))


def run_from_files(data: Path, workers: int = 0) -> Run:
    """Return stage two of the sprites' recipe with a data set from files."""
    run = without_fixed_clips(configured("tiny", ()))
    return dataclasses.replace(run, data=str(data), loader=LoaderConfig(workers=workers))


def loading(data: Path) -> None:
    """Benchmark the loader with threads and with worker processes."""
    for workers in (0, 2):
        run = run_from_files(data, workers)
        with closing(build_task(run).batches(run.stages[0], 0, 0)) as batches:
            next(batches)  # waits for the workers to start
            seconds = _seconds(lambda: [next(batches) for _ in range(BATCHES)])
        row(
            f"loader, {f'{workers} worker processes' if workers else 'threads'}",
            BATCHES * run.stages[0].batch_size,
            seconds,
        )


def memory(data: Path) -> None:
    """Measure the growth of resident memory over thousands of records."""
    run = run_from_files(data)
    size, resident = run.stages[0].batch_size, []
    with closing(build_task(run).batches(run.stages[0], 0, 0)) as batches:
        for _ in range(TO // size):
            next(batches)
            resident.append(resident_bytes())
    early, late = (np.mean(resident[(end - WINDOW) // size : end // size]) for end in (FROM, TO))
    print(
        f"\nresident memory at {FROM} records: {early / 1e6:.0f} MB, at {TO}: {late / 1e6:.0f} MB, "
        f"growth {late / early - 1:.1%}"
    )


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes (Linux only)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waiting(data: Path) -> None:
    """Measure the share of a training step that waits for data."""
    run = run_from_files(data)
    task: Any = build_task(run)
    setup, stage = set_up(run, task), run.stages[0]
    parameters = task.init(jax.random.key(0, impl="unsafe_rbg"))
    state, frozen = TrainState.create(parameters, setup.transforms[0], 0), task.frozen()
    step = make_step(task, setup, 0)
    waited, began = 0.0, 0.0
    with closing(task.batches(stage, 0, 0)) as batches:
        for number in range(STEPS + 1):
            if number == 1:  # the first step compiles
                waited, began = 0.0, time.perf_counter()
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            state, metrics = step(state, frozen, batch)
            jax.block_until_ready(metrics)
    total = time.perf_counter() - began
    print(
        f"a training step of {stage.batch_size} clips takes {total / STEPS:.2f} s, "
        f"of which {waited / total:.2%} is waiting for data"
    )


if __name__ == "__main__":
    main()
