"""Accuracy of the codec's motion vectors against the exact motion of the sprite world.

    python -m benchmarks.motion                    # the first 64 test clips at 64x64, 32 of them at 256x256
    python -m benchmarks.motion --clips 16 --sizes 64

Mean end-point error in pixels per frame, without the first frame. Column *shapes* is over the pixels of
objects, *camera* over background pixels of clips with a moving camera, and the remaining columns split the
latter by background texture. Intra blocks have zero motion. For scale there are the errors of zero motion and
of the true motion averaged over blocks.
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
CLIPS = {64: 64, 256: 32}  # number of clips by frame size in pixels
BIT_RATE = 4_000_000  # that of `tiny`
BLOCKS = {"16x16": False, "8x8": True}  # whether a 16x16 block may be split into four, with a vector each


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, choices=tuple(CLIPS), default=list(CLIPS))
    parser.add_argument(
        "--clips", type=int, help="number of clips of each size [default: 64 of 64x64, 32 of 256x256]"
    )
    parser.add_argument("--bit-rate", type=int, default=BIT_RATE, help="of the codec [default: 4000000]")
    options = parser.parse_args()
    columns = ("frame size", "motion", "shapes", "camera", *sprites.BACKGROUNDS)
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for size in options.sizes:
        measure(size, options.clips or CLIPS[size], options.bit_rate)


def measure(size: int, count: int, bit_rate: int) -> None:
    """Print the rows of one frame size."""
    truth = GroundTruth.of(size, count)
    row(truth, "zero motion", np.zeros_like(truth.motion))
    for name, side in {"16x16": 16, "8x8": 8}.items():
        row(truth, f"true motion, {name} block means", block_means(truth.motion, side))
    for name, four_vectors in BLOCKS.items():
        fields = [codec_field(frames, bit_rate, four_vectors) for frames in truth.frames]
        row(truth, f"codec, {name}", np.stack(fields))


def codec_field(frames: np.ndarray, bit_rate: int, four_vectors: bool) -> np.ndarray:
    """Return the motion field of a clip from the codec's vectors, constant on each block."""
    found = codec_motion(frames, fps=FPS, bit_rate=bit_rate, gop=len(frames), four_vectors=four_vectors)
    return rasterise(found.vectors, *frames.shape[1:3], form="blocks")


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """Clips of the sprite world with their exact motion.

    Attributes:
        frames: RGB frames.
        motion: exact motion in pixels per frame.
        masks: pixels to average over, by the name of the column.
    """

    frames: np.ndarray
    motion: np.ndarray
    masks: dict[str, np.ndarray]

    @classmethod
    def of(cls, size: int, count: int) -> "GroundTruth":
        """Render the first clips of the test split."""
        clips = jax.device_get(sprites.batch("test", jnp.arange(count), frames=FRAMES, size=size))
        shapes = np.array(clips.ids > 0)
        camera = ~shapes & (clips.facts.camera > 0)[:, None, None, None]
        shapes[:, 0] = camera[:, 0] = False  # the first frame has no motion
        masks = {"shapes": shapes, "camera": camera}
        for kind, name in enumerate(sprites.BACKGROUNDS):
            masks[name] = camera & (clips.facts.background == kind)[:, None, None, None]
        return cls(np.asarray(clips.frames), np.asarray(clips.motion), masks)


def block_means(motion: np.ndarray, side: int) -> np.ndarray:
    """Return the motion with each block replaced by its mean."""
    *clips, height, width, _ = motion.shape
    blocks = motion.reshape(*clips, height // side, side, width // side, side, 2).mean((-4, -2))
    return blocks.repeat(side, -3).repeat(side, -2)


def row(truth: GroundTruth, name: str, motion: np.ndarray) -> None:
    """Print a row of the table."""
    height, width = truth.frames.shape[2:4]
    error = np.linalg.norm(motion - truth.motion, axis=-1)
    errors = [f"{error[where].mean():.2f}" if where.any() else "" for where in truth.masks.values()]
    print("| " + " | ".join([f"{height}x{width}", name, *errors]) + " |", flush=True)


if __name__ == "__main__":
    main()
