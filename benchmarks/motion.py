"""How true the codec's motion vectors are, against the sprite world, where every pixel's motion is known.

    python -m benchmarks.motion                    # the first 64 test clips at 64x64, 32 of them at 256x256
    python -m benchmarks.motion --clips 16 --sizes 64

The mean distance between the motion that a map tells and the true one, in pixels a frame, of all frames but the first. On
*shapes* count the pixels where an object is seen, under *camera* those of the background in clips whose camera moves; these
again for each kind of background. Intra blocks tell zero. Beside the codec, for scale: resting everywhere, and the truth
with each block filled by its mean.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.data import sprites
from vcjax.video.motion import codec_motion, rasterise

FPS = 8  # of the sprite world's clips in `tiny`
FRAMES = 16
CLIPS = {64: 64, 256: 32}  # by side in pixels
BIT_RATE = 4_000_000  # that of `tiny`
BLOCKS = {"16x16": False, "8x8": True}  # whether a block of 16x16 may be split into four, with a vector each


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, choices=tuple(CLIPS), default=list(CLIPS))
    parser.add_argument("--clips", type=int, help="of each size [default: 64 of 64x64, 32 of 256x256]")
    parser.add_argument("--bit-rate", type=int, default=BIT_RATE, help="of the codec [default: 4000000]")
    options = parser.parse_args()
    columns = ("frame", "motion told by", "shapes", "camera", *sprites.BACKGROUNDS)
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for size in options.sizes:
        measure(size, options.clips or CLIPS[size], options.bit_rate)


def measure(size: int, count: int, bit_rate: int) -> None:
    """The rows of one size."""
    world = Truth.of(size, count)
    row(world, "resting", np.zeros_like(world.motion))
    for name, side in {"16x16": 16, "8x8": 8}.items():
        row(world, f"the mean of {name}", block_means(world.motion, side))
    for name, four_vectors in BLOCKS.items():
        told = [codec_field(frames, bit_rate, four_vectors) for frames in world.frames]
        row(world, f"the codec, {name}", np.stack(told))


def codec_field(frames: np.ndarray, bit_rate: int, four_vectors: bool) -> np.ndarray:
    """The motion of a clip as the codec tells it, blocks filled."""
    found = codec_motion(frames, fps=FPS, bit_rate=bit_rate, gop=len(frames), four_vectors=four_vectors)
    return rasterise(found.vectors, *frames.shape[1:3], form="blocks")


@dataclasses.dataclass(frozen=True)
class Truth:
    """Clips of the sprite world, their true motion, and the pixels over which errors are told, by the column's name."""

    frames: np.ndarray
    motion: np.ndarray
    places: dict[str, np.ndarray]

    @classmethod
    def of(cls, size: int, count: int) -> "Truth":
        """The first clips of the test split."""
        clips = jax.device_get(sprites.batch("test", jnp.arange(count), frames=FRAMES, size=size))
        shapes = np.array(clips.ids > 0)
        camera = ~shapes & (clips.facts.camera > 0)[:, None, None, None]
        shapes[:, 0] = camera[:, 0] = False  # the first frame has no motion
        places = {"shapes": shapes, "camera": camera}
        for kind, name in enumerate(sprites.BACKGROUNDS):
            places[name] = camera & (clips.facts.background == kind)[:, None, None, None]
        return cls(np.asarray(clips.frames), np.asarray(clips.motion), places)


def block_means(motion: np.ndarray, side: int) -> np.ndarray:
    """Motion with each block filled by its mean."""
    *clips, height, width, _ = motion.shape
    blocks = motion.reshape(*clips, height // side, side, width // side, side, 2).mean((-4, -2))
    return blocks.repeat(side, -3).repeat(side, -2)


def row(world: Truth, name: str, told: np.ndarray) -> None:
    """Print a row of the table."""
    height, width = world.frames.shape[2:4]
    error = np.linalg.norm(told - world.motion, axis=-1)
    errors = [f"{error[where].mean():.2f}" if where.any() else "" for where in world.places.values()]
    print("| " + " | ".join([f"{height}x{width}", name, *errors]) + " |", flush=True)


if __name__ == "__main__":
    main()
