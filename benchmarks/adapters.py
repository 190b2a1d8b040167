"""Adapters on a new look: how far 200 steps on 8 clips go, and what they cost elsewhere (docs/finetuning.md).

    python -m benchmarks.adapters --work /tmp/look --record adapters.jsonl

The look is a warm pastel, which no sprite clip has. Palette distance is the mean distance of pixels to the nearest of the look's
colours. Depth and sketch are measured on frames whose colours are taken back, since the measures know the sprite world's only.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vcjax
from benchmarks.composing import caption, clip, metric
from vcjax.data import sprites

CLIPS, STEPS = 8, 200
SCALE = np.array([0.45, 0.40, 0.35])  # of red, green and blue
OFFSET = np.array([140.0, 120.0, 105.0])
COLOURS = 48  # of the palette
FIRST = 1000  # clips that no card shows


def look(frames: np.ndarray) -> np.ndarray:
    """Return frames in the new look."""
    return (frames * SCALE + OFFSET).round().astype(np.uint8)


def without_look(frames: np.ndarray) -> np.ndarray:
    """Return frames with the colours of the sprite world."""
    return np.clip((frames.astype(np.float64) - OFFSET) / SCALE, 0, 255).round().astype(np.uint8)


@cache
def palette() -> np.ndarray:
    """Return the colours of the training clips in the look."""
    from PIL import Image

    pixels = look(training_frames()).reshape(-1, 1, 3)
    quantised = Image.fromarray(pixels).quantize(COLOURS)
    return np.array(quantised.getpalette(), float).reshape(-1, 3)[:COLOURS]


def distance(frames: np.ndarray) -> float:
    """Return the mean distance of pixels to the nearest colour of the look."""
    pixels = frames.reshape(-1, 1, 3).astype(float)
    nearest = [np.linalg.norm(part - palette()[None], axis=-1).min(-1) for part in np.array_split(pixels, 64)]
    return float(np.concatenate(nearest).mean())


@cache
def training_frames() -> np.ndarray:
    return np.asarray(jax.device_get(sprites.batch("train", jnp.arange(CLIPS)).frames))


def run(*arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", "vcjax", *map(str, arguments)], check=True)


def train(work: pathlib.Path, steps: int) -> pathlib.Path:
    """Train adapters on clips in the look, from a folder of videos on, as a user does; return their file."""
    videos, adapter = work / "videos", work / "look.safetensors"
    if adapter.exists():
        return adapter
    videos.mkdir(parents=True, exist_ok=True)
    facts = sprites.batch("train", jnp.arange(CLIPS)).facts
    for i, text in enumerate(sprites.captions(facts)):
        vcjax.Clip(look(training_frames()[i]), 8.0).save(videos / f"{i}.mp4")
        (videos / f"{i}.txt").write_text(text)
    if not (work / "data").exists():
        run("prepare", videos, "--out", work / "data")
    run("train", "--config=lora", f"--config.data={work / 'data'}", f"--config.out={work / 'run'}",
        f"--config.stages[0].steps={steps}")  # fmt: skip
    run("export", work / "run", "--out", adapter)
    return adapter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for clips, data set and run")
    parser.add_argument("--record", type=pathlib.Path, help="file to append the figures to")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    adapter = train(arguments.work, arguments.steps)
    composer, rows = vcjax.load("tiny"), {}
    for name, strength in (("without", 0.0), ("half", 0.5), ("whole", 1.0)):
        adapters = {str(adapter): strength}
        figures: dict[str, list[float]] = {"palette": [], "depth": [], "sketch": []}
        for index in range(FIRST, FIRST + arguments.clips):
            text: dict[str, Any] = {"text": caption(index), "seed": index, "adapters": adapters}
            figures["palette"].append(distance(composer(**text).frames))
            truth = clip(index)
            for condition, map_ in (("depth", truth.depth), ("sketch", truth.outline)):
                conditions: dict[str, Any] = {condition: np.asarray(map_)}
                frames = composer(**text, **conditions).frames
                known = without_look(frames) if strength == 1 else frames
                figures[condition].append(metric(condition, known, index))
        rows[name] = {key: float(np.mean(values)) for key, values in figures.items()}
        print(name, rows[name], flush=True)
    held_out = [distance(look(np.asarray(clip(i).frames))) for i in range(FIRST, FIRST + arguments.clips)]
    rows["true clips in the look"] = {"palette": float(np.mean(held_out))}
    print("true clips in the look", rows["true clips in the look"])
    print(f"palette distance, after over before: {rows['whole']['palette'] / rows['without']['palette']:.3f}")
    for key in ("depth", "sketch"):
        print(f"{key}, after over before: {rows['whole'][key] / rows['without'][key]:.3f}")
    if arguments.record:
        with arguments.record.open("a") as file:
            file.write(json.dumps({"steps": arguments.steps, "clips": arguments.clips, **rows}) + "\n")


if __name__ == "__main__":
    main()
