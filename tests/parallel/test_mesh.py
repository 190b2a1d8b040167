"""Meshes, partition rules and shares of a batch: what fits is laid out as said, and what does not fit is told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from vcjax.errors import BadInput
from vcjax.models.layout import Layout
from vcjax.parallel.batches import WHOLE, assembled, share
from vcjax.parallel.mesh import AXES, MeshShape, make_mesh, one_device
from vcjax.parallel.rules import RULES, check_rules, partition, partition_like
from vcjax.training.config import run_from
from vcjax.weights.networks import Networks


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    process_index: int = 0
    platform: str = "cpu"


def imagined(**sizes):
    """A mesh of devices that nothing is run on, to lay arrays out for."""
    shape = [sizes.get(axis, 1) for axis in AXES]
    devices = [Device(i) for i in range(int(np.prod(shape)))]
    return Mesh(np.array(devices).reshape(shape), AXES)


def test_the_rest_goes_to_the_axis_that_says_so():
    assert dict(make_mesh(MeshShape()).shape) == {"data": jax.device_count(), "fsdp": 1, "frames": 1}
    assert one_device().size == 1


@pytest.mark.parametrize(
    "sizes", [{"data": 3}, {"data": -1, "fsdp": -1}, {"frames": 0}, {"fsdp": 5, "data": 2}]
)
def test_sizes_that_make_no_mesh_are_told(sizes):
    with pytest.raises(BadInput, match="mesh"):
        make_mesh(MeshShape(**sizes))


def test_the_first_rule_that_fits_decides_and_the_rest_is_whole():
    kernels = {name: jnp.zeros((3, 3, 8, 16)) for name in ("first", "second")}
    tree = {
        "unet": {
            "first": {"kernel": kernels["first"], "bias": jnp.zeros(16)},
            "second": {"kernel": kernels["second"]},
        }
    }
    rules = (("first/kernel", ("fsdp", None)), ("kernel", (("fsdp", "frames"),)))
    found = partition(imagined(fsdp=4, frames=2), rules, tree)["unet"]
    assert found["first"]["kernel"].spec == PartitionSpec(None, None, ("fsdp",), None)
    assert found["second"]["kernel"].spec == PartitionSpec(None, None, None, ("fsdp", "frames"))
    assert found["first"]["bias"].spec == PartitionSpec()


def test_what_does_not_divide_is_an_error_that_names_it():
    tree = {"unet": {"head": {"kernel": jnp.zeros((8, 6))}}}
    with pytest.raises(BadInput, match=r"axis of 6 of unet/head/kernel \[8, 6\] over 4 devices"):
        partition(imagined(fsdp=4), (("kernel", ("fsdp",)),), tree)
    with pytest.raises(BadInput, match="names 3 axes"):
        partition(imagined(fsdp=2), (("kernel", ("fsdp", None, None)),), tree)


@pytest.mark.parametrize(
    "rule", ["kernel", ("kernel", "fsdp"), ("(", ("fsdp",)), ("a", ("model",)), ("a", ("fsdp", "fsdp"))]
)
def test_rules_that_are_none_are_told(rule):
    with pytest.raises(BadInput, match=r"config.rules\[0\]"):
        check_rules([rule], "config.rules")


def test_the_rules_split_most_of_the_released_model():
    """Over 64 devices, the most that its widths divide, with less than 1 % of it whole on each."""
    shapes = Networks().shapes({"depth": 1}, {"style": 1024}, ["unet", "stc", "tokens"])
    mesh = imagined(fsdp=64)
    shardings = partition(mesh, RULES, shapes)
    leaves = list(zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings), strict=True))
    whole = sum(x.size for x, s in leaves if s.spec == PartitionSpec())
    assert len(leaves) > 500
    assert whole < 0.01 * sum(x.size for x, _ in leaves)


def test_an_optimiser_lies_as_its_parameters_do():
    parameters = {"a": {"kernel": jnp.zeros((4, 8))}, "b": {"kernel": jnp.zeros((8, 8))}}
    mesh = imagined(fsdp=4)
    shardings = partition(mesh, (("a/kernel", ("fsdp",)),), parameters)
    labels = {"a": {"kernel": "trained"}, "b": {"kernel": "frozen"}}
    state = optax.multi_transform({"trained": optax.adamw(1e-3), "frozen": optax.set_to_zero()}, labels).init(
        parameters
    )
    found = jax.tree.leaves_with_path(partition_like(mesh, state, parameters, shardings))
    split = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, s in found
        if s.spec != PartitionSpec()
    }
    assert len(split) == 2  # both moments of what is trained
    assert all(name.endswith("a/kernel") for name in split)


def test_one_process_makes_the_whole_batch_and_a_batch_must_divide():
    assert share(one_device()) == WHOLE
    batch = {"x": np.arange(6)}
    assert assembled(one_device(), batch) is batch


@pytest.mark.parametrize(
    ("sizes", "shape", "told"),
    [
        ({"data": 2}, (3, 4), "3 clips"),
        ({"frames": 3}, (2, 4), "4 frames"),
        ({"data": 2, "frames": 2}, (2, 1), "2 images"),
    ],
)
def test_clips_that_the_devices_cannot_share_are_told(sizes, shape, told):
    batch, frames = shape
    with pytest.raises(BadInput, match=told):
        Layout(imagined(**sizes)).suited(batch, frames)


def test_pixels_that_the_devices_cannot_share_are_told():
    with pytest.raises(BadInput, match="2 pixels cannot be shared by 4 devices"):
        Layout(imagined(frames=4)).by_pixels(jnp.zeros((1, 4, 2, 8)))


def test_a_mesh_and_rules_can_be_configured():
    table = {
        "task": "line",
        "model": {},
        "out": "nowhere",
        "stages": [{"name": "only", "steps": 1, "batch": 1}],
    }
    run = run_from(
        {**table, "mesh": {"fsdp": 4, "frames": 2}, "rules": [["kernel", [["fsdp", "frames"], None]]]}
    )
    assert run.mesh == MeshShape(data=-1, fsdp=4, frames=2)
    for wrong in ({"mesh": {"model": 2}}, {"rules": [["kernel", ["model"]]]}):
        with pytest.raises(BadInput, match="config"):
            run_from({**table, **wrong})
