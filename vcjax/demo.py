"""`make demo`: a clip that the project renders itself, taken apart and put together again by the built-in model."""

import argparse
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import vcjax
from vcjax.conditions.preview import side_by_side
from vcjax.data import sprites

FOOTAGE, GUIDE = 0, 1  # clips of the sprite world's test split: what is composed, and what lends its motion


def main(out: Path) -> None:
    """Render footage, compose a video from each of several sets of conditions, and say where they lie."""
    started = time.monotonic()
    clips = sprites.batch("test", jnp.array([FOOTAGE, GUIDE]))
    text, _ = sprites.captions(clips.facts)
    composer = vcjax.load("tiny")
    shape = composer.clip_shape()
    footage, guide = (vcjax.Clip(np.asarray(frames), shape.fps) for frames in clips.frames)
    footage.save(out / "footage.mp4")
    guide.save(out / "guide.mp4")
    first = vcjax.Clip(footage.frames[:1], shape.fps)
    depth, lines = np.asarray(clips.depth[FOOTAGE]), np.asarray(clips.outline[FOOTAGE])
    tasks = {
        "text": {},
        "image": {"image": first},
        "single_sketch": {"single_sketch": lines[:1]},
        "sketch": {"sketch": lines},
        "depth": {"depth": depth},
        "motion_transfer": {"image": first, "motion": vcjax.extract(out / "guide.mp4")},
        "inpainting": {"mask": vcjax.extract(out / "footage.mp4")},
        "everything": {
            "image": first,
            "sketch": lines,
            "depth": depth,
            "motion": vcjax.extract(out / "footage.mp4"),
        },
    }
    print(f"footage: {text!r}")
    for name, given in tasks.items():
        maps: dict[str, Any] = composer.read(given, shape)
        result = composer(text=text, **maps)
        columns = {"footage": footage.frames, **composer.preview(maps, shape), "result": result.frames}
        side_by_side(columns, shape.fps).save(out / f"{name}.mp4")
        print(f"{out / name}.mp4: text{''.join(f' + {condition}' for condition in given)}")
    print(
        f"{len(tasks)} videos in {time.monotonic() - started:.0f} seconds, conditions on the left: {out.resolve()}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder to write to")
    main(parser.parse_args().out)
