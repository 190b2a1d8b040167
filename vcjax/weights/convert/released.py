"""A model folder from the released PyTorch files, at the released sizes; and the way back."""

import contextlib
import dataclasses
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.weights.convert import autoencoder as autoencoder_rules
from vcjax.weights.convert import text as text_rules
from vcjax.weights.convert import unet as unet_rules
from vcjax.weights.convert.rules import Entry, Ignored, to_ours, to_torch
from vcjax.weights.folder import CONFIG, TOKENIZER, read_config, write_component, write_config
from vcjax.weights.networks import Networks, networks_from_settings, settings_of
from vcjax.weights.torch_files import read_tensors
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

RELEASED = Networks()


@dataclasses.dataclass(frozen=True)
class Bijection:
    """Between one file's tensors and ours: entries by component, and what else the file may hold."""

    entries: Mapping[str, Sequence[Entry]]
    ignored: Sequence[Ignored]

    def to_ours(
        self, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Tree], source: str
    ) -> dict[str, Tree]:
        """Trees of the components; see `rules.to_ours`."""
        named = {f"{c}/{n}": leaf.shape for c in self.entries for n, leaf in flatten(shapes[c]).items()}
        return unflatten(to_ours(self._all(), tensors, named, self.ignored, source))

    def to_torch(self, trees: Mapping[str, Tree]) -> dict[str, np.ndarray]:
        """PyTorch's tensors of the components' trees, to be written by `safetensors_files.write_tensors`.

        The file then loads with `load_state_dict(safetensors.torch.load_file(path), strict=True)`.
        """
        flat = flatten({component: trees[component] for component in self.entries})
        return to_torch(self._all(), {name: np.asarray(x) for name, x in flat.items()})

    def _all(self) -> list[Entry]:
        return [
            dataclasses.replace(e, ours=tuple(f"{component}/{name}" for name in e.ours))
            for component, entries in self.entries.items()
            for e in entries
        ]


def bijection(kind: str, names: Collection[str], networks: Networks = RELEASED) -> Bijection:
    """Between a file whose tensors have these names, and ours.

    Args:
        kind: `unet` (with the condition encoders and the style MLP), `autoencoder` or `text`.
        names: of the file's tensors, which say in what layout they are.
        networks: the sizes.
    """
    if kind == "unet":
        entries = {
            "unet": unet_rules.unet_entries(networks.unet),
            "stc": [entry for name in CHANNELS for entry in unet_rules.stc_entries(name)],
            "tokens": unet_rules.tokens_entries(),
        }
        return Bijection(entries, unet_rules.IGNORED)
    if kind == "autoencoder":
        entries = {kind: autoencoder_rules.entries_for(networks.autoencoder, names)}
        return Bijection(entries, autoencoder_rules.IGNORED)
    entries = {kind: text_rules.entries_for(networks.text, names)}
    return Bijection(entries, text_rules.ignored_for(networks.text))


def convert(
    folder: Path,
    *,
    unet: Path | None = None,
    autoencoder: Path | None = None,
    text: Path | None = None,
    tokenizer: str | None = None,
    dtype: str = "float32",
    networks: Networks = RELEASED,
) -> dict[str, Any]:
    """Make a model folder from released files, or complete one: what is not given stays as it is.

    All files are checked before anything is written, and `config.json` comes last.

    Args:
        folder: of the model.
        unet: `non_ema_228000.pth`: the UNet, the condition encoders and the style MLP.
        autoencoder: `v2-1_512-ema-pruned.ckpt`, or the autoencoder alone.
        text: `open_clip_pytorch_model.bin`, or the same model from transformers.
        tokenizer: content of `tokenizer.json`.
        dtype: float32 or bfloat16, to store floating-point tensors in.
        networks: the sizes; the released ones but in tests.

    Returns:
        The configuration that was written.

    Raises:
        BadInput: a file is damaged, unsafe or of another network, or the folder holds another model.
    """
    if dtype not in ("float32", "bfloat16"):
        raise BadInput(f"weights are stored as float32 or bfloat16, not {dtype}")
    config = _configuration(networks)
    if (folder / CONFIG).exists():
        existing = read_config(folder)
        if networks_from_settings(existing["networks"]) != networks:
            raise BadInput(f"{folder} holds a model of other sizes; give another folder")
        config["files"] = dict(existing["files"])
    trees = _trees({"unet": unet, "autoencoder": autoencoder, "text": text}, networks)
    with _staging(folder) as staging:
        for component, tree in trees.items():
            config["files"][component] = write_component(staging, component, tree, dtype)
        if tokenizer is not None:
            with replacing(staging / TOKENIZER) as unfinished:
                unfinished.write_text(tokenizer, "utf-8")
    write_config(folder, config)
    return config


def _trees(paths: Mapping[str, Path | None], networks: Networks) -> dict[str, Tree]:
    """All components that the given files hold, as views of the files."""
    shapes = networks.shapes(CHANNELS, VECTORS)
    trees: dict[str, Tree] = {}
    for kind, path in paths.items():
        if path is not None:
            tensors = read_tensors(path)
            trees |= bijection(kind, tensors, networks).to_ours(tensors, shapes, str(path))
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
