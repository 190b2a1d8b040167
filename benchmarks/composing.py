"""Composition in time and space on the built-in model: do strength, keyframes, loops and windows do what they say?

python -m benchmarks.composing --record composing.jsonl [--parts strength,area,...] [--clips 32]
python -m benchmarks.composing --pictures docs/composing

Each measured value is a line of the record, from which an interrupted call goes on.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vcjax
from vcjax.data import sprites
from vcjax.evaluation import maps, motion, objects, perception, pictures
from vcjax.evaluation.metrics import METRICS, Videos
from vcjax.video.write import grid, write

SPLIT = "test"
FIRST = 1000  # clips that no card shows
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
OF = {
    "depth": ("depth", "foreground IoU"),
    "sketch": ("outline", "F-score of lines"),
    "motion": ("motion", "end-point error, pixels per frame"),
}
LONG, SCENES = 128, 8
FILM = 2000
ALONE = "FRAMES_OF_FILM"  # variable that says which film a process is to measure


@cache
def composer() -> vcjax.Composer:
    return vcjax.load("tiny")


@cache
def clip(index: int, frames: int = 16) -> Any:
    """Return a rendered clip with its ground truth, without a batch axis."""
    clips = sprites.batch(SPLIT, jnp.array([index]), frames=frames, size=composer().shape.height)
    return jax.device_get(jax.tree.map(lambda x: x[0], clips))


def metric(name: str, frames: np.ndarray, index: int) -> float:
    """Return the scoreboard's measure of a condition for a video."""
    truth = clip(index)
    target = jax.tree.map(lambda x: np.asarray(x)[None], truth)
    videos = Videos(frames[None], target, np.array([index]), composer().functions)
    compute = next(each.compute for each in METRICS if each.name == OF[name][1])
    return float(np.asarray(compute(videos))[0])


def with_strength(name: str, index: int, strength: Any) -> np.ndarray:
    conditions: dict[str, Any] = {name: np.asarray(getattr(clip(index), OF[name][0]))}
    return composer()(strength={name: strength}, seed=index, negative=[], **conditions).frames


def strength(clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The measure of a condition at five strengths."""
    for index in range(FIRST, FIRST + clips):
        for name in OF:
            for number in STRENGTHS:
                yield (
                    f"{name} {number:g} {index}",
                    lambda n=name, i=index, s=number: metric(n, with_strength(n, i, s), i),
                )


def halves(name: str, frames: np.ndarray, index: int) -> list[float]:
    """Return the measure of a condition in the left and in the right half of a video."""
    truth, half = clip(index), composer().shape.width // 2
    if name == "depth":
        found, target = objects.object_mask(frames), maps.foreground(truth.depth[..., 0])
    elif name == "sketch":
        found, target = maps.boundaries(objects.colour_map(frames)), jnp.asarray(truth.outline[..., 0] > 0.5)
    else:
        error = np.linalg.norm(motion.motion_field(frames[None])[0] - truth.motion, axis=-1)
        return [float(error[..., :half].mean()), float(error[..., half:].mean())]
    score = maps.iou if name == "depth" else maps.f_score
    return [
        float(score(found[..., part], target[..., part]).mean()) for part in (slice(half), slice(half, None))
    ]


def area(clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The measure in each half of the picture, without, with, and with the condition in the left half alone."""
    left = np.zeros((64, 64), np.float32)
    left[:, :32] = 1
    for index in range(FIRST, FIRST + clips):
        for name in OF:
            for label, given in (("none", 0.0), ("full", 1.0), ("left", {"area": left})):
                yield (
                    f"{name} {label} {index}",
                    lambda n=name, i=index, s=given: halves(n, with_strength(n, i, s), i),
                )


def psnr(frames: np.ndarray, index: int, at: tuple[int, ...]) -> list[float]:
    truth = clip(index).frames
    return [float(pictures.psnr(frames[None, i], truth[None, i])[0]) for i in at]


def picture(index: int, frame: int) -> vcjax.Clip:
    return vcjax.Clip(np.asarray(clip(index).frames[frame : frame + 1]), composer().shape.fps)


def caption(index: int) -> str:
    return sprites.captions(jax.tree.map(lambda x: np.asarray(x)[None], clip(index).facts))[0]


def keyframes(clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """PSNR of keyframes 0, 7 and 15, and of the first frame from the image condition."""
    at = (0, 7, 15)
    for index in range(FIRST, FIRST + clips):
        common = {"text": caption(index), "seed": index, "negative": []}
        yield (
            f"image {index}",
            lambda i=index, c=common: psnr(composer()(image=picture(i, 0), **c).frames, i, (0,)),
        )
        yield (
            f"keyframes {index}",
            lambda i=index, c=common: psnr(
                composer()(mask=vcjax.keyframes({k: picture(i, k) for k in at}), **c).frames, i, at
            ),
        )


def loop(clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The difference of the last and the first frame over the mean difference of neighbours."""

    def ratio(index: int, looped: bool) -> float:
        frames = composer()(text=caption(index), seed=index, negative=[], loop=looped).frames.astype(float)
        return float(np.abs(frames[-1] - frames[0]).mean() / np.abs(np.diff(frames, axis=0)).mean())

    for index in range(FIRST, FIRST + clips):
        for looped in (True, False):
            yield f"{'loop' if looped else 'plain'} {index}", lambda i=index, x=looped: ratio(i, x)


def scores_of(frames: np.ndarray, truth: Any) -> dict[str, float]:
    """Return depth, sketch and motion measures of a part of a clip, and the share of frames that keep the object's colour."""
    found = objects.object_mask(frames)
    lines = maps.boundaries(objects.colour_map(frames))
    return {
        "depth": float(maps.iou(found, maps.foreground(truth.depth[..., 0])).mean()),
        "sketch": float(maps.f_score(lines, jnp.asarray(truth.outline[..., 0] > 0.5)).mean()),
        "motion": float(np.linalg.norm(motion.motion_field(frames[None])[0] - truth.motion, axis=-1).mean()),
    }


def kept_colour(frames: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of frames in which the object has its median colour, within 48 of 255."""
    there = mask.any((1, 2))
    colours = np.array(
        [frame[inside].mean(0) for frame, inside in zip(frames[there], mask[there], strict=True)]
    )
    return float((np.abs(colours - np.median(colours, 0)).max(-1) < 48).mean())


def long(clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """128 frames from sketch, depth and motion, with and without text, in eight parts, beside parts by themselves."""

    def conditions(truth: Any, part: slice) -> dict[str, Any]:
        moved = np.array(truth.motion[part])
        moved[0] = 0
        return {"sketch": truth.outline[part], "depth": truth.depth[part], "motion": moved}

    def measure(index: int, text: str | None) -> dict[str, Any]:
        truth, inside = clip(index, LONG), None
        common = {"text": text, "seed": index, "negative": []}
        frames = composer()(**conditions(truth, slice(None)), frames=LONG, **common).frames
        inside = np.asarray(truth.mask[..., 0]) > 0.5
        parts, single = [], []
        for first in range(0, LONG, 16):
            part = slice(first, first + 16)
            piece = jax.tree.map(
                lambda x, p=part: x[p] if np.ndim(x) and len(x) == LONG else x,
                {"depth": truth.depth, "outline": truth.outline, "motion": np.array(truth.motion)},
            )
            piece["motion"][0] = 0
            target = type("Piece", (), piece)
            parts.append(scores_of(frames[part], target))
            single.append(scores_of(composer()(**conditions(truth, part), **common).frames, target))
        difference = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
        border = np.arange(LONG - 1) % 4 == 3  # windows of both placements begin at multiples of 4
        return {
            "parts": parts,
            "single": single,
            "seam": float(difference[border].mean() / difference[~border].mean()),
            "colour": kept_colour(frames, inside),
        }

    for index in range(FIRST, FIRST + min(clips, SCENES)):
        for label in ("maps", "maps and text"):
            yield (
                f"{label} {index}",
                lambda i=index, x=label: measure(i, caption(i) if x != "maps" else None),
            )


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory(_clips: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Resident memory at the end of films of 250 and 2000 frames, from a file."""

    def peak(frames: int) -> dict[str, float]:
        path = pathlib.Path("film.mp4")
        if not path.exists():
            pieces = [np.asarray(clip(FIRST + i, 100).frames) for i in range(FILM // 100)]
            write(np.concatenate(pieces), composer().shape.fps, path)
        source = vcjax.extract(path)
        settings = {"steps": 2, "guidance": 1.0, "frames": frames}
        seen = []
        video = composer()(
            sketch=source,
            depth=source,
            motion=source,
            progress=lambda *_: seen.append(resident()),
            **settings,
        )
        latents = video.frames.size // 3 // 64 * 8 * 4
        windows = (
            2 * 2 * latents * 3
        )  # encoded maps of both placements, each frame in two windows, 24 channels for 8
        return {"peak": max(seen), "frames": video.frames.nbytes, "latents": latents, "maps": windows}

    if frames := os.environ.get(ALONE):
        yield frames, lambda: peak(int(frames))
        return
    for frames in map(str, (250, FILM)):
        yield frames, lambda n=frames: in_a_process(n)


def in_a_process(frames: str) -> dict[str, float]:
    """Measure a film in a process of its own, twice, since compilation takes memory the first time."""
    with tempfile.TemporaryDirectory() as folder:
        for attempt in ("first", "second"):
            record = pathlib.Path(folder) / attempt
            command = [
                sys.executable,
                "-m",
                "benchmarks.composing",
                "--parts",
                "memory",
                "--record",
                str(record),
            ]
            subprocess.run(command, env=os.environ | {ALONE: frames}, check=True, stdout=subprocess.DEVNULL)
        return json.loads(record.read_text())["value"]


PARTS: dict[str, Callable[[int], Iterator[tuple[str, Callable[[], Any]]]]] = {
    "strength": strength,
    "area": area,
    "keyframes": keyframes,
    "loop": loop,
    "long": long,
    "memory": memory,
}


def report(values: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the tables of what has been measured."""

    def of(part: str, label: str) -> np.ndarray:
        return np.array([x for key, x in values.get(part, {}).items() if key.rpartition(" ")[0] == label])

    for name in OF if "strength" in values else ():
        means = [of("strength", f"{name} {number:g}").mean() for number in STRENGTHS]
        order = np.array(means) * (-1 if name == "motion" else 1)  # a smaller error is better
        ranks = perception.rank_correlation(np.array(STRENGTHS), order)
        yield f"strength: {name} at {STRENGTHS}: {np.round(means, 3).tolist()}, rank correlation {ranks:.2f}"
    for name in OF if "area" in values else ():
        none, full, left = (of("area", f"{name} {label}").mean(0) for label in ("none", "full", "left"))
        share = (left - none) / (full - none)
        yield f"area: {name} in the left half {share[0]:.2f} of full, in the right half {share[1]:.2f}"
    if "keyframes" in values:
        first, keys = of("keyframes", "image").mean(), of("keyframes", "keyframes").mean(0)
        yield f"keyframes: PSNR {np.round(keys, 2).tolist()} dB, first frame of the image task {first:.2f} dB"
    if "loop" in values:
        looped, plain = of("loop", "loop"), of("loop", "plain")
        yield f"loop: last to first over neighbours {looped.mean():.2f} (largest {looped.max():.2f}), without {plain.mean():.2f}"
    for label in ("maps", "maps and text") if "long" in values else ():
        rows = [x for key, x in values["long"].items() if key.rpartition(" ")[0] == label]
        for name in OF:
            parts, single = (
                np.array([[p[name] for p in row[key]] for row in rows]).mean(0) for key in ("parts", "single")
            )
            ratio = single / parts if name == "motion" else parts / single
            yield f"long, {label}: {name} by part {np.round(parts, 3).tolist()}, of 16 frames alone {np.round(ratio, 3).tolist()}"
        seams, colours = ([row[key] for row in rows] for key in ("seam", "colour"))
        yield f"long, {label}: seams {np.mean(seams):.3f}, colour kept in {np.mean(colours):.3f} of the frames"
    if "memory" in values and len(values["memory"]) == 2:
        short, whole = values["memory"]["250"], values["memory"][str(FILM)]
        grown = whole["peak"] - short["peak"]
        owed = sum(whole[key] - short[key] for key in ("frames", "latents", "maps"))
        beyond = (grown - owed) / short["peak"]
        yield (
            f"memory: grown by {grown / 1e6:.0f} MB, of which frames, latents and maps {owed / 1e6:.0f} MB; the rest is "
            f"{beyond:.3f} of the peak"
        )


def draw(folder: pathlib.Path) -> None:
    """Write the pictures of docs/composing.md."""
    folder.mkdir(parents=True, exist_ok=True)
    index = FIRST + 3
    rows = [with_strength("sketch", index, number) for number in (0.25, 0.5, 1.0)]
    rows.append(with_strength("sketch", index, {"frames": [[4, 1], [11, 0]]}))
    common = {"text": caption(index), "seed": index, "negative": []}
    at = {k: picture(index, k) for k in (0, 7, 15)}
    rows.append(composer()(mask=vcjax.keyframes(at), **common).frames)
    rows.append(composer()(loop=True, **common).frames)
    write_grid(folder / "rows.png", np.concatenate([row[::2] for row in rows]), 8)
    wide = composer()(text=caption(index), seed=index, size=(64, 128), windows={"size": (64, 64)}).frames
    write_grid(folder / "wide.png", wide[::4], 4)


def write_grid(path: pathlib.Path, frames: np.ndarray, columns: int) -> None:
    from PIL import Image

    Image.fromarray(grid(frames, columns)).save(path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=pathlib.Path, default=pathlib.Path("composing.jsonl"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--pictures", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.pictures:
        draw(arguments.pictures)
        return
    values: dict[str, dict[str, Any]] = {}
    if arguments.record.exists():
        for line in arguments.record.read_text().splitlines():
            entry = json.loads(line)
            values.setdefault(entry["part"], {})[entry["key"]] = entry["value"]
    for part in arguments.parts.split(","):
        for key, compute in PARTS[part](arguments.clips):
            if key not in values.setdefault(part, {}):
                values[part][key] = compute()
                with arguments.record.open("a") as file:
                    file.write(json.dumps({"part": part, "key": key, "value": values[part][key]}) + "\n")
    for line in report(values):
        print(line)


if __name__ == "__main__":
    main()
