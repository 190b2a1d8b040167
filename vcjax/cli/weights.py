"""`vcjax convert`, `pull` and `export`: where model folders come from."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import DownloadColumn

from vcjax.cli import options
from vcjax.cli.terminal import console, progress_bar
from vcjax.errors import BadInput
from vcjax.files import check_target

StoredType = Annotated[str, typer.Option(help="Type to store weights in: float32 or bfloat16.")]


def _file(text: str) -> Any:
    """An option that names a file or nothing."""
    return typer.Option(help=text, show_default=False)


def convert(
    out: Annotated[
        Path, typer.Option(help="Model folder to make, or to complete; with --back, folder for the files.")
    ] = Path("models/videocomposer"),
    unet: Annotated[Path | None, _file("non_ema_228000.pth.")] = None,
    image_unet: Annotated[
        Path | None,
        _file("v2-1_512-ema-pruned.ckpt, or its UNet from diffusers: the UNet begins as this one of images."),
    ] = None,
    autoencoder: Annotated[
        Path | None, _file("v2-1_512-ema-pruned.ckpt, or its autoencoder from diffusers.")
    ] = None,
    clip: Annotated[Path | None, _file("open_clip_pytorch_model.bin, or the same from transformers.")] = None,
    depth: Annotated[Path | None, _file("midas_v3_dpt_large.pth, or DPT-Large from transformers.")] = None,
    sketch: Annotated[Path | None, _file("table5_pidinet.pth.")] = None,
    cleaner: Annotated[Path | None, _file("sketch_simplification_gan.pth.")] = None,
    vocabulary: Annotated[Path | None, _file("CLIP's bpe_simple_vocab_16e6.txt.gz.")] = None,
    back: Annotated[Path | None, _file("A model folder to make the released files of, for PyTorch.")] = None,
    dtype: StoredType = "float32",
) -> None:
    """Make a model folder from the released PyTorch files, all at once or one after another; or the way back.

    Nothing in the files is run, and PyTorch is not needed.
    """
    from vcjax.weights.convert import released

    files: dict[str, Any] = {
        "unet": unet,
        "autoencoder": autoencoder,
        "clip": clip,
        "depth": depth,
        "sketch": sketch,
        "cleaner": cleaner,
    }
    given = {"image-unet": image_unet, "vocabulary": vocabulary, **files}
    if back is not None:
        if any(given.values()):
            raise BadInput("--back makes files of a model folder and takes no files: give one or the other")
        for path in released.convert_back(back, out):
            print(path)
        return
    if not any(given.values()):
        raise BadInput(f"nothing to convert: give --{', --'.join(given)} or --back")
    _convert(out, vocabulary, image_unet=image_unet, dtype=dtype, **files)


def pull(
    out: Annotated[Path, typer.Option(help="Model folder to make, or to complete.")] = Path(
        "models/videocomposer"
    ),
    only: Annotated[
        str | None,
        typer.Option(
            help="Files, by comma, as the options of convert name them, such as unet. (default: all)"
        ),
    ] = None,
    files: Annotated[
        Path, typer.Option(help="Folder for the released files; what is there and whole stays.")
    ] = Path("models/released"),
    dtype: StoredType = "float32",
) -> None:
    """Download the released files (16 GB, for research use) and make a model folder from them.

    Run it again after a broken connection: it goes on where it stopped.
    """
    from vcjax.weights.pull import VOCABULARY, pull

    check_target(out / "config.json")
    with progress_bar(DownloadColumn()) as progress:
        found = pull(files, options.names(only), progress)
    _convert(out, found.pop(VOCABULARY, None), dtype=dtype, **found)


def _convert(out: Path, vocabulary: Path | None, **options: Any) -> None:
    """Make a model folder, and say what it still lacks."""
    from vcjax.conditions.tokenizer import byte_pair_tokenizer, merges_of_file
    from vcjax.weights.convert import released

    tokenizer = None if vocabulary is None else byte_pair_tokenizer(merges_of_file(vocabulary))
    config = released.convert(out, tokenizer=tokenizer, **options)
    print(out)
    missing = [name for name in released.NETWORKS if name not in config["files"]]
    if missing:
        console.print(f"still missing: {', '.join(missing)}")


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Model folder to make, or to renew.", show_default=False)],
    step: Annotated[int | None, typer.Option(help="Of the checkpoint. (default: the last)")] = None,
    dtype: Annotated[str, typer.Option(help="Type to store weights in.")] = "float16",
) -> None:
    """Make a model folder of a checkpoint: the averaged weights, and what the run held frozen."""
    from vcjax.training.export import export

    exported = export(run, out, step=step, dtype=dtype)
    print(f"{out}: step {exported} of {run}")
