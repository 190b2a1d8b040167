"""`vcjax info`: what a model is made of, and what it can do."""

import math
from typing import Annotated, Any

import typer

import vcjax
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.catalogue import map_channels, vector_dims

MEGABYTE = 1e6


def info(
    model: Annotated[str, typer.Argument(help="Built-in model (tiny) or path of a model folder.")] = "tiny",
) -> None:
    """Print a model's conditions, networks, sizes and sampling defaults, and what it cannot extract."""
    from vcjax.composer.loading import fingerprint, folder_of
    from vcjax.weights.folder import read_config

    composer = vcjax.load(model)
    folder, shape = folder_of(model), composer.shape
    files = read_config(folder).get("files", {})
    schedule = composer.schedule
    latent = composer.latent_shape()
    multiple = composer.networks.size_multiple
    terminal = ", zero terminal SNR" if schedule.zero_terminal_snr else ""
    print(f"model       {composer.name}, {folder}")
    print(f"fingerprint {fingerprint(model)['sha256'][:16]}")
    print(
        f"clips       {shape.frames} frames of {shape.height}x{shape.width} (height x width) at {shape.fps:g} fps"
    )
    print(
        f"latents     {latent[0]}x{latent[1]} with {latent[2]} channels; height and width: multiples of {multiple}"
    )
    print(
        f"prediction  {composer.prediction}, {schedule.kind} schedule of {schedule.timesteps} timesteps{terminal}"
    )
    print(f"defaults    --steps {composer.defaults.steps} --guidance {composer.defaults.guidance:g}")
    print()
    _table(("condition", "kind", "array", "extracted from a video", "given as"), _conditions(composer))
    for name, condition in composer.conditions.items():
        for option, summary in condition.extract_options.items():
            print(f"--extract-option {name}.{option}=VALUE: {summary}")
    print()
    _table(("network", "parameters", "weights"), _networks(composer, files))


def _conditions(composer: Any) -> list[list[str]]:
    rows = []
    for name, condition in composer.conditions.items():
        if isinstance(condition, MapCondition):
            height, width = condition.size(composer.shape)
            array = f"{condition.count(composer.shape)}x{height}x{width}x{condition.channels}"
        elif isinstance(condition, VectorCondition):
            array = f"{condition.embed_dim}"
        else:
            array = f"{composer.networks.text.context_length} token ids"
        lacking = condition.missing_networks(composer.functions)
        able = (
            "no"
            if not condition.extractable
            else f"no: lacks the {' and '.join(lacking)} network"
            if lacking
            else "yes"
        )
        rows.append([name, condition.kind, array, able, condition.accepts])
    return rows


def _networks(composer: Any, files: Any) -> list[list[str]]:
    import jax

    shapes = composer.networks.shapes(map_channels(composer.conditions), vector_dims(composer.conditions))
    rows = []
    for name, tree in shapes.items():
        parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
        weights = f"{files[name]['bytes'] / MEGABYTE:.1f} MB" if name in files else "missing"
        rows.append([name, f"{parameters:,}", weights])
    return rows


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    for row in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
