"""Sharding of one clip over devices: FLOPs and communication per device, from the compiled program.

    python -m benchmarks.sharding                    # the released size on 1 and 8 simulated devices (slow)
    python -m benchmarks.sharding --width 32 --devices 1 2 4 8

Nothing is run. One forward pass of the UNet in bfloat16 for one clip of 16 frames, split over the mesh axis `frames`.
Attention is computed without a loop over blocks, since the compiler counts a loop's body once. `of ideal` is
a device's FLOPs over those of the first row divided by the number of devices; `MB exchanged` is what each
device sends or receives in a pass.
"""

import argparse
import os
import time
from typing import Any

COLUMNS = (
    "devices",
    "GFLOP/device",
    "of ideal",
    "MB exchanged",
    "by collective",
    "compile s",
)
LATENT, TOKENS, TOKEN_WIDTH = (1, 16, 32, 32), 77, 1024
FAST = {  # the program is not run, so its machine code need not be fast
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 8], help="numbers of devices")
    parser.add_argument("--width", type=int, default=320, help="channels of the UNet's first level")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"

    import jax

    jax.config.update("jax_num_cpu_devices", max(options.devices))
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    total = None
    for count in options.devices:
        began = time.perf_counter()
        cost = forward(options.width, count)
        total = total or cost.operations * count
        kinds = [f"{t.count} {kind} {t.bytes / 1e6:.1f}" for kind, t in cost.traffic.items() if t.bytes]
        row = (
            str(count),
            f"{cost.operations / 1e9:.1f}",
            f"{cost.operations * count / total:.3f}",
            f"{sum(t.bytes for t in cost.traffic.values()) / 1e6:.1f}",
            ", ".join(kinds) or "none",
            f"{time.perf_counter() - began:.0f}",
        )
        print("| " + " | ".join(row) + " |", flush=True)


def forward(width: int, count: int) -> Any:
    """Return the cost of a forward pass on a number of devices."""
    import jax
    import jax.numpy as jnp

    from vcjax.models.layout import Layout
    from vcjax.models.unet import UNet
    from vcjax.parallel.mesh import MeshShape, make_mesh, replicated
    from vcjax.planning.cost import cost_of

    mesh = make_mesh(MeshShape(frames=count), jax.devices()[:count])

    def array(*shape: int, dtype: Any = jnp.bfloat16) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(mesh))

    unet = UNet(base_channels=width, attention="plain", dtype=jnp.bfloat16)
    inputs = (
        array(*LATENT, 4),
        array(1),
        array(*LATENT, 8),
        array(1, TOKENS, TOKEN_WIDTH),
        array(1, TOKENS, dtype=bool),
    )
    shapes = jax.eval_shape(unet.init, jax.eval_shape(lambda: jax.random.key(0)), *inputs)
    parameters = jax.tree.map(lambda x: array(*x.shape), shapes)
    laid_out = unet.clone(layout=Layout(mesh))
    return cost_of(jax.jit(laid_out.apply).lower(parameters, *inputs).compile(compiler_options=FAST))


if __name__ == "__main__":
    main()
