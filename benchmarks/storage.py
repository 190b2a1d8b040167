"""Size of stored records at the released size, and the loss of storing each condition: bytes and PSNR.

    python -m benchmarks.storage ../shared/media/*.mp4
    python -m benchmarks.storage --model models/videocomposer walk.mp4      # with the networks of the extractors
    python -m benchmarks.storage --noise                                    # frames of noise, the worst case

Without a model, stand-in maps with more detail are used: the frames' brightness for depth, and its gradient
for sketches. PSNR is relative to the range of the map's values.
"""

import argparse
import dataclasses
from collections.abc import Callable

import numpy as np

import vcjax
from vcjax.conditions.base import ClipShape, Functions
from vcjax.conditions.catalogue import conditions_from_config
from vcjax.data.records import RecordCodec
from vcjax.video.clip import Clip
from vcjax.weights.convert.releases import CONDITIONS

SHAPE = ClipShape(frames=16, height=256, width=256, fps=4.0)
LATENT = (32, 32, 4)
TOKENS, STYLE_DIM = 77, 1024
NOISE = (720, 1280)  # height and width of the noise frames


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--model", help="model folder with some or all of the extractors' networks")
    parser.add_argument("--noise", action="store_true", help="also a clip of noise")
    options = parser.parse_args()
    networks = stand_ins() | (vcjax.load(options.model).functions if options.model else {})
    clips = {path: vcjax.read(path, fps=SHAPE.fps, count=SHAPE.frames) for path in options.videos}
    if options.noise:
        noise = np.random.default_rng(0).integers(0, 256, (SHAPE.frames, *NOISE, 3), np.uint8)
        clips["noise"] = Clip(noise, SHAPE.fps)
    for name, clip in clips.items():
        if len(clip) < SHAPE.frames:  # shorter than four seconds: sampled at a higher rate, as in preparation
            clip = vcjax.read(name, fps=int(SHAPE.frames / clip.seconds) + 1, count=SHAPE.frames)
        print(f"\n{name}, {clip.width}x{clip.height}\n\n| field | bytes | PSNR, dB | max error |")
        print("| --- | --- | --- | --- |")
        table(clip, networks)


def table(clip: Clip, networks: Functions) -> None:
    """Print the rows of one clip."""
    conditions = conditions_from_config(CONDITIONS)
    stored = {name: c.stored_features(clip, "", SHAPE, networks) for name, c in conditions.items()}
    latents = np.random.default_rng(0).standard_normal((2, SHAPE.frames, *LATENT), np.float32)
    record = {"clip": "", "caption": "", "fps": clip.fps, "mean": latents[0], "std": latents[1]}
    codec = RecordCodec(SHAPE, LATENT, conditions)
    base_size = len(dataclasses.replace(codec, conditions={}).encode({**record, "conditions": {}}))
    print(f"| latents | {base_size} | | |")
    for name, condition in conditions.items():
        single = dataclasses.replace(codec, conditions={name: condition})
        data = single.encode({**record, "conditions": stored})
        error = np.abs(single.decode(data)["conditions"][name] - stored[name]).astype(np.float64)
        value_range, square = float(np.ptp(stored[name])), float(np.mean(error**2))
        quality = f"{10 * np.log10(value_range**2 / square):.1f}" if square else "exact"
        print(f"| {name} | {len(data) - base_size} | {quality} | {error.max():.3g} |")
    print(f"| all | {len(codec.encode({**record, 'conditions': stored}))} | | |")


def stand_ins() -> dict[str, Callable[..., np.ndarray]]:
    """Return functions that replace the networks, with more detail in their output."""

    def brightness(frames: np.ndarray) -> np.ndarray:
        return frames.astype(np.float32).mean(-1, keepdims=True) / 255

    def gradient(frames: np.ndarray) -> np.ndarray:
        down, right = np.gradient(brightness(frames)[..., 0], axis=(1, 2))
        return np.clip(4 * np.hypot(down, right), 0, 1)[..., None]

    return {
        "tokenizer": lambda text: np.zeros(TOKENS, np.int32),
        "vision": lambda frames: np.random.default_rng(0).standard_normal(
            (len(frames), STYLE_DIM), np.float32
        ),
        "depth": lambda frames: (
            40 * brightness(frames)
        ),  # up to 2 in the condition's units, like a near object
        "sketch": gradient,
        "cleaner": lambda lines: lines,
    }


if __name__ == "__main__":
    main()
