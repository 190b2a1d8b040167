"""What data costs: decoding, motion vectors, the stages of preparation, the loader and its memory; all with `tiny`.

    python -m benchmarks.data                       # videos and records are made of the sprite world first
    python -m benchmarks.data --footage FOLDER      # decode the .mp4 files of this folder instead

Clips a second are of 16 frames at 8 a second, each stage by itself in one process. The plain loop is what one writes with
PyAV alone: decode, take every so many frames as RGB, re-encode them as MPEG-4 Part 2, decode again with the vectors
exported; it and ours take turns. The loader's wait is the share of a training step (stage two of
`configs/sprites.py`) in which the step's next batch was not there yet.
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
from vcjax.composer import Composer
from vcjax.data import sprites
from vcjax.data.footage import Sample
from vcjax.data.prepare import Job, prepare
from vcjax.data.records import RecordForm
from vcjax.data.scenes import find_scenes
from vcjax.data.sprite_clips import SpriteClips
from vcjax.data.workshop import Workshop, posterior
from vcjax.training.assemble import task_of
from vcjax.training.config import Run
from vcjax.training.plan import plan
from vcjax.training.state import TrainState
from vcjax.training.step import make_step
from vcjax.video.clip import Clip
from vcjax.video.motion import BIT_RATE, GOP, codec_motion
from vcjax.video.read import read

FPS, FRAMES = 8, 16  # of a clip
VIDEOS, SIDE, RATE = 6, 320, 24  # of the sprite world: how many, pixels a side, frames a second
RECORDS = 128  # in the data set, which is read again and again
TURNS = 5  # of which the fastest counts: the machine may be shared
BATCHES = 12  # that the loader is timed over
STEPS = 5  # of training
FROM, TO = 2_000, 10_000  # records between which memory is looked at,
WINDOW = 500  # as the mean over so many before: batches come and go


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--footage", type=Path, help="folder of .mp4 files [default: made of the sprite world]"
    )
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        videos = sorted(options.footage.glob("*.mp4")) if options.footage else made_videos(Path(name))
        print("| what | clips a second |\n| --- | --- |")
        extraction(videos)
        composer = vcjax.load("tiny")
        preparation(composer, videos)
        data = Path(name) / "data"
        began = time.perf_counter()
        prepare(Job(source=SpriteClips(train=RECORDS, validation=0)), data)
        row(
            f"preparation of {RECORDS} sprite clips, start and end of Beam in it",
            RECORDS,
            time.perf_counter() - began,
        )
        loading(data)
        memory(data)
        waiting(data)


def row(what: str, clips: int, seconds: float) -> None:
    """Print a row of the table."""
    print(f"| {what} | {clips / seconds:.1f} |", flush=True)


def timed(calls: list[Callable[[], Any]], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call, the fastest of several turns."""
    turns = [[_seconds(call, clock) for call in calls] for _ in range(TURNS)]
    return np.min(turns, axis=0).tolist()


def _seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    call()
    return clock() - began


def made_videos(folder: Path) -> list[Path]:
    """Videos of the sprite world, two seconds each."""
    count = FRAMES * RATE // FPS
    paths = [folder / f"{n}.mp4" for n in range(VIDEOS)]
    for n, path in enumerate(paths):
        clips = sprites.batch("train", jnp.array([n]), frames=count, size=SIDE)
        Clip(np.asarray(clips.frames[0]), RATE).save(path)
    return paths


def extraction(videos: list[Path]) -> None:
    """Decoding, and motion vectors, ours and by the plain loop."""

    def decode(path: Path) -> Clip:
        return read(path, fps=FPS, count=FRAMES)

    def vectors(path: Path) -> Any:
        return codec_motion(decode(path).frames, fps=FPS)

    seconds = np.sum(
        [timed([partial(f, path) for f in (decode, vectors, plain_vectors)]) for path in videos], axis=0
    )
    row("decoding", len(videos), seconds[0])
    row("decoding with motion vectors", len(videos), seconds[1])
    row("the same by a plain PyAV loop", len(videos), seconds[2])
    both = [timed([partial(f, path) for f in (vectors, plain_vectors)], time.process_time) for path in videos]
    ours, plain = np.sum(both, axis=0)
    print(f"| ours over the plain loop, times as fast in CPU seconds | {plain / ours:.2f} |", flush=True)


def plain_vectors(path: Path) -> tuple[list[Any], list[Any]]:
    """A clip's frames and motion vectors, by a loop over frames in PyAV."""
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
    """The stages of preparation, each by itself, of the first clip of each video."""
    shape = composer.shape
    able = [name for name, c in composer.conditions.items() if not c.lacks(composer.functions)]
    workshop = Workshop(composer, able)
    samples = [Sample(p.name, read(p, fps=shape.fps, count=shape.frames), "a red circle") for p in videos]
    stages: dict[str, Callable[[Sample], Any]] = {
        "latents": lambda sample: latents(composer, sample),
        **{
            name: lambda sample, c=composer.conditions[name]: c.material(
                sample.clip, sample.caption, shape, composer.functions
            )
            for name in able
        },
        "record of all these": workshop.record,
    }
    records = [workshop.record(sample) for sample in samples]  # what is compiled, is compiled here
    seconds = timed([partial(find_scenes, path, cuts=True) for path in videos])
    row("preparation: looking for cuts", len(videos), sum(seconds))
    for name, stage in stages.items():
        stage(samples[0])
        calls = [partial(stage, sample) for sample in samples]
        row(f"preparation: {name}", len(samples), sum(timed(calls)))
    decoded = [workshop.form.decode(record) for record in records]
    storing(workshop.form, decoded)


def latents(composer: Composer, sample: Sample) -> Any:
    """The posterior of a clip's latents."""
    from vcjax.video.resize import resize_crop

    frames = resize_crop(sample.clip.frames, composer.shape.height, composer.shape.width, rule="latent")
    return jax.block_until_ready(
        posterior(composer.networks.autoencoder, composer.parameters("autoencoder"), frames)
    )


def storing(form: RecordForm, records: list[dict[str, Any]]) -> None:
    """A record to bytes."""
    row("preparation: storing", len(records), sum(timed([partial(form.encode, r) for r in records])))


def run_from_files(data: Path, workers: int = 0) -> Run:
    """Stage two of the sprites' recipe, from files."""
    return dataclasses.replace(configured("tiny", ()), data=str(data), fixed_clips=0, workers=workers)


def loading(data: Path) -> None:
    """Batches of the loader, by threads and by processes."""
    for workers in (0, 2):
        run = run_from_files(data, workers)
        with closing(task_of(run).batches(run.stages[0], 0, 0)) as batches:
            next(batches)  # by then the workers have started
            seconds = _seconds(lambda: [next(batches) for _ in range(BATCHES)])
        row(
            f"loader, {f'{workers} processes' if workers else 'threads'}",
            BATCHES * run.stages[0].batch,
            seconds,
        )


def memory(data: Path) -> None:
    """Resident memory as thousands of records go by."""
    run = run_from_files(data)
    size, resident = run.stages[0].batch, []
    with closing(task_of(run).batches(run.stages[0], 0, 0)) as batches:
        for _ in range(TO // size):
            next(batches)
            resident.append(resident_bytes())
    early, late = (np.mean(resident[(end - WINDOW) // size : end // size]) for end in (FROM, TO))
    print(
        f"\nresident memory at {FROM} records: {early / 1e6:.0f} MB, at {TO}: {late / 1e6:.0f} MB, "
        f"growth {late / early - 1:.1%}"
    )


def resident_bytes() -> int:
    """Of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waiting(data: Path) -> None:
    """The share of a training step that is waited for data."""
    run = run_from_files(data)
    task: Any = task_of(run)
    planned, stage = plan(run, task), run.stages[0]
    parameters = task.init(jax.random.key(0, impl="unsafe_rbg"))
    state, frozen = TrainState.begin(parameters, planned.transforms[0], 0), task.frozen()
    step = make_step(task, planned, 0)
    waited, began = 0.0, 0.0
    with closing(task.batches(stage, 0, 0)) as batches:
        for number in range(STEPS + 1):
            if number == 1:  # the first compiles
                waited, began = 0.0, time.perf_counter()
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            state, metrics = step(state, frozen, batch)
            jax.block_until_ready(metrics)
    whole = time.perf_counter() - began
    print(
        f"a training step of {stage.batch} clips takes {whole / STEPS:.2f} s, of which {waited / whole:.2%} is waiting for data"
    )


if __name__ == "__main__":
    main()
