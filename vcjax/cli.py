"""The command line: `vcjax generate`, `extract`, `pull`, `convert`, `train` and `export`. Options for conditions come from the catalogue."""

import contextlib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import vcjax
from vcjax import cli_data, cli_evaluate, cli_inspect, cli_plan
from vcjax.conditions.base import Footage
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.conditions.media import sampled
from vcjax.conditions.preview import fitted, side_by_side
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import check_target, replacing

app = typer.Typer(
    help="VideoComposer in JAX: video synthesis by composition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
PREVIEW = "preview.mp4"

Model = Annotated[str, typer.Option(help="A built-in model (tiny), or the path of a model folder.")]
Seed = Annotated[int, typer.Option(help="Of the first noise and of everything drawn at random.")]
Frames = Annotated[int | None, typer.Option(help="Number of frames. (default: the model's)")]
Size = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH in pixels. (default: the model's)")]
Strengths = Annotated[
    list[str] | None, typer.Option("--strength", help="Factor for a condition, as NAME=NUMBER. Repeatable.")
]

StoredType = Annotated[str, typer.Option(help="Type to store weights in: float32 or bfloat16.")]


def main() -> None:
    """Run the command line; what a person got wrong becomes one sentence and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        app()
    except BadInput as error:
        console.print(f"[red]error:[/] {_escaped(error)}", soft_wrap=True)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """VideoComposer in JAX: video synthesis by composition."""
    if version:
        print(f"vcjax {vcjax.__version__}")
        raise typer.Exit


def generate(
    out: Annotated[Path, typer.Option(help="Video to write: .mp4, .gif, .webp, or .png for a grid.")] = Path(
        "outputs/video.mp4"
    ),
    model: Model = "tiny",
    steps: Annotated[int | None, typer.Option(help="Sampling steps. (default: the model's)")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of guidance. (default: the model's)")] = None,
    toward: Annotated[
        str | None, typer.Option(help="Conditions that guidance leads toward, by comma. (default: all)")
    ] = None,
    away: Annotated[
        str | None,
        typer.Option(help="Conditions that it leads away from, by comma. (default: all but text and style)"),
    ] = None,
    strength: Strengths = None,
    eta: Annotated[float, typer.Option(help="Noise of the sampler: 0 is DDIM, 1 is DDPM.")] = 0.0,
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    devices: Annotated[
        int | None, typer.Option(help="How many devices share the frames of the video. (default: one)")
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(help="Folder to keep compiled programs in and to start from; only one that you trust."),
    ] = None,
    **conditions: Any,
) -> None:
    """Make a video from any subset of the conditions.

    Maps come finished (--motion FILE) or are extracted from footage (--motion-from FILE).
    """
    from vcjax.video.write import check_output

    check_output(out)
    given = _given(conditions)
    composer = vcjax.load(model, programs=programs, mesh=_mesh(devices))
    with _bar() as progress:
        clip = composer(
            steps=steps,
            guidance=guidance,
            toward=_names(toward),
            away=_names(away),
            strength=_strengths(strength),
            eta=eta,
            seed=seed,
            frames=frames,
            size=_size(size),
            progress=progress,
            **given,
        )
    clip.save(out)
    print(out)


def extract(
    source: Annotated[Path, typer.Argument(help="Footage: any video or picture.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the arrays and the preview. (default: outputs/NAME)")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Conditions to extract, by comma. (default: all the model can)")
    ] = None,
    model: Model = "tiny",
    seed: Seed = 0,
    frames: Frames = None,
    size: Size = None,
    **options: Any,
) -> None:
    """Take a video apart: every condition that can be extracted, as arrays and side by side in a preview video.

    What cannot be extracted, such as the text, is shown beside them where it is given.
    """
    out = out or Path("outputs") / source.stem
    composer = vcjax.load(model)
    shape = composer.clip_shape(frames, _size(size))
    lacking = {name: c.lacks(composer.functions) for name, c in composer.conditions.items() if c.extractable}
    able = [name for name, networks in lacking.items() if not networks]
    finished = {name: options[name] for name in composer.conditions if options.get(name) is not None}
    names = able if only is None else _names(only)
    if not names:
        raise BadInput(f"--only must name conditions, such as {','.join(able)}")
    targets = {name: out / f"{name}.npy" for name in dict.fromkeys([*finished, *names])}
    for path in (*targets.values(), out / PREVIEW):
        check_target(path)
    clip = sampled(Footage(source), shape)
    footage = {name: Footage(clip, _aids(name, options)) for name in targets}
    arrays = composer.read(footage | finished, shape, seed)
    columns = {"footage": fitted(clip.frames, shape), **composer.preview(arrays, shape)}
    for name, path in targets.items():
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, arrays[name])
        print(path)
    side_by_side(columns, shape.fps).save(out / PREVIEW)
    print(out / PREVIEW)
    if only is None:
        for name, networks in lacking.items():
            if networks:
                console.print(
                    f"not extracted: {name}, since this model has no {' and no '.join(networks)} network"
                )


def _file(text: str) -> Any:
    """An option that names a file or nothing."""
    return typer.Option(help=text, show_default=False)


@app.command()
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


@app.command()
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
    with _bar(DownloadColumn()) as progress:
        found = pull(files, _names(only), progress)
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


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def train(context: typer.Context) -> None:
    """Train: --config=FILE of configs/, and --config.KEY=VALUE for what is to be otherwise. Goes on where it stopped."""
    from vcjax.training.__main__ import main

    raise typer.Exit(main(context.args))


@app.command()
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


def _register(command: Callable[..., None], options: list[inspect.Parameter]) -> None:
    """Make a command of a function that takes these options as keywords beside its own parameters."""
    own = [
        p.replace(kind=p.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        command(**values)

    del with_options.__wrapped__  # or its signature would be read
    with_options.__signature__ = inspect.Signature(options + own)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in options + own}
    app.command()(with_options)


def _condition_options() -> list[inspect.Parameter]:
    """One option for each way that the catalogue can be handed a condition."""
    options = []
    for name, family in CATALOGUE.items():
        options.append(_option(name, _flag(name), f"{family.summary}: {family.accepts}."))
        if family.extractable:
            options.append(_option(f"{name}_from", f"{_flag(name)}-from", f"Footage to extract {name} from."))
    return options + _aid_options()


def _beside_footage_options() -> list[inspect.Parameter]:
    """One option for each condition that cannot be extracted, and for each further input of those that can."""
    finished = [
        _option(name, _flag(name), f"{family.summary}: {family.accepts}.")
        for name, family in CATALOGUE.items()
        if not family.extractable
    ]
    return finished + _aid_options()


def _aid_options() -> list[inspect.Parameter]:
    """One option for each further input of the catalogue's extractions."""
    return [
        _option(f"{name}_{aid}", f"{_flag(name)}-{aid}", f"For {name} from footage: {summary}.")
        for name, family in CATALOGUE.items()
        for aid, summary in family.aids.items()
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _aids(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The further inputs that are given for a condition."""
    family = CATALOGUE.get(name)
    named = {} if family is None else {aid: options[f"{name}_{aid}"] for aid in family.aids}
    return {aid: value for aid, value in named.items() if value is not None}


def _option(name: str, flag: str, text: str) -> inspect.Parameter:
    option = typer.Option(flag, help=text[0].upper() + text[1:], rich_help_panel="Conditions")
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Values of the conditions' options, as the composer takes them."""
    given = {}
    for name in CATALOGUE:
        finished, footage = options[name], options.get(f"{name}_from")
        aids, flag = _aids(name, options), _flag(name)
        if finished is not None and footage is not None:
            raise BadInput(f"{flag} and {flag}-from exclude one another: give one of them")
        if aids and footage is None:
            raise BadInput(f"{flag}-{next(iter(aids))} needs {flag}-from")
        if footage is not None:
            given[name] = Footage(footage, aids)
        elif finished is not None:
            given[name] = finished
    return given


def _mesh(devices: int | None) -> Any:
    """The mesh whose devices share the frames of one clip."""
    import jax

    from vcjax.parallel.mesh import MeshShape, make_mesh

    if devices is None:
        return None
    return make_mesh(MeshShape(data=1, frames=devices), jax.devices()[: max(devices, 1)])


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _strengths(pairs: list[str] | None) -> dict[str, float]:
    strengths = {}
    for pair in pairs or ():
        name, _, number = pair.partition("=")
        try:
            strengths[name] = float(number)
        except ValueError as error:
            raise BadInput(f"--strength must be NAME=NUMBER, such as depth=0.5, not {pair!r}") from error
    return strengths


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise BadInput(f"--size must be HEIGHTxWIDTH, such as 64x96, not {text!r}")
    return int(height), int(width)


@contextlib.contextmanager
def _bar(count: ProgressColumn | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar with the time left, told of stages and steps, which `count` shows."""
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        count or MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    words = {"compiling": "compiling, or loading what was compiled"}
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)
        current = ""

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal current
            if stage != current and done < total:  # the time left is that of a stage, from where it begins
                bar.reset(task, completed=done)
                current = stage
            bar.update(task, description=words.get(stage, stage), completed=done, total=total)

        yield tell


def _show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    if issubclass(category, VcjaxWarning):
        console.print(f"[yellow]warning:[/] {_escaped(message)}", soft_wrap=True)
    else:
        sys.stderr.write(warnings.formatwarning(str(message), category, filename, lineno))


def _escaped(message: object) -> str:
    from rich.markup import escape

    return escape(str(message))


app.command()(cli_data.prepare)
app.command()(cli_inspect.inspect)
app.command()(cli_evaluate.evaluate)
app.command(context_settings={"ignore_unknown_options": True})(cli_plan.plan)
_register(generate, _condition_options())
_register(extract, _beside_footage_options())

if __name__ == "__main__":
    main()
