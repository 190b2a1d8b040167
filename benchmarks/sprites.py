"""How fast the sprite world is rendered: clips a second, frames alone and with all truth, by batch.

    python -m benchmarks.sprites

Best of some runs; the machine should be idle. `sprites.batch` renders all clips of a batch at once (vmap); the same
one after the other (`lax.map`) stands beside it.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vcjax.data import sprites

RUNS = 10
BATCHES = (16, 64)


def at_once(indices: jax.Array) -> sprites.Sprites:
    return sprites.batch("train", indices)


def one_after_the_other(indices: jax.Array) -> sprites.Sprites:
    return jax.lax.map(lambda n: sprites.render(sprites.scene("train", n)), indices)


def clips_a_second(render: Callable, count: int) -> float:
    program = jax.jit(render)
    seconds = []
    for run in range(RUNS + 1):  # the first one compiles
        indices = jnp.arange(count) + run * count
        start = time.perf_counter()
        jax.block_until_ready(program(indices))
        seconds.append(time.perf_counter() - start)
    return count / min(seconds[1:])


def main() -> None:
    print(f"clips of 16 frames of 64x64 a second on {jax.devices()[0].device_kind}\n")
    print("| what | batch | at once (vmap) | one after the other (map) | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for count in BATCHES:
        for what, part in [
            ("frames", lambda clips: clips.frames),
            ("frames and all truth", lambda clips: clips),
        ]:
            together, apart = (
                clips_a_second(lambda indices, of=of, part=part: part(of(indices)), count)
                for of in (at_once, one_after_the_other)
            )
            print(f"| {what} | {count} | {together:.0f} | {apart:.0f} | {together / apart:.1f} |", flush=True)


if __name__ == "__main__":
    main()
