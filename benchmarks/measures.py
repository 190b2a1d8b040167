"""How good the measures of evaluation are: each on true clips of the sprite world, and on clips paired at random.

    python -m benchmarks.measures

Of the first test clips. Each clip is scored against its own truth, and against that of the next clip, which is what a
video scores that has nothing to do with its condition. For motion, resting stands beside them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.data import sprites
from vcjax.evaluation import maps, motion, objects, pictures
from vcjax.evaluation.perception import rank_correlation

CLIPS = 64


def another(values: np.ndarray) -> np.ndarray:
    return np.roll(values, 1, axis=0)


def row(name: str, true, paired) -> None:
    print(f"| {name} | {np.mean(true):.3f} | {np.mean(paired):.3f} |", flush=True)


def main() -> None:
    clips = jax.device_get(sprites.batch("test", jnp.arange(CLIPS)))
    facts, depth, outline = clips.facts, clips.depth[..., 0], clips.outline[..., 0] > 0.5
    first, last, every = clips.frames[:, 0], clips.frames[:, -1], np.arange(CLIPS)
    print("| measure | true | another clip |")
    print("| --- | --- | --- |")

    found = objects.object_of(clips.frames, facts.colour[:, 0])
    track, visible = objects.centres(found), objects.centres(clips.mask[..., 0])
    alone = facts.count == 1
    error, other = objects.path_error(track, clips.track), objects.path_error(track, another(clips.track))
    row("path error against the track, pixels", error, other)
    row("the same, clips of one object", np.asarray(error)[alone], np.asarray(other)[alone])
    row(
        "path error against the centre of what is visible",
        objects.path_error(track, visible),
        objects.path_error(track, another(np.asarray(visible))),
    )
    direction, wanted = objects.direction(track), facts.direction[:, 0]
    row("direction told", direction == wanted, direction == another(wanted))
    overlaps, wanted = np.asarray(objects.shape_overlaps(found)), facts.shape[:, 0]
    row("shape told", overlaps.argmax(-1) == wanted, overlaps.argmax(-1) == another(wanted))
    row("overlap with the shape", overlaps[every, wanted], overlaps[every, another(wanted)])
    paired = objects.object_of(clips.frames, another(facts.colour[:, 0]))
    row("colour there", objects.there(found).mean(-1), objects.there(paired).mean(-1))

    field = motion.motion_field(clips.frames)
    moving = facts.camera > 0
    chosen = {"all": every, "all, resting instead": every}
    chosen |= {
        f"moving camera, {b}": moving & (facts.background == i) for i, b in enumerate(sprites.BACKGROUNDS)
    }
    for name, which in chosen.items():
        estimate = field * 0 if name.endswith("instead") else field
        own = motion.end_point_error(estimate, clips.motion)
        other = motion.end_point_error(estimate, another(clips.motion))
        row(f"end-point error, {name}", np.asarray(own)[which], np.asarray(other)[which])

    row(
        "rank correlation of depth",
        [rank_correlation(a, a) for a in depth],
        [rank_correlation(a, b) for a, b in zip(depth, another(depth), strict=True)],
    )
    seen = objects.objects(clips.frames)
    row(
        "overlap of objects and near",
        maps.overlap(seen, maps.near(depth)),
        maps.overlap(seen, maps.near(another(depth))),
    )
    lines = maps.borders(objects.colour_map(clips.frames))
    row("F-score of borders of colours", maps.f_score(lines, outline), maps.f_score(lines, another(outline)))

    for name, measure in {
        "PSNR of first and last frame, dB": pictures.psnr,
        "SSIM of first and last frame": pictures.ssim,
        "palette distance of first and last frame": pictures.palette_distance,
        "texture distance of first and last frame": pictures.texture_distance,
    }.items():
        row(name, measure(first, last), measure(first, another(last)))


if __name__ == "__main__":
    main()
