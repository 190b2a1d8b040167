"""Conversion of adapters from and to the files of PEFT: `adapter_model.safetensors` and `adapter_config.json`.

Names and shapes are those of the layers of the original in PyTorch (`vcjax.weights.convert.unet`): `lora_A` of a linear layer
`[r, I]` and of a convolution `[r, I, h, w]`, `lora_B` `[O, r]` and `[O, r, 1, 1]`.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing, replacing_all
from vcjax.input_files import read_json
from vcjax.models.unet import UNet
from vcjax.weights.adapters import KERNEL, Adapter
from vcjax.weights.convert.rules import AXES, Entry, from_torch, to_torch
from vcjax.weights.convert.unet import unet_entries
from vcjax.weights.safetensors_files import map_tensors, write_tensors

MODEL, CONFIG = "adapter_model.safetensors", "adapter_config.json"
NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<part>[AB])(\.\w+)?\.weight")
UNSUPPORTED = ("rank_pattern", "alpha_pattern", "modules_to_save", "use_dora", "fan_in_fan_out", "lora_bias")


def to_peft(adapter: Adapter, unet: UNet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors and the configuration of adapters in PEFT's naming.

    Raises:
        BadInput: a layer has no counterpart of its own in PyTorch, or the ranks differ.
    """
    entries = {entry.flax[0]: entry for entry in unet_entries(unet) if len(entry.flax) == 1}
    ranks = {up.shape[0] for _, up in adapter.layers.values()}
    if len(ranks) != 1:
        raise BadInput(f"adapters of one rank can be converted to PEFT's files, not of {sorted(ranks)}")
    (rank,) = ranks
    tensors, modules = {}, []
    for name, (down, up) in adapter.layers.items():
        entry = entries.get(f"{name}/{KERNEL}")
        if entry is None or AXES[entry.layout] is None:
            raise BadInput(
                f"layer {name} has no layer of its own in PyTorch's model, so that PEFT cannot name its adapter"
            )
        module = entry.torch.removesuffix(".weight")
        modules.append(module)
        (first,) = to_torch([Entry("A", ("A",), entry.layout)], {"A": down}).values()
        tensors[f"base_model.model.{module}.lora_A.weight"] = first
        tensors[f"base_model.model.{module}.lora_B.weight"] = up.T.reshape(
            *up.T.shape, *[1] * (first.ndim - 2)
        )
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": adapter.base.get("name", ""),
        "r": rank,
        "lora_alpha": adapter.scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(modules),
        "inference_mode": True,
    }
    return tensors, config


def from_peft(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], unet: UNet, base: Mapping[str, str]
) -> Adapter:
    """Return the adapters of PEFT's tensors and configuration.

    Args:
        tensors: tensors by PEFT's names.
        config: content of `adapter_config.json`.
        unet: the UNet that they are for.
        base: name and fingerprint of its model.

    Raises:
        BadInput: a tensor belongs to no layer of the UNet, lacks its other half, or the configuration asks for more than LoRA.
    """
    if config.get("peft_type") != "LORA":
        raise BadInput(f"{CONFIG} must be of peft_type LORA, not {config.get('peft_type')!r}")
    if extra := [key for key in UNSUPPORTED if config.get(key)]:
        raise BadInput(f"{CONFIG} has {extra[0]}, which vcjax has not: train plain LoRA adapters")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if (
        not isinstance(rank, int)
        or rank < 1
        or not isinstance(alpha, int | float)
        or not math.isfinite(alpha)
    ):
        raise BadInput(
            f"{CONFIG} must have a rank r of at least 1 and a number lora_alpha, not {rank!r} and {alpha!r}"
        )
    entries = {
        e.torch.removesuffix(".weight"): e for e in unet_entries(unet) if len(e.flax) == 1 and AXES[e.layout]
    }
    halves: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        found = NAME.fullmatch(name)
        if found is None or found["layer"] not in entries:
            raise BadInput(f"{name} is no LoRA tensor of a layer of this model's UNet")
        halves.setdefault(found["layer"], {})[found["part"]] = tensor
    layers = {}
    for module, pair in halves.items():
        if (
            pair.keys() != {"A", "B"}
            or pair["A"].ndim < 2
            or pair["A"].shape[0] != rank
            or pair["B"].shape[1:2] != (rank,)
        ):
            raise BadInput(f"the adapter of {module} must have lora_A [{rank}, ...] and lora_B [..., {rank}]")
        entry = entries[module]
        down = np.array(from_torch(pair["A"], entry.layout), np.float32)
        layers[entry.flax[0].removesuffix(f"/{KERNEL}")] = (
            down,
            np.array(pair["B"].reshape(-1, rank).T, np.float32),
        )
    return Adapter(
        layers=layers, scale=alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), base=base
    )


def read_peft(folder: Path, unet: UNet, base: Mapping[str, str]) -> Adapter:
    """Read a folder of PEFT.

    Raises:
        BadInput: see `from_peft`, or a file is missing or damaged.
    """
    config = read_json(folder / CONFIG)
    if not isinstance(config, Mapping):
        raise BadInput(f"{folder / CONFIG} must hold a table")
    try:
        tensors, _ = map_tensors(folder / MODEL)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder / MODEL} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    return from_peft(tensors, config, unet, base)


def write_peft(folder: Path, adapter: Adapter, unet: UNet) -> None:
    """Write a folder of PEFT.

    Raises:
        BadInput: see `to_peft`, or the folder cannot be written.
    """
    tensors, config = to_peft(adapter, unet)
    with replacing_all(folder, last=CONFIG) as staging:
        write_tensors(staging / MODEL, tensors)
        with replacing(staging / CONFIG) as file:
            file.write_text(json.dumps(config, indent=2), "utf-8")
