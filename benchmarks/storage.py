"""What a record takes at the released size, and what storing costs each condition: bytes, and PSNR of what is read back.

    python -m benchmarks.storage ../shared/media/*.mp4
    python -m benchmarks.storage --model models/videocomposer walk.mp4      # with the networks that extract maps
    python -m benchmarks.storage --noise                                    # frames of noise: the worst there is

Without a model's networks, stand-ins with more detail than theirs take the place of maps: the frames' brightness for
depth, its gradient for lines. PSNR is against the range that the map covers.
"""

import argparse
import dataclasses
from collections.abc import Callable

import numpy as np

import vcjax
from vcjax.conditions.base import ClipShape, Functions
from vcjax.conditions.catalogue import from_settings
from vcjax.data.records import RecordForm
from vcjax.video.clip import Clip
from vcjax.weights.convert.released import CONDITIONS

SHAPE = ClipShape(frames=16, height=256, width=256, fps=4.0)
LATENT = (32, 32, 4)
WORDS, WIDTH = 77, 1024  # of a text, and of a style
NOISE = (720, 1280)  # size of frames of noise


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--model", help="folder with some or all of the networks of extraction")
    parser.add_argument("--noise", action="store_true", help="a clip of noise, too")
    options = parser.parse_args()
    networks = stand_ins() | (vcjax.load(options.model).functions if options.model else {})
    clips = {path: vcjax.read(path, fps=SHAPE.fps, count=SHAPE.frames) for path in options.videos}
    if options.noise:
        noise = np.random.default_rng(0).integers(0, 256, (SHAPE.frames, *NOISE, 3), np.uint8)
        clips["noise"] = Clip(noise, SHAPE.fps)
    for name, clip in clips.items():
        if len(clip) < SHAPE.frames:  # shorter than four seconds: sampled more densely, as preparation does
            clip = vcjax.read(name, fps=int(SHAPE.frames / clip.seconds) + 1, count=SHAPE.frames)
        print(f"\n{name}, {clip.width}x{clip.height}\n\n| field | bytes | PSNR, dB | largest error |")
        print("| --- | --- | --- | --- |")
        table(clip, networks)


def table(clip: Clip, networks: Functions) -> None:
    """Print the rows of one clip."""
    conditions = from_settings(CONDITIONS)
    materials = {name: c.material(clip, "", SHAPE, networks) for name, c in conditions.items()}
    latents = np.random.default_rng(0).standard_normal((2, SHAPE.frames, *LATENT), np.float32)
    record = {"clip": "", "caption": "", "fps": clip.fps, "mean": latents[0], "deviation": latents[1]}
    form = RecordForm(SHAPE, LATENT, conditions)
    bare = len(dataclasses.replace(form, conditions={}).encode({**record, "conditions": {}}))
    print(f"| latents | {bare} | | |")
    for name, condition in conditions.items():
        alone = dataclasses.replace(form, conditions={name: condition})
        data = alone.encode({**record, "conditions": materials})
        error = np.abs(alone.decode(data)["conditions"][name] - materials[name]).astype(np.float64)
        spread, square = float(np.ptp(materials[name])), float(np.mean(error**2))
        quality = f"{10 * np.log10(spread**2 / square):.1f}" if square else "exact"
        print(f"| {name} | {len(data) - bare} | {quality} | {error.max():.3g} |")
    print(f"| all | {len(form.encode({**record, 'conditions': materials}))} | | |")


def stand_ins() -> dict[str, Callable[..., np.ndarray]]:
    """In place of networks: pictures with more detail than theirs."""

    def brightness(frames: np.ndarray) -> np.ndarray:
        return frames.astype(np.float32).mean(-1, keepdims=True) / 255

    def gradient(frames: np.ndarray) -> np.ndarray:
        down, right = np.gradient(brightness(frames)[..., 0], axis=(1, 2))
        return np.clip(4 * np.hypot(down, right), 0, 1)[..., None]

    return {
        "tokenizer": lambda text: np.zeros(WORDS, np.int32),
        "vision": lambda frames: np.random.default_rng(0).standard_normal((len(frames), WIDTH), np.float32),
        "depth": lambda frames: (
            40 * brightness(frames)
        ),  # up to 2 in the condition's units, as near things are
        "sketch": gradient,
        "cleaner": lambda lines: lines,
    }


if __name__ == "__main__":
    main()
