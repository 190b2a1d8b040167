"""Rendering speed of the sprite world: clips/s by batch size, for frames only and with all ground truth.

    python -m benchmarks.sprites

The fastest of several runs counts; the machine should be idle. `vmap` is `sprites.batch`, which renders all
clips of a batch at once; `lax.map` renders them one by one.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vcjax.data import sprites

RUNS = 10
BATCHES = (16, 64)


def with_vmap(indices: jax.Array) -> sprites.Sprites:
    return sprites.batch("train", indices)


def with_map(indices: jax.Array) -> sprites.Sprites:
    return jax.lax.map(lambda n: sprites.render(sprites.scene("train", n)), indices)


def clips_per_second(render: Callable, count: int) -> float:
    program = jax.jit(render)
    seconds = []
    for run in range(RUNS + 1):  # the first run compiles
        indices = jnp.arange(count) + run * count
        start = time.perf_counter()
        jax.block_until_ready(program(indices))
        seconds.append(time.perf_counter() - start)
    return count / min(seconds[1:])


def main() -> None:
    print(f"clips/s of 16 frames of 64x64 on {jax.devices()[0].device_kind}\n")
    print("| output | batch size | vmap | lax.map | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for count in BATCHES:
        for output, select in [
            ("frames", lambda clips: clips.frames),
            ("frames and ground truth", lambda clips: clips),
        ]:
            vmapped, mapped = (
                clips_per_second(lambda indices, of=of, select=select: select(of(indices)), count)
                for of in (with_vmap, with_map)
            )
            print(
                f"| {output} | {count} | {vmapped:.0f} | {mapped:.0f} | {vmapped / mapped:.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
