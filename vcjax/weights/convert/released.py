"""Conversion of the released PyTorch checkpoints to a model folder and back."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing, replacing_all
from vcjax.models.dpt import DPT
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.progress import ProgressCallback, no_progress
from vcjax.weights.convert import autoencoder as autoencoder_rules
from vcjax.weights.convert import cleaner as cleaner_rules
from vcjax.weights.convert import dpt as dpt_rules
from vcjax.weights.convert import image_unet as image_unet_rules
from vcjax.weights.convert import pidinet as pidinet_rules
from vcjax.weights.convert import text as text_rules
from vcjax.weights.convert import unet as unet_rules
from vcjax.weights.convert import vision as vision_rules
from vcjax.weights.convert.releases import (
    CHANNELS,
    RELEASED,
    RELEASES,
    VECTORS,
    configuration,
    release_named,
)
from vcjax.weights.convert.rules import Entry, Ignored, to_flax, to_torch
from vcjax.weights.folder import CONFIG, TOKENIZER, read_component, read_config, write_component, write_config
from vcjax.weights.networks import Networks, networks_from_config
from vcjax.weights.torch_files import read_tensors, write_tensors
from vcjax.weights.trees import Tree, flatten, unflatten

# Names of the released files by kind. `clip` contains both towers of the CLIP model.
FILES = {
    "unet": "non_ema_228000.pth",
    "autoencoder": "v2-1_512-ema-pruned.ckpt",
    "clip": "open_clip_pytorch_model.bin",
    "depth": "midas_v3_dpt_large.pth",
    "sketch": "table5_pidinet.pth",
    "cleaner": "sketch_simplification_gan.pth",
}
NETWORKS = ("unet", "stc", "tokens", "autoencoder", "text", "vision", "depth", "sketch", "cleaner")
CLIP_REST = "clip_rest"  # unused parameters of the CLIP checkpoint, kept for `convert_back`
COMPONENTS = (*NETWORKS, CLIP_REST)
# Tensor names that identify the layout of a released file, for kinds with several layouts.
RELEASED_NAMES = {"autoencoder": [autoencoder_rules.PREFIX]}
NESTED = ("autoencoder", "sketch")  # kinds of released files that nest their tensors under `state_dict`


@dataclasses.dataclass(frozen=True)
class Bijection:
    """Bijection between the tensors of one PyTorch file and the parameters of one or more components.

    Attributes:
        entries: conversion rules by component.
        ignored: further tensors that the file may contain.
        preprocess: applied to the PyTorch tensors before the conversion to Flax.
        postprocess: applied to the PyTorch tensors after the conversion from Flax; inverse of `preprocess` as
            far as one exists.
    """

    entries: Mapping[str, Sequence[Entry]]
    ignored: Sequence[Ignored] = ()
    preprocess: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] = dict
    postprocess: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] = dict

    def to_flax(
        self, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Tree], source: str
    ) -> dict[str, Tree]:
        """Convert PyTorch tensors to parameter trees by component; see `rules.to_flax`."""
        named = {f"{c}/{n}": leaf.shape for c in self.entries for n, leaf in flatten(shapes[c]).items()}
        return unflatten(to_flax(self._entries(), self.preprocess(tensors), named, self.ignored, source))

    def to_torch(self, trees: Mapping[str, Tree]) -> dict[str, np.ndarray]:
        """Convert parameter trees to PyTorch tensors, for `torch_files.write_tensors`.

        PyTorch loads that file with `load_state_dict(torch.load(path, weights_only=True), strict=True)`.
        """
        flat = flatten({component: trees[component] for component in self.entries})
        return self.postprocess(to_torch(self._entries(), {name: np.asarray(x) for name, x in flat.items()}))

    def _entries(self) -> list[Entry]:
        return [
            dataclasses.replace(e, flax=tuple(f"{component}/{name}" for name in e.flax))
            for component, entries in self.entries.items()
            for e in entries
        ]


def bijection(kind: str, names: Collection[str], networks: Networks = RELEASED) -> Bijection:
    """Return the bijection for a PyTorch file.

    Args:
        kind: kind of the file, a key of `FILES`.
        names: names of the tensors in the file, from which its layout is detected.
        networks: networks that define the sizes.
    """
    return BIJECTIONS[kind](networks, names)


def _unet(networks: Networks, names: Collection[str]) -> Bijection:
    """Return the bijection of the UNet, the STC-encoders and the style MLP, which share a file."""
    entries = {
        "unet": unet_rules.unet_entries(networks.unet),
        "stc": [entry for name in CHANNELS for entry in unet_rules.stc_entries(name)],
        "tokens": unet_rules.tokens_entries(),
    }
    return Bijection(entries, unet_rules.IGNORED)


def _autoencoder(networks: Networks, names: Collection[str]) -> Bijection:
    entries = autoencoder_rules.entries_for(networks.autoencoder, names)
    return Bijection({"autoencoder": entries}, autoencoder_rules.IGNORED)


def _clip(networks: Networks, names: Collection[str]) -> Bijection:
    """Return the bijection of the towers that the file contains, and of its unused parameters.

    For a file with neither tower the text tower is expected, so that the error message names its parameters.
    """
    entries, ignored = {}, text_rules.IGNORED
    has_image_tower = any(name.startswith(("visual.", "vision_model.")) for name in names)
    if any(name.endswith("token_embedding.weight") for name in names) or not has_image_tower:
        entries["text"] = text_rules.entries_for(networks.text, names)
    if networks.vision is None:
        ignored = (*ignored, text_rules.NO_IMAGE_TOWER)
    elif has_image_tower:
        entries["vision"] = vision_rules.entries_for(networks.vision, names)
    if unused := text_rules.rest_entries(networks.text, names):
        entries[CLIP_REST] = unused
    return Bijection(entries, ignored)


def _depth(networks: Networks, names: Collection[str]) -> Bijection:
    return Bijection({"depth": dpt_rules.entries_for(networks.depth or DPT(), names)}, dpt_rules.IGNORED)


def _sketch(networks: Networks, names: Collection[str]) -> Bijection:
    entries = {"sketch": pidinet_rules.entries()}
    return Bijection(entries, preprocess=pidinet_rules.fold, postprocess=pidinet_rules.unfold)


def _cleaner(networks: Networks, names: Collection[str]) -> Bijection:
    return Bijection({"cleaner": cleaner_rules.entries(networks.cleaner or SketchCleaner())})


BIJECTIONS: dict[str, Callable[[Networks, Collection[str]], Bijection]] = {
    "unet": _unet,
    "autoencoder": _autoencoder,
    "clip": _clip,
    "depth": _depth,
    "sketch": _sketch,
    "cleaner": _cleaner,
}


def convert(
    folder: Path,
    *,
    image_unet: Path | None = None,
    release: str = "videocomposer",
    tokenizer: str | None = None,
    dtype: str = "float32",
    networks: Networks = RELEASED,
    progress: ProgressCallback = no_progress,
    **files: Path | None,
) -> dict[str, Any]:
    """Convert released checkpoints to a model folder, or add them to one; components not given are kept.

    ```python
    convert(folder, unet=Path("non_ema_228000.pth"), clip=Path("open_clip_pytorch_model.bin"))
    ```

    All files are checked before anything is written, and `config.json` is written last.

    Args:
        folder: model folder to write to.
        image_unet: Stable Diffusion checkpoint, or its UNet from diffusers. The UNet is initialised from it;
            STC-encoders and style MLP get their initial values before training.
        release: name of the release of the UNet, a key of `RELEASES`.
        tokenizer: content of `tokenizer.json`.
        dtype: type that floating-point tensors are stored in, "float32" or "bfloat16".
        networks: networks that define the sizes; other than released sizes are for tests.
        progress: called for each file that is read and each component that is written.
        **files: released files by kind (see `FILES`), or the same networks from diffusers or transformers.

    Returns:
        The configuration that was written.

    Raises:
        BadInput: a file is damaged, unsafe or of another network, or the folder contains another model.
    """
    if dtype not in ("float32", "bfloat16"):
        raise BadInput(f"weights are stored as float32 or bfloat16, not {dtype}")
    if image_unet is not None and files.get("unet") is not None:
        raise BadInput(
            "unet and image_unet exclude each other: give the UNet, or the image UNet to initialise it from"
        )
    found = release_named(release)
    networks = found.networks(networks)
    config = configuration(found, networks)
    if (folder / CONFIG).exists():
        existing = read_config(folder)
        if networks_from_config(existing["networks"]) != networks:
            raise BadInput(f"{folder} holds a model of other sizes; give another folder")
        if existing["name"] != config["name"]:
            raise BadInput(f"{folder} holds {existing['name']}, not {config['name']}; give another folder")
        config["files"] = dict(existing["files"])
    trees = _trees(files, networks, progress)
    if image_unet is not None:
        progress(f"reading {image_unet.name}", 0, 1)
        trees |= _init_from_image_unet(image_unet, networks)
    with replacing_all(folder, last=CONFIG) as staging:
        for index, (component, tree) in enumerate(trees.items()):
            progress(f"writing {component}", index, len(trees))
            config["files"][component] = write_component(staging, component, tree, dtype)
        if tokenizer is not None:
            with replacing(staging / TOKENIZER) as unfinished:
                unfinished.write_text(tokenizer, "utf-8")
        write_config(staging, config)
    return config


def convert_back(folder: Path, out: Path, *, progress: ProgressCallback = no_progress) -> list[Path]:
    """Convert a model folder back to the released PyTorch checkpoints.

    The original code loads them with strict=True. File names and tensor names are those of the release; files
    whose components the folder lacks are skipped. The weights of PiDiNet differ from the released ones but
    are equivalent, see `vcjax.weights.convert.pidinet`.

    Args:
        folder: model folder to read.
        out: folder to write to.
        progress: called for each file.

    Returns:
        Paths of the files that were written.

    Raises:
        BadInput: not a model folder, a damaged one, or one without any of the released networks.
    """
    config = read_config(folder)
    networks = networks_from_config(config["networks"])

    def tree(component: str) -> Tree:
        return read_component(folder, config, component, place=lambda _, x: x)

    files = {**FILES, "unet": RELEASES.get(config["name"], RELEASES["videocomposer"]).unet}
    bijections = {}
    for kind, name in files.items():
        names = (
            _clip_names(networks, config["files"], tree) if kind == "clip" else RELEASED_NAMES.get(kind, [])
        )
        rules = bijection(kind, names, networks)
        if all(component in config["files"] for component in rules.entries):
            bijections[name] = kind, rules
    if not bijections:
        raise BadInput(f"{folder} contains none of the released networks")
    with replacing_all(out) as staging:
        for index, (name, (kind, rules)) in enumerate(bijections.items()):
            progress(f"writing {name}", index, len(bijections))
            tensors = rules.to_torch({c: tree(c) for c in rules.entries})
            write_tensors(staging / name, tensors, nested=kind in NESTED)
    return [out / name for name in bijections]


def _clip_names(networks: Networks, present: Collection[str], tree: Callable[[str], Tree]) -> list[str]:
    """Return tensor names of OpenCLIP's checkpoint that identify the components to write."""
    towers = {"text": "token_embedding.weight", "vision": "visual.proj"}
    unused = flatten(tree(CLIP_REST)) if CLIP_REST in present else {}
    return [
        *(name for component, name in towers.items() if component in present),
        *(e.torch for e in text_rules.open_clip_rest(networks.text) if unused.keys() >= set(e.flax)),
    ]


def _trees(
    paths: Mapping[str, Path | None], networks: Networks, progress: ProgressCallback
) -> dict[str, Tree]:
    """Convert all components in the given files; the parameters are views of the files."""
    trees: dict[str, Tree] = {}
    present = {kind: path for kind, path in paths.items() if path is not None}
    for index, (kind, path) in enumerate(present.items()):
        progress(f"reading {path.name}", index, len(present))
        tensors = read_tensors(path)
        rules = bijection(kind, tensors, networks)
        trees |= rules.to_flax(tensors, shapes_of(networks, rules.entries), str(path))
    return trees


def shapes_of(networks: Networks, components: Collection[str]) -> dict[str, Tree]:
    """Return the parameter shapes of components of the released files."""
    shapes = networks.shapes(CHANNELS, VECTORS, [name for name in components if name != CLIP_REST])
    if CLIP_REST in components:
        text = networks.text
        features = text.width if networks.vision is None else networks.vision.embed_dim
        layer = networks.shapes(CHANNELS, VECTORS, ["text"])["text"]["layer_0"]
        shapes[CLIP_REST] = {
            f"layer_{text.layers}": layer,
            "projection": {"kernel": jax.ShapeDtypeStruct((text.width, features), jnp.float32)},
            "logit_scale": jax.ShapeDtypeStruct((), jnp.float32),
        }
    return shapes


def _init_from_image_unet(path: Path, networks: Networks) -> dict[str, Tree]:
    """Initialise the UNet from an image UNet, and the STC-encoders and the style MLP randomly."""
    key = jax.random.key(0, impl="unsafe_rbg")  # compiles fastest
    trees = {name: networks.init(key, name, CHANNELS, VECTORS) for name in ("unet", "stc", "tokens")}
    trees["unet"] = image_unet_rules.init_from_image_unet(
        networks.unet, trees["unet"], read_tensors(path), str(path)
    )
    return trees
