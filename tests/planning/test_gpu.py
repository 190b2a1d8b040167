"""Plans for GPUs: what the text of a program says of its kernels, and, where JAX's plugin for CUDA is installed, that the
released model compiles and what it moves."""

import importlib.util

import pytest
from typer.testing import CliRunner

from vcjax.cli.app import app
from vcjax.errors import BadInput
from vcjax.planning import kernels
from vcjax.planning.compile import PlanRequest, Report, compile_in_subprocess
from vcjax.planning.gpus import GPUS
from vcjax.planning.topology import environment_of, topology_of
from vcjax.training.config_files import plain, read_config

GIGA = 1e9
PROGRAM = """
HloModule jit_f

%fused_product (p0: bf16[128,64], p1: bf16[64,32]) -> bf16[128,32] {
  %p0 = bf16[128,64]{1,0} parameter(0)
  %p1 = bf16[64,32]{1,0} parameter(1)
  ROOT %d = bf16[128,32]{1,0} dot(%p0, %p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%fused_slice (p0.1: bf16[128,32]) -> bf16[128,8] {
  %p0.1 = bf16[128,32]{1,0} parameter(0)
  %s = bf16[128,8]{1,0} slice(%p0.1), slice={[0:128], [0:8]}
  ROOT %n = bf16[128,8]{1,0} negate(%s)
}

%body (t: (s32[], bf16[128,64])) -> (s32[], bf16[128,64]) {
  %t = (s32[], bf16[128,64]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = bf16[128,64]{1,0} get-tuple-element(%t), index=1
  %w = bf16[64,32]{1,0} constant({...})
  %y = bf16[128,32]{1,0} fusion(%x, %w), kind=kCustom, calls=%fused_product, metadata={op_name="jit(f)/a/dot_general"}
  %z = bf16[128,8]{1,0} fusion(%y), kind=kLoop, calls=%fused_slice, metadata={op_name="jit(f)/b/neg"}
  %g = bf16[128,16]{1,0} custom-call(%x, %w, %w), custom_call_target="__gpu$xla.gpu.triton", metadata={op_name="jit(f)/geglu/pallas_call"}
  ROOT %r = (s32[], bf16[128,64]{1,0}) tuple(%i, %x)
}

%condition (c: (s32[], bf16[128,64])) -> pred[] {
  %c = (s32[], bf16[128,64]{1,0}) parameter(0)
  ROOT %p = pred[] constant(true)
}

ENTRY %main (a: bf16[128,64]) -> bf16[128,64] {
  %a = bf16[128,64]{1,0} parameter(0)
  %q = bf16[2,8,8,32]{3,2,1,0} parameter(1)
  %k = bf16[16,3,3,32]{3,2,1,0} parameter(2)
  %h = bf16[2,64,5,16]{3,2,1,0} parameter(3)
  %m = bf16[2,78,5,16]{3,2,1,0} parameter(4)
  %zero = s32[] constant(0)
  %init = (s32[], bf16[128,64]{1,0}) tuple(%zero, %a)
  %loop = (s32[], bf16[128,64]{1,0}) while(%init), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %conv = (bf16[2,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%q, %k), custom_call_target="__cudnn$convForward", dim_labels=b01f_o01i->b01f
  %f = (bf16[2,5,64,16]{3,2,1,0}, u8[0]{0}) custom-call(%h, %m, %m), custom_call_target="__cudnn$fmhaSoftmax"
  ROOT %out = bf16[128,64]{1,0} get-tuple-element(%loop), index=1
}
"""


def test_kernels_of_a_program():
    product, sliced, geglu, *_ = kernels.kernels_of(PROGRAM)
    assert (product.kind, product.name, product.count) == ("product", "jit(f)/a/dot_general", 3)
    assert product.bytes == 2 * (128 * 64 + 64 * 32 + 128 * 32)
    assert product.flops == 2 * 128 * 64 * 32
    assert (sliced.kind, sliced.bytes) == ("pointwise", 2 * 2 * 128 * 8)  # it reads a quarter of its operand
    assert (geglu.kind, geglu.flops) == ("geglu", 2 * 2 * 128 * 16 * 64)
    assert product.seconds(bandwidth=1e9, rate=1e15) == pytest.approx(3 * product.bytes / 1e9)
    assert product.seconds(bandwidth=1e15, rate=1e9) == pytest.approx(3 * product.flops / 1e9)
    found = kernels.totals([product, sliced, geglu], 1e12, 1e12)
    assert found["product"].kernels == 3
    assert kernels.total([product, sliced], 1e12, 1e12).bytes == 3 * (product.bytes + sliced.bytes)


def test_operations_of_a_convolution_and_of_attention():
    *_, convolution, attention = kernels.kernels_of(PROGRAM)
    assert (convolution.kind, attention.kind) == ("convolution", "attention")
    assert convolution.flops == 2 * (2 * 8 * 8 * 16) * (3 * 3 * 32)
    assert attention.flops == 4 * (2 * 64 * 5 * 16) * 78


@pytest.mark.parametrize("name", GPUS)
def test_gpus_are_topologies_with_all_that_xla_asks_for(name):
    topology = topology_of(f"{name}:8")
    assert (topology.platform, topology.count, topology.chip) == ("gpu", 8, GPUS[name])
    text = GPUS[name].target_config()
    for field in ("core_count: ", "memory_bandwidth: ", "cuda_compute_capability {", 'platform_name: "CUDA"'):
        assert field in text
    assert "--xla_gpu_autotune_level=0" in environment_of(topology)["XLA_FLAGS"]
    assert 20e9 < GPUS[name].memory < 200e9


@pytest.mark.skipif(importlib.util.find_spec("jax_cuda13_plugin") is not None, reason="the plugin is here")
def test_a_missing_compiler_is_named():
    done = CliRunner().invoke(app, ["plan", "--config=smoke", "--topology=h100:1"])
    assert isinstance(done.exception, BadInput)
    assert "pip install 'vcjax[cuda]'" in str(done.exception)


def planned(*arguments, program="sampler", topology="h100:1"):
    """Return the report of a program of the released model."""
    config = plain(read_config(["--config=videocomposer", "--config.stages[1].batch_size=1", *arguments])[0])
    report = compile_in_subprocess(PlanRequest(config, topology, 1, program))
    assert isinstance(report, Report), report
    return report


def per_step(report):
    """Return kernels, GB and milliseconds per sampling step, at 3.0 TB/s and 800 TFLOP/s."""
    total = kernels.total(report.kernels, 3.0e12, 800e12)
    return total.kernels / report.steps, total.bytes / report.steps / GIGA, 1e3 * total.seconds / report.steps


gpu = pytest.mark.gpu


@gpu
def test_a_guided_step_of_the_released_model_on_an_h100():
    report = planned()
    count, gigabytes, milliseconds = per_step(report)
    assert count <= 1300
    assert gigabytes <= 36
    assert milliseconds <= 18
    assert report.cost.device_bytes < 3.2 * GIGA
    kinds = {kernel.kind for kernel in report.kernels}
    assert kinds >= {"attention", "geglu", "group_norm", "layer_norm", "frame_attention"}
    assert "transpose" not in kinds  # of weights, or between spatial and temporal layers


@gpu
@pytest.mark.parametrize(
    "change",
    [
        ("--config.compute_dtype=float32",),
        ("--config.model.clip.height=192", "--config.model.clip.width=320"),  # 24x40 latents
    ],
)
def test_other_types_and_sizes_compile(change):
    assert per_step(planned(*change))[0] < 2500


@gpu
@pytest.mark.parametrize("topology", ["a100-40:1", "b200:1", "rtx-4090:1"])
def test_other_generations_compile(topology):
    assert per_step(planned(topology=topology))[0] <= 1400


@gpu
def test_two_gpus_share_a_batch():
    report = planned("--config.stages[1].batch_size=2", "--config.mesh.data=2", topology="h100:2")
    assert per_step(report)[0] <= 1400


@gpu
@pytest.mark.parametrize("program", ["text", "vision", "stc/mask", "encoder", "decoder"])
def test_the_other_programs_compile(program):
    report = planned(program=program)
    assert report.cost.device_bytes < 2 * GIGA
    assert report.kernels


@gpu
def test_a_training_step_of_the_released_model_fits_a_card_of_80_gb():
    report = planned(program="training")
    assert report.cost.device_bytes < GPUS["h100"].memory
