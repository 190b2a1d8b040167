"""Low-rank adapters: layers, merging into weights, files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.errors import BadInput
from vcjax.weights.adapters import (
    Adapter,
    AdapterSettings,
    adapter_shapes,
    add_terms,
    as_variables,
    init_adapters,
    merge,
    read_adapter,
    terms_of,
    write_adapter,
)
from vcjax.weights.convert.peft import from_peft, read_peft, write_peft
from vcjax.weights.convert.rules import Entry, to_torch
from vcjax.weights.convert.unet import unet_entries
from vcjax.weights.networks import apply
from vcjax.weights.safetensors_files import map_tensors, write_tensors
from vcjax.weights.trees import flatten, unflatten

ALL = AdapterSettings(rank=3, alpha=1.5, layers=("*",))


@pytest.fixture(scope="module")
def composer():
    return vcjax.load("tiny")


@pytest.fixture(scope="module")
def predict(composer, inputs):
    """The UNet of parameters and adapters."""

    @jax.jit
    def predict(parameters, adapters=None, key=None):
        rngs = None if key is None else {"adapters": key}
        return apply(composer.networks.unet, parameters, *inputs, adapters=adapters, rngs=rngs)

    return predict


@pytest.fixture(scope="module")
def inputs():
    keys = jax.random.split(jax.random.key(3), 3)
    return (
        jax.random.normal(keys[0], (1, 2, 8, 8, 8)),
        jnp.array([500]),
        jax.random.normal(keys[1], (1, 2, 8, 8, 24)),
        jax.random.normal(keys[2], (1, 33, 128)),
        jnp.arange(33)[None] < 20,
    )


def trained(adapters, seed=0):
    """Adapters with numbers in B too."""
    table = flatten(adapters)
    keys = jax.random.split(jax.random.key(seed), len(table))
    return unflatten(
        {
            name: 0.05 * jax.random.normal(k, x.shape) if name.endswith("/up") else x
            for k, (name, x) in zip(keys, table.items(), strict=True)
        }
    )


def as_adapter(tree, settings=ALL):
    table = {name: np.asarray(x) for name, x in flatten(tree).items()}
    names = sorted({name.rpartition("/")[0] for name in table})
    layers = {name: (table[f"{name}/down"], table[f"{name}/up"]) for name in names}
    return Adapter(layers=layers, scale=settings.scale, base={"name": "tiny", "sha256": "0"})


def test_a_new_adapter_changes_nothing(composer, predict):
    parameters = composer.parameters("unet")
    tree = init_adapters(jax.random.key(0), parameters, ALL)
    merged = flatten(merge(parameters, [(as_adapter(tree), 1.0)]))
    for name, x in flatten(parameters).items():
        np.testing.assert_array_equal(merged[name], x)
    plain, adapted = predict(parameters), predict(parameters, as_variables(tree, ALL))
    np.testing.assert_allclose(adapted, plain, atol=1e-5)  # another program, of the same numbers


def test_merged_weights_are_the_adapters_of_every_layer(composer, predict):
    parameters = composer.parameters("unet")
    kernels = [name for name in flatten(parameters) if name.endswith("kernel")]
    tree = trained(init_adapters(jax.random.key(0), parameters, ALL))
    assert len(flatten(tree)) == 2 * len(kernels)
    plain, adapted = predict(parameters), predict(parameters, as_variables(tree, ALL))
    merged = predict(merge(parameters, [(as_adapter(tree), 1.0)]))
    assert float(jnp.abs(adapted - plain).mean()) > 0.05
    assert float(jnp.linalg.norm(merged - adapted) / jnp.linalg.norm(adapted)) < 1e-5


def test_each_layer_reads_its_own_adapter(composer, predict):
    parameters = composer.parameters("unet")
    tree = init_adapters(jax.random.key(0), parameters, ALL)
    gradient = jax.jit(jax.grad(lambda a: (predict(parameters, as_variables(a, ALL)) ** 2).sum()))(tree)
    assert [n for n, x in flatten(gradient).items() if n.endswith("/up") and not jnp.abs(x).max() > 0] == []


def test_two_adapters_at_a_half_each_are_the_sum_of_halves(composer):
    parameters = composer.parameters("unet")
    first, second = (
        as_adapter(trained(init_adapters(jax.random.key(i), parameters, ALL), i)) for i in (1, 2)
    )
    both = flatten(merge(parameters, [(first, 0.5), (second, 0.5)]))
    for name, kernel in flatten(parameters).items():
        layer = name.removesuffix("/kernel")
        if layer not in first.layers or not name.endswith("/kernel"):
            np.testing.assert_array_equal(both[name], kernel)
            continue
        change = sum(0.5 * ALL.scale * np.matmul(*x.layers[layer]) for x in (first, second))
        np.testing.assert_allclose(np.asarray(both[name] - kernel), change, atol=1e-5)


def test_dropout_has_the_right_mean_and_needs_random_numbers(composer, predict):
    parameters = composer.parameters("unet")
    settings = AdapterSettings(rank=2, dropout=0.5, layers=("conv_out",))
    tree = as_variables(trained(init_adapters(jax.random.key(0), parameters, settings)), settings)
    exact = predict(parameters, tree)
    draws = np.stack([predict(parameters, tree, jax.random.key(i)) for i in range(60)])
    assert np.abs(draws[0] - exact).max() > 1e-3
    error = np.std(draws, 0) / np.sqrt(len(draws))
    assert np.mean(np.abs(np.mean(draws, 0) - exact) < 3 * error + 1e-6) > 0.98


def test_patterns_choose_layers(composer):
    shapes = adapter_shapes(composer.parameters("unet"), AdapterSettings(rank=4))
    assert shapes["middle_spatial/layer/self/query"] == ((72, 4), (4, 72))
    assert not any("conv" in name for name in shapes)
    convolutions = adapter_shapes(
        composer.parameters("unet"), AdapterSettings(rank=4, layers=("*/conv_0", "time_?"))
    )
    assert convolutions["middle_0_residual/conv_0"] == ((3, 3, 72, 4), (4, 72))
    assert {"time_0", "time_1"} <= convolutions.keys()
    with pytest.raises(BadInput, match="no layer has a name like 'attention'"):
        adapter_shapes(composer.parameters("unet"), AdapterSettings(layers=("attention",)))
    for wrong in ({"rank": 0}, {"dropout": 1.0}, {"alpha": float("nan")}):
        with pytest.raises(BadInput, match="adapters need a rank"):
            AdapterSettings(**wrong)


def test_a_file_holds_the_adapters_their_scale_and_their_base(composer, tmp_path):
    adapter = as_adapter(trained(init_adapters(jax.random.key(0), composer.parameters("unet"), ALL)))
    write_adapter(tmp_path / "look.safetensors", adapter)
    read = read_adapter(tmp_path / "look.safetensors")
    assert (read.scale, read.base) == (adapter.scale, adapter.base)
    assert read.layers.keys() == adapter.layers.keys()
    for name, pair in adapter.layers.items():
        for ours, theirs in zip(pair, read.layers[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_bad_files_are_one_sentence(composer, tmp_path):
    good = {"a/down": np.zeros((4, 2), np.float32), "a/up": np.zeros((2, 4), np.float32)}
    metadata = {"format": "vcjax-adapter-1", "scale": "1.0", "base": "{}"}
    path = tmp_path / "x.safetensors"

    def refused(tensors, metadata):
        write_tensors(path, tensors, metadata=metadata)
        with pytest.raises(BadInput, match=str(path)) as error:
            read_adapter(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "format" in refused(good, {})
    assert "no whole adapter of layer a" in refused({"a/down": good["a/down"]}, metadata)
    assert "no whole adapter of layer a" in refused(good | {"a/up": np.zeros((3, 4), np.float32)}, metadata)
    assert "not finite" in refused(good | {"a/up": np.full((2, 4), np.nan, np.float32)}, metadata)
    assert "lacks the scale" in refused(good, {"format": metadata["format"], "base": "{}"})
    assert "scale" in refused(good, metadata | {"scale": "nan"})
    path.write_bytes(b"no file")
    with pytest.raises(BadInput, match="not a file of adapters"):
        read_adapter(path)
    with pytest.raises(BadInput, match="not a file of adapters"):
        read_adapter(tmp_path / "missing.safetensors")
    other = Adapter(layers={"a": tuple(good.values())}, scale=1.0, base={"name": "other"})
    with pytest.raises(BadInput, match=r"has layer a of shape \[4, 4\], but the model has no such layer"):
        merge(composer.parameters("unet"), [(other, 1.0)])
    wrong = Adapter(layers={"time_0": tuple(good.values())}, scale=1.0, base={"name": "other"})
    with pytest.raises(BadInput, match="but the model has one of shape"):
        merge(composer.parameters("unet"), [(wrong, 1.0)])


def test_adapters_in_the_naming_of_peft_are_the_same_change_of_each_weight(composer, tmp_path):
    """In PyTorch's axes the change of a weight is scale B A, with the kernel's own axes in A."""
    unet, parameters = composer.networks.unet, composer.parameters("unet")
    settings = AdapterSettings(
        rank=3, alpha=1.5, layers=("*spatial*", "*temporal*", "*residual*", "time_0", "conv_in")
    )
    adapter = as_adapter(trained(init_adapters(jax.random.key(0), parameters, settings)), settings)
    write_peft(tmp_path / "peft", adapter, unet)
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (3, 1.5)
    tensors, _ = map_tensors(tmp_path / "peft" / "adapter_model.safetensors")
    entries = {e.torch.removesuffix(".weight"): e for e in unet_entries(unet) if len(e.flax) == 1}
    terms = terms_of(parameters, [(adapter, 1.0)])
    kinds = set()
    for module in config["target_modules"]:
        entry = entries[module]
        kinds.add(entry.layout)
        (name,) = entry.flax
        kernel = np.asarray(flatten(parameters)[name])
        change = add_terms(terms, name, np.zeros_like(kernel))
        (ours,) = to_torch([Entry("w", (name,), entry.layout)], {name: change}).values()
        a, b = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
        theirs = 0.5 * np.einsum("or,ri...->oi...", b.reshape(len(b), -1), a)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert {"linear", "conv", "temporal", "conv1"} <= kinds
    back = read_peft(tmp_path / "peft", unet, {"name": "tiny"})
    assert back.scale == adapter.scale
    for name, pair in adapter.layers.items():
        for x, y in zip(pair, back.layers[name], strict=True):
            np.testing.assert_array_equal(x, y)


def test_files_of_peft_that_are_more_than_lora_are_refused(composer):
    unet = composer.networks.unet
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    a, b = np.zeros((2, 72), np.float32), np.zeros((288, 2), np.float32)
    names = [f"base_model.model.time_embed.0.lora_{part}.weight" for part in "AB"]
    good = dict(zip(names, (a, b), strict=True))
    assert from_peft(good, config, unet, {}).layers.keys() == {"time_0"}
    assert from_peft(good, config | {"use_rslora": True}, unet, {}).scale == pytest.approx(4 / 2**0.5)
    for tensors, changes, message in (
        (good, {"peft_type": "IA3"}, "must be of peft_type LORA"),
        (good, {"use_dora": True}, "has use_dora"),
        (good, {"r": 0}, "rank r of at least 1"),
        (good, {"lora_alpha": None}, "number lora_alpha"),
        ({"transformer.h.0.lora_A.weight": a}, {}, "no LoRA tensor of a layer"),
        ({names[0]: a}, {}, "must have lora_A"),
        ({names[0]: a, names[1]: b[:, :1]}, {}, "must have lora_A"),
    ):
        with pytest.raises(BadInput, match=message):
            from_peft(tensors, config | changes, unet, {})
