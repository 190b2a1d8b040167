import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.weights.folder import (
    check_file,
    file_of,
    read_component,
    read_config,
    write_component,
    write_config,
)
from vcjax.weights.networks import Networks, networks_from_config, networks_to_config, random_parameters
from vcjax.weights.safetensors_files import TYPES, map_tensors, release_pages, write_tensors
from vcjax.weights.trees import first_difference, flatten, unflatten

TREE = {
    "motion": {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}},
    "depth": {"conv": {"kernel": jnp.ones((2, 2), jnp.bfloat16)}, "norm": {"scale": np.float32([1, 2])}},
}


@pytest.fixture
def folder(tmp_path):
    entry = write_component(tmp_path, "stc", TREE)
    write_config(tmp_path, {"name": "test", "files": {"stc": entry}})
    return tmp_path


def test_components_are_read_back_bit_for_bit(folder):
    read = read_component(folder, read_config(folder), "stc")
    jax.tree.map(np.testing.assert_array_equal, read, TREE)
    assert read["depth"]["conv"]["kernel"].dtype == jnp.bfloat16
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "stc.safetensors"]


def test_a_prefix_is_read_in_another_type(folder):
    read = read_component(folder, read_config(folder), "stc", prefixes=("motion/",), dtype=jnp.bfloat16)
    assert list(read) == ["motion"]
    assert read["motion"]["conv"]["kernel"].dtype == jnp.bfloat16


def test_reading_to_a_sharding(folder):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    read = read_component(folder, read_config(folder), "stc", place=lambda _, x: jax.device_put(x, sharding))
    assert read["motion"]["conv"]["kernel"].sharding == sharding


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[-5:]
    else:
        data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("how", "message"), [("truncated", "bytes instead of"), ("flipped", "checksum")])
def test_a_damaged_file_is_reported(folder, how, message):
    damage(folder / "stc.safetensors", how)
    entry = file_of(folder, read_config(folder), "stc")
    with pytest.raises(BadInput, match=message):
        check_file(folder / entry.file, entry, verify=False)


def test_missing_config_wrong_format_and_missing_file_are_reported(tmp_path, folder):
    with pytest.raises(BadInput, match=r"has no config.json"):
        read_config(tmp_path / "nowhere")
    (folder / "stc.safetensors").unlink()
    entry = file_of(folder, read_config(folder), "stc")
    with pytest.raises(BadInput, match="missing"):
        check_file(folder / entry.file, entry, verify=False)
    with pytest.raises(BadInput, match="No such file"):
        read_component(folder, read_config(folder), "stc")
    with pytest.raises(BadInput, match="no depth network"):
        read_component(folder, read_config(folder), "depth")
    (folder / "config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(BadInput, match="format 99"):
        read_config(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInput, match="json"):
        read_config(folder)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_leaves_no_partial_file(tmp_path):
    (tmp_path / "old.txt").write_text("old")

    def overwrite():
        with replacing(tmp_path / "old.txt") as unfinished:
            unfinished.symlink_to("/dev/full")
            unfinished.write_text("new")

    with pytest.raises(BadInput, match=r"old.txt cannot be written \(No space left"):
        overwrite()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_trees_flatten_and_differences_are_named():
    assert flatten({"a": {"b": 1}, "c": 2}) == {"a/b": 1, "c": 2}
    assert unflatten({"a/b": 1, "c": 2}) == {"a": {"b": 1}, "c": 2}
    expected = {"a/b": np.zeros((2, 3)), "c": np.zeros(1)}
    assert first_difference(expected, expected) is None
    assert first_difference({"c": np.zeros(1)}, expected) == "a/b is missing"
    assert first_difference(expected | {"d": np.zeros(1)}, expected) == "d is unknown"
    assert first_difference(expected | {"c": np.zeros(2)}, expected) == "c is [2] and must be [1]"


def test_networks_to_config_inverts_networks_from_config():
    settings = {"unet": {"base_channels": 32, "channel_multipliers": [1, 2]}, "stc": {"out_channels": 16}}
    networks = networks_from_config(settings)
    assert networks.unet.channel_multipliers == (1, 2)
    assert networks_from_config(json.loads(json.dumps(networks_to_config(networks)))) == networks
    assert networks.autoencoder == Networks().autoencoder
    with pytest.raises(BadInput, match="unknown component 'brain'"):
        networks_from_config({"brain": {}})
    with pytest.raises(BadInput, match="component unet has no setting 'wdith': it has base_channels"):
        networks_from_config({"unet": {"wdith": 3}})


def test_random_parameters_are_reproducible_and_non_zero():
    shapes = {
        "a": {"kernel": jax.ShapeDtypeStruct((3, 3, 8, 16), jnp.float32)},
        "b": {"bias": jax.ShapeDtypeStruct((7,), jnp.float32)},
    }
    first, again, other = (random_parameters(shapes, seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first["b"]["bias"], other["b"]["bias"])
    assert all(leaf.all() for leaf in jax.tree.leaves(first))
    np.testing.assert_allclose(first["a"]["kernel"].std() * np.sqrt(72), 1, atol=0.1)


def test_tensors_of_every_type_and_shape_are_mapped_as_written(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        f"{dtype}_{len(shape)}": rng.integers(0, 2, shape).astype(dtype)
        for dtype in TYPES
        for shape in ((), (0, 3), (5,), (2, 3, 4))
    }
    tensors["view"] = rng.standard_normal((4, 6))[::2].T  # not contiguous
    write_tensors(tmp_path / "x.safetensors", tensors)
    mapped, mapping = map_tensors(tmp_path / "x.safetensors")
    library = load_file(tmp_path / "x.safetensors")
    assert mapped.keys() == library.keys() == tensors.keys()
    for name, x in tensors.items():
        for read in (mapped[name], library[name]):
            assert (read.dtype, read.shape) == (x.dtype, x.shape)
            np.testing.assert_array_equal(read, x)
    release_pages(mapping)
    np.testing.assert_array_equal(mapped["view"], tensors["view"])  # it can be read again


def test_files_of_the_safetensors_library_are_mapped(tmp_path):
    save_file({"a": np.float32([[1, 2]])}, tmp_path / "x.safetensors", metadata={"made": "by a library"})
    tensors, _ = map_tensors(tmp_path / "x.safetensors")
    assert {name: x.tolist() for name, x in tensors.items()} == {"a": [[1, 2]]}


def test_a_damaged_safetensors_file_raises_no_other_error(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4)})
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"\w"):
            map_tensors(path)
    for _ in range(500):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            map_tensors(path)
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", ".", "..", "a\0b", "..\\x"])
def test_files_of_a_model_have_bare_names(folder, name):
    config = read_config(folder)
    config["files"]["stc"]["file"] = name
    with pytest.raises(BadInput, match=r"files\.stc\.file must be the name of a file in the folder"):
        read_component(folder, config, "stc")
