"""What only an accelerator can show: correctness first, then speed, in at most eight minutes on one GPU.

    python -m benchmarks.device                   # writes outputs/device.json and outputs/device.md after each part
    python -m benchmarks.device --rehearse        # tiny sizes, on any machine: that every part runs

It needs what the library needs, and no network. Parts:

    kernels     each kernel of `vcjax.kernels` against its plain form: largest difference, milliseconds of both
    rates       measured matrix rate in bfloat16 and memory bandwidth, which shares below refer to
    sampler     a guided step and a video of 50 steps at the released size in bfloat16
    precision   that step in bfloat16 and in float32 against float32 on the CPU, random weights
    tiny        training of the built-in model: clips per second, MFU
    released    training step of the released model, one clip
    profile     the ten costliest kernels of a guided step
    original    the PyTorch original, eager and compiled, where `modelscope` and `torch` are installed

A part that fails is reported with its reason, the others run, and the exit code is 1.
"""

import argparse
import functools
import importlib.util
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.results import Results, milliseconds, peak_memory
from vcjax.composer.compiled import STEPS_PER_CALL, decode, sample_chunk
from vcjax.composer.denoising import Passes
from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.guidance import guided
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.schedule import Schedule
from vcjax.kernels.frame_attention import frame_attention, plain_frame_attention
from vcjax.kernels.geglu import geglu, plain_geglu
from vcjax.kernels.group_norm import group_norm, plain_group_norm
from vcjax.kernels.layer_norm import add_layer_norm, plain_add_layer_norm
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.unet import UNet
from vcjax.parallel.flops import count
from vcjax.parallel.matmul_rate import matmul_flops
from vcjax.parallel.placement import place
from vcjax.platforms import platform
from vcjax.weights.networks import Networks, apply, random_parameters

GUIDANCE, STEPS = 9.0, 50
SMALL = {
    "channel_multipliers": (1, 2),
    "attention_levels": (0,),
    "num_res_blocks": 1,
    "base_channels": 64,
    "head_dim": 16,
}


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on any machine")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs"), help="folder of the results [default: outputs]"
    )
    parser.add_argument("--parts", nargs="+", help="only these parts")
    options = parser.parse_args()
    if platform() == "cpu" and not options.rehearse:
        parser.error("there is no accelerator: give --rehearse to try the script on a CPU")
    small, results = options.rehearse, Results(options.out)
    device = jax.local_devices()[0]
    results.run("machine", lambda: {"device": device.device_kind, "jax": jax.__version__, "rehearsal": small})
    parts = {
        "kernels": functools.partial(kernels, small),
        "rates": functools.partial(rates, small),
        "sampler": functools.partial(sampler, small, results),
        "precision": functools.partial(precision, small),
        "tiny": functools.partial(training, small, results, "tiny"),
        "released": functools.partial(training, small, results, "released"),
        "profile": functools.partial(profile, small),
        "original": functools.partial(original, small),
    }
    for name in options.parts or parts:
        if name not in parts:
            parser.error(f"--parts must be some of {', '.join(parts)}, not {name!r}")
        results.run(name, parts[name])
    sys.exit(1 if results.failed else 0)


def random(*shapes: tuple[int, ...]) -> list[jax.Array]:
    """Return normal arrays in bfloat16."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(k, s).astype(jnp.bfloat16) for k, s in zip(keys, shapes, strict=True)]


def kernels(small: bool) -> dict[str, Any]:
    """Compare the kernels with their plain forms, at the shapes of the first level of the released network."""
    rows, channels = (512, 64) if small else (32768, 320)
    frames, pixels, heads = (16, rows // 32, channels // 64)
    x, added = random((rows, channels), (rows, channels))
    (vector,) = random((channels,))
    weights, bias = random((channels, 8 * channels), (8 * channels,))
    weights = weights / channels**0.5
    clip = x.reshape(2, frames, pixels, channels)
    queries = random(*[(2, frames, pixels, heads, 64)] * 3)
    normed = {"epsilon": 1e-5}, {"groups": 32, "epsilon": 1e-5, "silu": True}
    cases: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
        "layer norm": (*_with(normed[0], add_layer_norm, plain_add_layer_norm), (x, added, vector, vector)),
        "group norm": (*_with(normed[1], group_norm, plain_group_norm), (clip, vector, vector)),
        "geglu": (geglu, plain_geglu, (x, weights, bias)),
        "frame attention": (frame_attention, plain_frame_attention, tuple(queries)),
    }
    found: dict[str, Any] = {}
    for name, (fused, plain, inputs) in cases.items():
        if platform() == "cpu":  # the kernels are for GPUs; `tests/kernels` runs them in an interpreter
            fused = plain
        ours, plainly = jax.jit(fused), jax.jit(plain)
        wide = plainly(*jax.tree.map(lambda a: a.astype(jnp.float32), inputs))
        pairs = zip(jax.tree.leaves(ours(*inputs)), jax.tree.leaves(wide), strict=True)
        found[f"{name}, largest difference"] = max(
            float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs
        )
        found[f"{name}, ms"] = round(milliseconds(lambda f=ours, i=inputs: f(*i)), 4)
        found[f"{name}, plain, ms"] = round(milliseconds(lambda f=plainly, i=inputs: f(*i)), 4)
    return found


def _with(options: dict[str, Any], *functions: Any) -> list[Any]:
    return [functools.partial(function, **options) for function in functions]


def rates(small: bool) -> dict[str, Any]:
    """Measure matrix rate and bandwidth."""
    x = jnp.ones(2**20 if small else 2**30, jnp.bfloat16)
    double = jax.jit(lambda x: x * 2)
    return {
        "TFLOP/s, bfloat16": round(matmul_flops("bfloat16") / 1e12, 3),
        "TB/s": round(2 * x.nbytes / milliseconds(lambda: double(x)) / 1e9, 4),
    }


def networks(small: bool, dtype: str) -> Networks:
    """Return the networks of the released model, or smaller ones."""
    if not small:
        return Networks().with_dtype(jnp.dtype(dtype))
    return Networks(
        unet=UNet(**SMALL), autoencoder=Autoencoder(base_channels=32, channel_multipliers=(1, 2, 2, 2))
    ).with_dtype(jnp.dtype(dtype))


@functools.cache
def host_parameters(small: bool, component: str) -> Any:
    """Return random parameters in host memory."""
    shapes = networks(small, "float32").shapes({}, {"style": 1024}, [component])[component]
    return random_parameters(shapes, 0)


def on_device(small: bool, component: str, dtype: str) -> Any:
    """Return parameters on the device, as a loaded model has them."""

    def put(path: Any, x: np.ndarray) -> jax.Array:
        return place(f"{component}/{jax.tree_util.keystr(path)}", np.asarray(x, jnp.dtype(dtype)))

    return jax.tree.map_with_path(put, host_parameters(small, component))


def inputs(small: bool, dtype: str) -> tuple[Any, ...]:
    """Return a latent, keys, maps, tokens and key mask of two branches."""
    made, rng = networks(small, dtype), np.random.default_rng(0)
    side, length = (8 if small else 32), made.text.context_length + 1
    z = rng.standard_normal((1, 16, side, side, made.unet.latent_channels))
    maps = rng.standard_normal((2, 16, side, side, made.stc.out_channels))
    tokens = rng.standard_normal((2, length, made.tokens.token_dim))
    arrays = (jnp.asarray(a, jnp.float32) for a in (z, maps, tokens))
    return (*arrays, jnp.ones((2, length), bool))


def sampling_call(small: bool) -> tuple[Callable[[Any], Any], Any]:
    """Return a call of the sampler, of `STEPS_PER_CALL` guided steps in bfloat16, and its first state."""
    made, parameters = networks(small, "bfloat16"), on_device(small, "unet", "bfloat16")
    z, maps, tokens, mask = inputs(small, "bfloat16")
    rows, *_ = sampling_steps(DDIM(), Schedule(), STEPS, prediction="epsilon").chunks(STEPS_PER_CALL)
    keys, weights = jax.random.split(jax.random.key(0), 1), jnp.full(1, GUIDANCE)

    def call(state: Any) -> Any:
        given = (maps, tokens, mask, weights)
        return sample_chunk(DDIM(), made.unet, Passes(), parameters, state, rows, keys, *given)[0]

    return call, z


def sampler(small: bool, results: Results) -> dict[str, Any]:
    """Time guided steps, and a video of 50 of them with its decoding."""
    call, z = sampling_call(small)
    began = time.perf_counter()
    jax.block_until_ready(call(z))
    compiling = time.perf_counter() - began
    step = milliseconds(lambda: call(z)) / STEPS_PER_CALL
    made, parameters = networks(small, "bfloat16"), on_device(small, "autoencoder", "bfloat16")

    def video() -> Any:
        state = z
        for _ in range(STEPS // STEPS_PER_CALL):
            state = call(state)
        return decode(made.autoencoder, parameters, state[0])

    operations = step_operations(small)
    found = {
        "compiling, s": round(compiling, 1),
        "ms per guided step": round(step, 3),
        "seconds per video of 50 steps": round(milliseconds(video, 1 if small else 2) / 1e3, 3),
        "TFLOP per guided step": round(operations / 1e12, 3),
        "peak memory, GB": peak_memory(),
    }
    if rate := results.parts.get("rates", {}).get("TFLOP/s, bfloat16"):
        found["share of the matrix rate"] = round(operations / 1e9 / step / rate, 3)
    return found


def step_operations(small: bool) -> float:
    """Return the operations of a guided step."""
    made = networks(small, "bfloat16")
    return count(jax.jit(functools.partial(guided_step, made.unet)).trace(*step_arguments(small, "bfloat16")))


def step_arguments(small: bool, dtype: str) -> tuple[Any, ...]:
    """Return the shapes of the arguments of `guided_step`."""
    parameters = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jnp.dtype(dtype)), host_parameters(small, "unet")
    )
    return parameters, *jax.eval_shape(lambda: inputs(small, dtype))


def guided_step(unet: UNet, parameters: Any, z: Any, maps: Any, tokens: Any, mask: Any) -> Any:
    """Return the guided prediction at one timestep."""
    predict = guided(lambda z, t: apply(unet, parameters, z, t, maps, tokens, mask), jnp.full(1, GUIDANCE))
    return predict(z, jnp.full(1, 500, jnp.int32))


def precision(small: bool) -> dict[str, Any]:
    """Compare a guided step with float32 on the CPU: std of the difference over that of the output."""
    cpu = jax.local_devices(backend="cpu")[0]

    def run(dtype: str) -> np.ndarray:
        unet = networks(small, dtype).unet
        arguments = (on_device(small, "unet", dtype), *inputs(small, dtype))
        return np.asarray(jax.jit(functools.partial(guided_step, unet))(*arguments), np.float64)

    with jax.default_device(cpu):
        right = run("float32")
    found = {}
    for dtype in ("bfloat16", "float32"):
        found[f"{dtype} against the CPU"] = float((run(dtype) - right).std() / right.std())
    return found


def training(small: bool, results: Results, size: str) -> dict[str, Any]:
    """Time a training step of stage two, on arrays of one number."""
    from configs import sprites, videocomposer
    from vcjax.parallel.mesh import one_device
    from vcjax.planning.programs import training_program
    from vcjax.training.config import run_from_config
    from vcjax.training.config_files import plain

    config: Any = (sprites if small or size == "tiny" else videocomposer).get_config()
    clips = 2 if small else {"tiny": 64, "released": 1}[size]
    config.stages[1].batch_size = clips
    config.compute_dtype = "float32" if platform() == "cpu" else "bfloat16"
    config.sprites = {"fixed_clips": 1}  # cached latents, as of a prepared data set
    program = training_program(run_from_config(plain(config)), one_device(), 1)
    operations = count(program.function.trace(*program.inputs))
    state, *others = jax.tree.map(_filled, program.inputs)
    times = []
    for _ in range(3 if small else 8):
        began = time.perf_counter()
        state, metrics = program.function(state, *others)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - began)
    seconds = min(times[1:])
    found = {
        "batch": clips,
        "ms per step": round(1e3 * seconds, 2),
        "clips per second": round(clips / seconds, 2),
        "compiling and first step, s": round(times[0], 1),
        "peak memory, GB": peak_memory(),
    }
    if rate := results.parts.get("rates", {}).get("TFLOP/s, bfloat16"):
        found["MFU"] = round(operations / seconds / (rate * 1e12), 3)
    return found


def _filled(x: Any) -> jax.Array:
    """Return an array of a shape, sharded as it says: floating-point numbers are 0.01, others 0."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), x.shape)
    number = 0.01 if jnp.issubdtype(x.dtype, jnp.floating) else 0
    return jax.device_put(jnp.full(x.shape, number, x.dtype), x.sharding)


def profile(small: bool) -> dict[str, Any]:
    """Profile a call of the sampler: time of the ten costliest kernels, per guided step."""
    call, z = sampling_call(small)
    jax.block_until_ready(call(z))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(call(z))
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    spent: dict[str, float] = defaultdict(float)
    for plane in planes:
        if small or plane.name.startswith("/device:"):
            for line in plane.lines:
                for event in line.events:
                    spent[event.name] += event.duration_ns / 1e6 / STEPS_PER_CALL
    costliest = sorted(spent.items(), key=lambda item: -item[1])[:10]
    return {name[:100]: f"{ms:.3f} ms" for name, ms in costliest}


def original(small: bool) -> dict[str, Any]:
    """Time a guided step of the PyTorch original, which calls its network once for each branch."""
    needed = ("torch", "modelscope", "pytest")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        return {"skipped": f"{' and '.join(missing)} not installed"}
    import torch

    from tests.parity import originals

    unet = originals.unet_like(UNet(**SMALL) if small else UNet())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    unet = unet.to(device, dtype).eval()
    side = 8 if small else 32
    z = torch.randn(1, 4, 16, side, side, device=device, dtype=dtype)
    text = torch.randn(1, 77, 1024, device=device, dtype=dtype)
    style = torch.randn(1, 1, 1024, device=device, dtype=dtype)
    t = torch.full((1,), 500, device=device)

    def guided_step(network: Any) -> None:
        with torch.no_grad():
            first, second = (network(z, t, y=text, image=style) for _ in range(2))
            (second + GUIDANCE * (first - second)).float().cpu()

    found = {"eager, ms per guided step": round(milliseconds(lambda: guided_step(unet)), 2)}
    if not small:
        compiled = torch.compile(unet)
        found["compiled, ms per guided step"] = round(milliseconds(lambda: guided_step(compiled)), 2)
    return found


if __name__ == "__main__":
    main()
