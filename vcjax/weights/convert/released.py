"""A model folder from the released PyTorch files, at the released sizes; and the way back."""

import contextlib
import dataclasses
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.models.clip import ImageTower
from vcjax.models.dpt import DPT
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.weights.convert import autoencoder as autoencoder_rules
from vcjax.weights.convert import cleaner as cleaner_rules
from vcjax.weights.convert import dpt as dpt_rules
from vcjax.weights.convert import image_unet as image_unet_rules
from vcjax.weights.convert import pidinet as pidinet_rules
from vcjax.weights.convert import text as text_rules
from vcjax.weights.convert import unet as unet_rules
from vcjax.weights.convert import vision as vision_rules
from vcjax.weights.convert.rules import Entry, Ignored, to_ours, to_torch
from vcjax.weights.folder import CONFIG, TOKENIZER, read_component, read_config, write_component, write_config
from vcjax.weights.networks import Networks, networks_from_settings, settings_of
from vcjax.weights.torch_files import read_tensors, write_tensors
from vcjax.weights.trees import Tree, flatten, unflatten

CHANNELS = {"image": 3, "single_sketch": 1, "motion": 2, "depth": 1, "mask": 4, "sketch": 1}
VECTORS = {"style": 1024}

MAP = {"scale": 1.5}  # maps are 384x384 where the video is 256x256
CONDITIONS: dict[str, dict[str, Any]] = {
    "text": {},
    "style": {"width": VECTORS["style"]},
    "image": MAP,
    "single_sketch": MAP,
    "motion": {"form": "centre", "bit_rate": 200_000, "gop": 12},
    # White of a finished depth picture. The network's depths are divided by 20, and those of near things in everyday
    # scenes come to about 2 then; an estimate, since the original takes no finished depth.
    "depth": {**MAP, "white": 2.0},
    "mask": MAP,
    "sketch": MAP,
}

RELEASED = Networks(vision=ImageTower(), depth=DPT(), sketch=PiDiNet(), cleaner=SketchCleaner())

# The released files by kind, and what they are called. `clip` holds both towers of the CLIP model.
FILES = {
    "unet": "non_ema_228000.pth",
    "autoencoder": "v2-1_512-ema-pruned.ckpt",
    "clip": "open_clip_pytorch_model.bin",
    "depth": "midas_v3_dpt_large.pth",
    "sketch": "table5_pidinet.pth",
    "cleaner": "sketch_simplification_gan.pth",
}
NETWORKS = ("unet", "stc", "tokens", "autoencoder", "text", "vision", "depth", "sketch", "cleaner")
CLIP_REST = "clip_rest"  # what CLIP's file has and no network here runs, kept for the way back
COMPONENTS = (*NETWORKS, CLIP_REST)
# Names that say which layout the released file of a kind has, where there are several.
BACK_NAMES = {"autoencoder": [autoencoder_rules.PREFIX]}
NESTED = ("autoencoder", "sketch")  # the released files whose tensors lie under `state_dict`


@dataclasses.dataclass(frozen=True)
class Bijection:
    """Between one file's tensors and ours.

    Attributes:
        entries: by component.
        ignored: what else the file may hold.
        before: what is done to the file's tensors first.
        behind: and its inverse, as far as there is one, on the way back.
    """

    entries: Mapping[str, Sequence[Entry]]
    ignored: Sequence[Ignored] = ()
    before: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] = dict
    behind: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] = dict

    def to_ours(
        self, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Tree], source: str
    ) -> dict[str, Tree]:
        """Trees of the components; see `rules.to_ours`."""
        named = {f"{c}/{n}": leaf.shape for c in self.entries for n, leaf in flatten(shapes[c]).items()}
        return unflatten(to_ours(self._all(), self.before(tensors), named, self.ignored, source))

    def to_torch(self, trees: Mapping[str, Tree]) -> dict[str, np.ndarray]:
        """PyTorch's tensors of the components' trees, to be written by `torch_files.write_tensors`.

        The file then loads with `load_state_dict(torch.load(path, weights_only=True), strict=True)`.
        """
        flat = flatten({component: trees[component] for component in self.entries})
        return self.behind(to_torch(self._all(), {name: np.asarray(x) for name, x in flat.items()}))

    def _all(self) -> list[Entry]:
        return [
            dataclasses.replace(e, ours=tuple(f"{component}/{name}" for name in e.ours))
            for component, entries in self.entries.items()
            for e in entries
        ]


def bijection(kind: str, names: Collection[str], networks: Networks = RELEASED) -> Bijection:
    """Between a file whose tensors have these names, and ours.

    Args:
        kind: one of `FILES`.
        names: of the file's tensors, which say in what layout they are.
        networks: the sizes.
    """
    return BIJECTIONS[kind](networks, names)


def _unet(networks: Networks, names: Collection[str]) -> Bijection:
    """The UNet, the condition encoders and the style MLP."""
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
    """The towers that the file has (the text tower, if it has none, so that this is what is missed), and the rest."""
    entries, ignored = {}, text_rules.IGNORED
    has_image_tower = any(name.startswith(("visual.", "vision_model.")) for name in names)
    if any(name.endswith("token_embedding.weight") for name in names) or not has_image_tower:
        entries["text"] = text_rules.entries_for(networks.text, names)
    if networks.vision is None:
        ignored = (*ignored, text_rules.NO_IMAGE_TOWER)
    elif has_image_tower:
        entries["vision"] = vision_rules.entries_for(networks.vision, names)
    if rest := text_rules.rest_entries(networks.text, names):
        entries[CLIP_REST] = rest
    return Bijection(entries, ignored)


def _depth(networks: Networks, names: Collection[str]) -> Bijection:
    return Bijection({"depth": dpt_rules.entries_for(networks.depth or DPT(), names)}, dpt_rules.IGNORED)


def _sketch(networks: Networks, names: Collection[str]) -> Bijection:
    entries = {"sketch": pidinet_rules.entries()}
    return Bijection(entries, before=pidinet_rules.fold, behind=pidinet_rules.unfold)


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
    tokenizer: str | None = None,
    dtype: str = "float32",
    networks: Networks = RELEASED,
    **files: Path | None,
) -> dict[str, Any]:
    """Make a model folder from released files, or complete one: what is not given stays as it is.

    ```python
    convert(folder, unet=Path("non_ema_228000.pth"), clip=Path("open_clip_pytorch_model.bin"))
    ```

    All files are checked before anything is written, and `config.json` comes last.

    Args:
        folder: of the model.
        image_unet: Stable Diffusion's checkpoint or its UNet from diffusers: the UNet then begins as that of images, and
            condition encoders and style MLP as before training.
        tokenizer: content of `tokenizer.json`.
        dtype: float32 or bfloat16, to store floating-point tensors in.
        networks: the sizes; the released ones but in tests.
        **files: the released files by kind (see `FILES`), or the same networks from diffusers or transformers.

    Returns:
        The configuration that was written.

    Raises:
        BadInput: a file is damaged, unsafe or of another network, or the folder holds another model.
    """
    if dtype not in ("float32", "bfloat16"):
        raise BadInput(f"weights are stored as float32 or bfloat16, not {dtype}")
    if image_unet is not None and files.get("unet") is not None:
        raise BadInput("a UNet and an image UNet to start it from exclude one another: give one of them")
    config = _configuration(networks)
    if (folder / CONFIG).exists():
        existing = read_config(folder)
        if networks_from_settings(existing["networks"]) != networks:
            raise BadInput(f"{folder} holds a model of other sizes; give another folder")
        config["files"] = dict(existing["files"])
    trees = _trees(files, networks)
    if image_unet is not None:
        trees |= _from_images(image_unet, networks)
    with _staging(folder) as staging:
        for component, tree in trees.items():
            config["files"][component] = write_component(staging, component, tree, dtype)
        if tokenizer is not None:
            with replacing(staging / TOKENIZER) as unfinished:
                unfinished.write_text(tokenizer, "utf-8")
    write_config(folder, config)
    return config


def convert_back(folder: Path, out: Path) -> list[Path]:
    """The released files of a model folder, as PyTorch reads them: the originals load them strictly.

    Names and keys are the released files'; what the folder lacks is left out. PiDiNet's kernels are not the file's own
    numbers; see `vcjax.weights.convert.pidinet`.

    Args:
        folder: of the model.
        out: folder to write to.

    Returns:
        The files that were written.

    Raises:
        BadInput: no model folder, a damaged one, or one with nothing of the released files.
    """
    config = read_config(folder)
    networks = networks_from_settings(config["networks"])

    def tree(component: str) -> Tree:
        return read_component(folder, config, component, place=np.asarray)

    written = []
    for kind, name in FILES.items():
        names = _clip_names(networks, config["files"], tree) if kind == "clip" else BACK_NAMES.get(kind, [])
        between = bijection(kind, names, networks)
        if all(component in config["files"] for component in between.entries):
            written.append(out / name)
            tensors = between.to_torch({c: tree(c) for c in between.entries})
            write_tensors(written[-1], tensors, nested=kind in NESTED)
    if not written:
        raise BadInput(f"{folder} holds none of the networks of the released files")
    return written


def _clip_names(networks: Networks, there: Collection[str], tree: Callable[[str], Tree]) -> list[str]:
    """Names in OpenCLIP's file by which it is known what it holds."""
    towers = {"text": "token_embedding.weight", "vision": "visual.proj"}
    rest = flatten(tree(CLIP_REST)) if CLIP_REST in there else {}
    return [
        *(name for component, name in towers.items() if component in there),
        *(e.torch for e in text_rules.open_clip_rest(networks.text) if rest.keys() >= set(e.ours)),
    ]


def _trees(paths: Mapping[str, Path | None], networks: Networks) -> dict[str, Tree]:
    """All components that the given files hold, as views of the files."""
    trees: dict[str, Tree] = {}
    for kind, path in paths.items():
        if path is not None:
            tensors = read_tensors(path)
            between = bijection(kind, tensors, networks)
            trees |= between.to_ours(tensors, shapes_of(networks, between.entries), str(path))
    return trees


def shapes_of(networks: Networks, components: Collection[str]) -> dict[str, Tree]:
    """Parameter shapes of components that released files hold."""
    shapes = networks.shapes(CHANNELS, VECTORS, [name for name in components if name != CLIP_REST])
    if CLIP_REST in components:
        text = networks.text
        features = text.width if networks.vision is None else networks.vision.features
        layer = networks.shapes(CHANNELS, VECTORS, ["text"])["text"]["layer_0"]
        shapes[CLIP_REST] = {
            f"layer_{text.layers}": layer,
            "projection": {"kernel": jax.ShapeDtypeStruct((text.width, features), jnp.float32)},
            "logit_scale": jax.ShapeDtypeStruct((), jnp.float32),
        }
    return shapes


def _from_images(path: Path, networks: Networks) -> dict[str, Tree]:
    """The UNet that begins as an image UNet, and what goes with it, as before training."""
    key = jax.random.key(0, impl="unsafe_rbg")  # the one that compiles fast
    trees = {name: networks.init(key, name, CHANNELS, VECTORS) for name in ("unet", "stc", "tokens")}
    trees["unet"] = image_unet_rules.started(networks.unet, trees["unet"], read_tensors(path), str(path))
    return trees


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to, whose files move into it if all goes well and vanish if anything fails."""
    staging = folder.absolute().with_name(f".{uuid.uuid4().hex}")
    try:
        yield staging
        folder.mkdir(parents=True, exist_ok=True)
        for path in list(staging.iterdir()) if staging.is_dir() else ():
            path.replace(folder / path.name)
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{folder} cannot be written ({reason}); give a folder that you may write to"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _configuration(networks: Networks) -> dict[str, Any]:
    """What config.json says of the released model, before its files."""
    settings = settings_of(networks)
    return {
        "name": "videocomposer",
        "networks": {
            component: {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
            for component, fields in settings.items()
        },
        "conditions": CONDITIONS,
        "schedule": {},
        "prediction": "epsilon",
        "clip": {"frames": 16, "height": 256, "width": 256, "fps": 4.0},
        "defaults": {"steps": 50, "guidance": 9.0},
        "files": {},
    }
