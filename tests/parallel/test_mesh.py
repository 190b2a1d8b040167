"""Meshes, partition rules and batch shards: valid ones define the sharding, invalid ones are reported."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from tests.training.runs import MODEL
from vcjax.errors import BadInput
from vcjax.models.layout import Layout
from vcjax.parallel.batches import FULL_BATCH, process_shard, to_global_arrays
from vcjax.parallel.mesh import AXES, MeshShape, make_mesh, one_device
from vcjax.parallel.rules import RULES, check_rules, partition, partition_like
from vcjax.training.config import run_from_config
from vcjax.weights.networks import Networks


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    process_index: int = 0
    platform: str = "cpu"


def abstract_mesh(**sizes):
    """Return a mesh of devices that do not exist, to compute shardings for."""
    shape = [sizes.get(axis, 1) for axis in AXES]
    devices = [Device(i) for i in range(int(np.prod(shape)))]
    return Mesh(np.array(devices).reshape(shape), AXES)


def test_the_axis_of_size_minus_one_gets_the_remaining_devices():
    assert dict(make_mesh(MeshShape()).shape) == {"data": jax.device_count(), "fsdp": 1, "frames": 1}
    assert one_device().size == 1


@pytest.mark.parametrize(
    "sizes", [{"data": 3}, {"data": -1, "fsdp": -1}, {"frames": 0}, {"fsdp": 5, "data": 2}]
)
def test_invalid_mesh_sizes_are_reported(sizes):
    with pytest.raises(BadInput, match="mesh"):
        make_mesh(MeshShape(**sizes))


def test_the_first_matching_rule_applies_and_the_rest_is_replicated():
    kernels = {name: jnp.zeros((3, 3, 8, 16)) for name in ("first", "second")}
    tree = {
        "unet": {
            "first": {"kernel": kernels["first"], "bias": jnp.zeros(16)},
            "second": {"kernel": kernels["second"]},
        }
    }
    rules = (("first/kernel", ("fsdp", None)), ("kernel", (("fsdp", "frames"),)))
    found = partition(abstract_mesh(fsdp=4, frames=2), rules, tree)["unet"]
    assert found["first"]["kernel"].spec == PartitionSpec(None, None, ("fsdp",), None)
    assert found["second"]["kernel"].spec == PartitionSpec(None, None, None, ("fsdp", "frames"))
    assert found["first"]["bias"].spec == PartitionSpec()


def test_indivisible_axes_are_reported_by_name():
    tree = {"unet": {"head": {"kernel": jnp.zeros((8, 6))}}}
    with pytest.raises(BadInput, match=r"axis of 6 of unet/head/kernel \[8, 6\] over 4 devices"):
        partition(abstract_mesh(fsdp=4), (("kernel", ("fsdp",)),), tree)
    with pytest.raises(BadInput, match="names 3 axes"):
        partition(abstract_mesh(fsdp=2), (("kernel", ("fsdp", None, None)),), tree)


@pytest.mark.parametrize(
    "rule", ["kernel", ("kernel", "fsdp"), ("(", ("fsdp",)), ("a", ("model",)), ("a", ("fsdp", "fsdp"))]
)
def test_invalid_rules_are_reported(rule):
    with pytest.raises(BadInput, match=r"config.rules\[0\]"):
        check_rules([rule], "config.rules")


def test_the_rules_split_most_of_the_released_model():
    """Over 64 devices, the most that divide its widths, with less than 1 % of it replicated."""
    shapes = Networks().shapes({"depth": 1}, {"style": 1024}, ["unet", "stc", "tokens"])
    mesh = abstract_mesh(fsdp=64)
    shardings = partition(mesh, RULES, shapes)
    leaves = list(zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings), strict=True))
    replicated = sum(x.size for x, s in leaves if s.spec == PartitionSpec())
    assert len(leaves) > 500
    assert replicated < 0.01 * sum(x.size for x, _ in leaves)


def test_an_optimiser_state_is_sharded_like_its_parameters():
    parameters = {"a": {"kernel": jnp.zeros((4, 8))}, "b": {"kernel": jnp.zeros((8, 8))}}
    mesh = abstract_mesh(fsdp=4)
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
    assert len(split) == 2  # both moments of the trained parameter
    assert all(name.endswith("a/kernel") for name in split)


def test_a_single_process_loads_the_full_batch():
    assert process_shard(one_device()) == FULL_BATCH
    batch = {"x": np.arange(6)}
    assert to_global_arrays(one_device(), batch) is batch


@pytest.mark.parametrize(
    ("sizes", "shape", "message"),
    [
        ({"data": 2}, (3, 4), "3 clips"),
        ({"frames": 3}, (2, 4), "4 frames"),
        ({"data": 2, "frames": 2}, (2, 1), "2 images"),
    ],
)
def test_indivisible_batches_are_reported(sizes, shape, message):
    batch, frames = shape
    with pytest.raises(BadInput, match=message):
        Layout(abstract_mesh(**sizes)).for_batch(batch, frames)


def test_indivisible_pixels_are_reported():
    with pytest.raises(BadInput, match="2 pixels cannot be shared by 4 devices"):
        Layout(abstract_mesh(frames=4)).shard_pixels(jnp.zeros((1, 4, 2, 8)))


def test_a_mesh_and_rules_can_be_configured():
    table = {
        "task": "line",
        "model": MODEL,
        "out": "nowhere",
        "stages": [{"name": "only", "steps": 1, "batch_size": 1}],
    }
    run = run_from_config(
        {**table, "mesh": {"fsdp": 4, "frames": 2}, "rules": [["kernel", [["fsdp", "frames"], None]]]}
    )
    assert run.mesh == MeshShape(data=-1, fsdp=4, frames=2)
    for wrong in ({"mesh": {"model": 2}}, {"rules": [["kernel", ["model"]]]}):
        with pytest.raises(BadInput, match="config"):
            run_from_config({**table, **wrong})
