"""`vcjax convert`, `pull`, `export` and `extend`: make model folders."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vcjax.cli import options
from vcjax.cli.options import LIST_HINT, NameList
from vcjax.cli.terminal import console
from vcjax.errors import BadInput
from vcjax.files import check_target
from vcjax.progress import ProgressCallback, report_progress

StorageType = Annotated[str, typer.Option(help="Type to store weights in: float32 or bfloat16.")]


def _file(text: str) -> Any:
    """Return an optional option that names a file."""
    return typer.Option(help=text, show_default=False)


def convert(
    out: Annotated[
        Path, typer.Option(help="Model folder to make or to complete; with --back, folder for the files.")
    ] = Path("models/videocomposer"),
    release: Annotated[
        str, typer.Option(help="Release that the UNet is of: videocomposer, tf-t2v or videolcm.")
    ] = "videocomposer",
    unet: Annotated[
        Path | None,
        _file(
            "non_ema_228000.pth; tft2v_vcomposer_non_ema_254000.pth; videolcm_vcomposer_non_ema_914000.pth."
        ),
    ] = None,
    image_unet: Annotated[
        Path | None,
        _file(
            "v2-1_512-ema-pruned.ckpt, or its UNet from diffusers: initialise the UNet from an image UNet."
        ),
    ] = None,
    autoencoder: Annotated[
        Path | None, _file("v2-1_512-ema-pruned.ckpt, or its autoencoder from diffusers.")
    ] = None,
    clip: Annotated[Path | None, _file("open_clip_pytorch_model.bin, or the same from transformers.")] = None,
    depth: Annotated[Path | None, _file("midas_v3_dpt_large.pth, or DPT-Large from transformers.")] = None,
    sketch: Annotated[Path | None, _file("table5_pidinet.pth.")] = None,
    cleaner: Annotated[Path | None, _file("sketch_simplification_gan.pth.")] = None,
    vocabulary: Annotated[Path | None, _file("CLIP's bpe_simple_vocab_16e6.txt.gz.")] = None,
    back: Annotated[Path | None, _file("Model folder to convert back to the released PyTorch files.")] = None,
    adapter: Annotated[
        Path | None,
        _file(
            "Adapters: a folder of PEFT, converted to a file; or a file of vcjax export, to such a folder."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Model that the adapters of --adapter are for.")] = "tiny",
    dtype: StorageType = "float32",
) -> None:
    """Convert released PyTorch files to a model folder, all at once or one after another, or back.

    No code in the files is run, and PyTorch is not needed.
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
    if adapter is not None:
        if back is not None or any(given.values()):
            raise BadInput("--adapter converts adapters and takes no other files: give one or the other")
        _convert_adapter(adapter, out, model)
        return
    if back is not None and any(given.values()):
        raise BadInput("--back converts a model folder and takes no files: give one or the other")
    if back is None and not any(given.values()):
        raise BadInput(f"nothing to convert: give --{', --'.join(given)} or --back")
    with report_progress("files") as progress:
        if back is None:
            settings: dict[str, Any] = {"release": release, "image_unet": image_unet, "dtype": dtype}
            missing = _convert(out, vocabulary, progress, **settings, **files)
            written = [out]
        else:
            written, missing = released.convert_back(back, out, progress=progress), []
    _print_written(written, missing)


def _convert_adapter(source: Path, out: Path, model: str) -> None:
    """Convert adapters from PEFT's files, or to them."""
    from vcjax.composer.loading import fingerprint, folder_of
    from vcjax.composer.model_config import model_from_config
    from vcjax.weights.adapters import read_adapter, write_adapter
    from vcjax.weights.convert.peft import read_peft, write_peft
    from vcjax.weights.folder import read_config

    unet = model_from_config(read_config(folder_of(model)), model).networks.unet
    if source.is_dir():
        write_adapter(out, read_peft(source, unet, fingerprint(model)))
    else:
        write_peft(out, read_adapter(source), unet)
    print(out)


def pull(
    out: Annotated[Path, typer.Option(help="Model folder to make or to complete.")] = Path(
        "models/videocomposer"
    ),
    only: Annotated[
        NameList,
        typer.Option(
            help=f"Files to download, as the options of convert name them, {LIST_HINT}.", show_default="all"
        ),
    ] = None,
    downloads: Annotated[
        Path, typer.Option(help="Folder for the released files; complete files in it are kept.")
    ] = Path("models/released"),
    dtype: StorageType = "float32",
) -> None:
    """Download the released files (16 GB, for research use) and convert them to a model folder.

    It resumes when it is run again after a broken connection.
    """
    from vcjax.weights.pull import VOCABULARY, pull

    check_target(out / "config.json")
    with report_progress(download=True) as progress:
        found = pull(downloads, options.names(only), progress)
    with report_progress("files") as progress:
        missing = _convert(out, found.pop(VOCABULARY, None), progress, dtype=dtype, **found)
    _print_written([out], missing)


def _convert(out: Path, vocabulary: Path | None, progress: ProgressCallback, **options: Any) -> list[str]:
    """Make a model folder, and return the networks that it still lacks."""
    from vcjax.conditions.tokenizer import byte_pair_tokenizer, read_merges
    from vcjax.weights.convert import released

    tokenizer = None if vocabulary is None else byte_pair_tokenizer(read_merges(vocabulary))
    config = released.convert(out, tokenizer=tokenizer, progress=progress, **options)
    return [name for name in released.NETWORKS if name not in config["files"]]


def _print_written(paths: list[Path], missing: list[str]) -> None:
    for path in paths:
        print(path)
    if missing:
        console.print(f"still missing: {', '.join(missing)}", soft_wrap=True)


def extend(
    model: Annotated[str, typer.Argument(help="Built-in model (tiny) or path of a model folder.")],
    condition: Annotated[
        str,
        typer.Option(
            help="MODULE:CLASS of the condition, of a module that is installed or in the working directory.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Model folder to make.", show_default=False)],
) -> None:
    """Extend a model by a condition of one's own, whose encoder is then to be trained (docs/custom_condition.md)."""
    from vcjax.composer.extension import extend

    added = extend(model, condition, out)
    print(f"{out}: {model} with condition {added.name}, whose encoder is not trained")


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            help="Model folder to make or to update; a file .safetensors for adapters.", show_default=False
        ),
    ],
    step: Annotated[int | None, typer.Option(help="Step of the checkpoint.", show_default="the last")] = None,
    dtype: Annotated[
        str, typer.Option(help="Type to store weights in: float16, bfloat16 or float32.")
    ] = "float16",
    merge: Annotated[
        bool, typer.Option("--merge", help="Write a model folder with the adapters merged into its UNet.")
    ] = False,
) -> None:
    """Export a checkpoint to a model folder: the EMA weights, and the networks that the run held frozen.

    Adapters are written to a file of their own, for vcjax generate --adapter.
    """
    from vcjax.training.export import export

    with report_progress("files") as progress:
        progress(f"exporting {run}", 0, 0)
        exported = export(run, out, step=step, dtype=dtype, merge=merge)
    print(f"{out}: step {exported} of {run}")
