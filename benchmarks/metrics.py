"""Accuracy of the evaluation metrics on rendered sprite-world clips, and their values for unrelated clips.

    python -m benchmarks.metrics

Each of the first test clips is scored against its own ground truth, and against that of the next clip, as a
video that is unrelated to its condition would be. For motion, the error of zero motion is printed too.
"""

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.data import sprites
from vcjax.evaluation import maps, motion, objects, pictures
from vcjax.evaluation.arrays import AnyArray
from vcjax.evaluation.perception import rank_correlation

CLIPS = 64


def next_clip(values: AnyArray) -> np.ndarray:
    """Return the values of the next clip for each clip."""
    return np.roll(np.asarray(values), 1, axis=0)


def row(name: str, own, unrelated) -> None:
    """Print a row of the table."""
    print(f"| {name} | {np.mean(own):.3f} | {np.mean(unrelated):.3f} |", flush=True)


def main() -> None:
    """Print the table."""
    clips = jax.device_get(sprites.batch("test", jnp.arange(CLIPS)))
    print("| metric | own clip | unrelated clip |")
    print("| --- | --- | --- |")
    object_rows(clips)
    motion_rows(clips)
    map_rows(clips)
    image_rows(clips)


def object_rows(clips: sprites.Sprites) -> None:
    """Print the rows of the metrics of objects."""
    facts, every = clips.facts, np.arange(CLIPS)
    mask = objects.mask_of_colour(clips.frames, facts.colour[:, 0])
    track, visible = objects.centroids(mask), objects.centroids(clips.mask[..., 0])
    single = facts.count == 1
    own = objects.trajectory_error(track, clips.track)
    unrelated = objects.trajectory_error(track, next_clip(clips.track))
    row("trajectory error, pixels", own, unrelated)
    row("trajectory error, clips with one object", np.asarray(own)[single], np.asarray(unrelated)[single])
    row(
        "trajectory error against the centroid of the visible part",
        objects.trajectory_error(track, visible),
        objects.trajectory_error(track, next_clip(visible)),
    )
    direction, target = objects.direction(track), facts.direction[:, 0]
    row("direction accuracy", direction == target, direction == next_clip(target))
    ious, target = np.asarray(objects.shape_ious(mask)), facts.shape[:, 0]
    row("shape accuracy", ious.argmax(-1) == target, ious.argmax(-1) == next_clip(target))
    row("IoU with the template of the shape", ious[every, target], ious[every, next_clip(target)])
    other = objects.mask_of_colour(clips.frames, next_clip(facts.colour[:, 0]))
    row("colour accuracy", objects.present(mask).mean(-1), objects.present(other).mean(-1))


def motion_rows(clips: sprites.Sprites) -> None:
    """Print the rows of the motion estimator."""
    field = motion.motion_field(clips.frames)
    moving = clips.facts.camera > 0
    every = np.arange(CLIPS)
    subsets = {"all": every, "all, zero motion": every}
    subsets |= {
        f"moving camera, {b}": moving & (clips.facts.background == i)
        for i, b in enumerate(sprites.BACKGROUNDS)
    }
    for name, which in subsets.items():
        estimate = field * 0 if name.endswith("zero motion") else field
        own = motion.end_point_error(estimate, clips.motion)
        unrelated = motion.end_point_error(estimate, next_clip(clips.motion))
        row(f"end-point error, {name}", np.asarray(own)[which], np.asarray(unrelated)[which])


def map_rows(clips: sprites.Sprites) -> None:
    """Print the rows of the metrics of maps."""
    depth, outline = clips.depth[..., 0], clips.outline[..., 0] > 0.5
    row(
        "depth rank correlation",
        [rank_correlation(a, a) for a in depth],
        [rank_correlation(a, b) for a, b in zip(depth, next_clip(depth), strict=True)],
    )
    mask = objects.object_mask(clips.frames)
    row(
        "foreground IoU",
        maps.iou(mask, maps.foreground(depth)),
        maps.iou(mask, maps.foreground(next_clip(depth))),
    )
    lines = maps.boundaries(objects.colour_map(clips.frames))
    row("F-score of lines", maps.f_score(lines, outline), maps.f_score(lines, next_clip(outline)))


def image_rows(clips: sprites.Sprites) -> None:
    """Print the rows of the image metrics."""
    first, last = clips.frames[:, 0], clips.frames[:, -1]
    for name, metric in {
        "PSNR of first and last frame, dB": pictures.psnr,
        "SSIM of first and last frame": pictures.ssim,
        "palette distance of first and last frame": pictures.palette_distance,
        "texture distance of first and last frame": pictures.texture_distance,
    }.items():
        row(name, metric(first, last), metric(first, next_clip(last)))


if __name__ == "__main__":
    main()
