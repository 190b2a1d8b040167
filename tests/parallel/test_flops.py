"""Counts of operations equal those computed by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from vcjax.models.unet import UNet
from vcjax.parallel.flops import count


def counted(function, *shapes):
    return count(jax.jit(function).trace(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)))


def conv(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_products_and_convolutions():
    assert counted(lambda a, b: jnp.sin(a @ b), (2, 3, 5), (5, 7)) == 2 * 2 * 3 * 5 * 7
    assert counted(conv, (1, 8, 8, 3), (3, 3, 3, 4)) == 2 * 64 * 9 * 3 * 4


def test_loops_branches_and_recomputation():
    def loop(a):
        return jax.lax.scan(lambda x, _: (x @ a, None), a, length=5)[0]

    def branch(a):
        return jax.lax.cond(a.sum() > 0, lambda: a @ a, lambda: a)

    assert counted(loop, (4, 4)) == 5 * 2 * 64
    assert counted(branch, (4, 4)) == 2 * 64

    def product(a):
        return (a @ a @ a).sum()

    assert counted(jax.grad(product), (4, 4)) < counted(jax.grad(jax.checkpoint(product)), (4, 4))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_with_its_gradients_has_three_times_the_operations(stride):
    """Input and kernel gradients have as many operations as the convolution, also with a stride of 2."""

    def loss(x, kernel):
        return (conv(x, kernel, stride) ** 2).sum()

    forward = counted(loss, (1, 8, 8, 3), (3, 3, 3, 4))
    assert counted(jax.grad(loss, (0, 1)), (1, 8, 8, 3), (3, 3, 3, 4)) == 3 * forward


def test_operations_are_summed_over_devices():
    mesh = AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("data")
    product = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=rows, out_specs=rows)
    assert counted(product, (8, 3)) == 4 * counted(lambda x: x @ x.T, (2, 3))


@pytest.mark.slow
def test_a_forward_pass_of_the_released_unet():
    """4.89 TFLOP at 16x32x32 latents with 77 tokens, counted in PyTorch for the original.

    The original recomputes the keys of the context for each of 16 frames, which this model does once: 1.1 % of it.
    """
    shapes = ((1, 16, 32, 32, 4), (1,), (1, 16, 32, 32, 8), (1, 77, 1024))
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    mask = jax.ShapeDtypeStruct((1, 77), bool)
    unet = UNet(attention="plain", dtype=jnp.bfloat16)  # in float32 a CPU uses Winograd, with fewer products
    parameters = jax.eval_shape(unet.init, jax.eval_shape(lambda: jax.random.key(0)), *inputs, mask)
    operations = count(jax.jit(unet.apply).trace(parameters, *inputs, mask))
    assert abs(operations / (0.989 * 4.89e12) - 1) < 0.005
