"""`vcjax evaluate`: condition fidelity of a model, on the sprite world or on a prepared data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vcjax
from vcjax.cli import options
from vcjax.cli.options import (
    LIST_HINT,
    Guidance,
    GuidanceEvery,
    Interval,
    Model,
    NameList,
    Rescale,
    ReuseEvery,
    SamplerName,
    Steps,
)
from vcjax.cli.terminal import console
from vcjax.conditions.catalogue import CATALOGUE
from vcjax.diffusion.samplers import sampler_named
from vcjax.errors import BadInput
from vcjax.files import check_target
from vcjax.progress import report_progress

GROUPS = ("single", "tasks")  # of evaluation cases, where none are named


def evaluate(
    model: Model = "tiny",
    clips: Annotated[int, typer.Option(min=1, help="Clips per case.")] = 64,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: SamplerName = None,
    guidance_interval: Interval = None,
    guidance_rescale: Rescale = 0.0,
    guidance_every: GuidanceEvery = 1,
    reuse_every: ReuseEvery = 1,
    groups: Annotated[
        NameList,
        typer.Option(
            help=f"Groups of cases on the sprite world (single, tasks, pairs, curves, chains), {LIST_HINT}. ",
            show_default=",".join(GROUPS),
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Prepared data set to take clips from instead of the sprite world.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of --data.", show_default="validation")] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="With --data: MODULE:FUNCTION that maps videos to features, for the Frechet video distance."
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            help="Sample only shard I of N of the videos, as in 0/2, and score nothing: for several processes.",
            show_default="all",
        ),
    ] = "",
    examples: Annotated[int, typer.Option(min=0, help="Videos of each case on the page.")] = 4,
    out: Annotated[
        Path, typer.Option(help="Folder for videos, scores and page; videos in it are reused.")
    ] = Path("evaluation"),
) -> None:
    """Measure how well a model follows its conditions, on clips that it was not trained on."""
    from vcjax.composer.loading import fingerprint
    from vcjax.data.records import checksum
    from vcjax.evaluation.evaluator import PROTOCOL, SPRITES, EvalProtocol

    if data is None and (features is not None or split is not None):
        raise BadInput("--features and --split need --data")
    if data is not None and groups is not None:
        raise BadInput("--groups are cases of the sprite world: give them or --data, not both")
    check_target(out / PROTOCOL)
    split = split or "validation"
    composer = vcjax.load(model)
    sampler = sampler or composer.defaults.sampler
    sampler_named(sampler)  # raises where there is none
    settings = options.guidance_settings(guidance_interval, guidance_rescale, guidance_every, reuse_every)
    protocol = EvalProtocol(
        model=fingerprint(model),
        clips=clips,
        steps=composer.defaults.steps if steps is None else steps,
        guidance=composer.defaults.guidance if guidance is None else guidance,
        data=SPRITES if data is None else f"{data.resolve().name}:{split}:{checksum(data)}",
        dtype=np.dtype(composer.networks.unet.dtype).name,
        sampler=sampler,
        settings=settings,
    )
    part, examples = _shard(shard), min(examples, clips)
    if data is None:
        _on_sprites(composer, protocol, tuple(options.names(groups) or GROUPS), part, examples, out)
    else:
        _on_dataset(composer, protocol, data, split, features, part, examples, out)


def _on_sprites(
    composer: Any, protocol: Any, groups: tuple[str, ...], part: tuple[int, int], examples: int, out: Path
) -> None:
    from vcjax.evaluation.cases import select_cases
    from vcjax.evaluation.report import PAGE, TABLE, report
    from vcjax.evaluation.sprite_evaluator import SpriteEvaluator

    cases = select_cases(groups, tuple(composer.conditions))
    if unknown := [name for name in composer.conditions if name not in CATALOGUE]:
        _note(
            f"not evaluated: {', '.join(unknown)}, which the sprite world does not have: prepare a data set and give --data"
        )
    evaluator = SpriteEvaluator(composer, protocol, out)
    if _sample(evaluator, cases, part):
        with report_progress("cases") as progress:
            progress("scoring", 0, 0)
            report(evaluator, cases, examples, out)
        print((out / TABLE).read_text("utf-8"), end="")
        print(out / PAGE)


def _on_dataset(
    composer: Any,
    protocol: Any,
    data: Path,
    split: str,
    features: str | None,
    part: tuple[int, int],
    examples: int,
    out: Path,
) -> None:
    from vcjax.data.records import PreparedDataset
    from vcjax.evaluation.dataset_evaluator import DatasetEvaluator, load_features, report

    extractor = None if features is None else load_features(features)
    evaluator = DatasetEvaluator(composer, protocol, out, PreparedDataset(data), split, extractor)
    if _sample(evaluator, evaluator.cases, part):
        with report_progress("cases") as progress:
            progress("scoring", 0, 0)
            table = report(evaluator, examples, out)
        print(table, end="")
        print(out)


def _sample(evaluator: Any, cases: Sequence[Any], part: tuple[int, int]) -> bool:
    """Sample the videos of the cases; return whether all of them exist and can be scored."""
    index, parts = part
    total = len(range(index, len(evaluator.indices), parts))
    with report_progress("videos") as progress:
        for i, case in enumerate(cases):
            for place in range(index, len(evaluator.indices), parts):
                progress(f"sampling {case.name}", i * total + place // parts, len(cases) * total)
                evaluator.generate(case, [place])
    if parts > 1:
        print(f"{total * len(cases)} videos are sampled; run without --shard to score all")
    return parts == 1


def _note(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _shard(text: str) -> tuple[int, int]:
    """Return I and N of I/N; 0 and 1 where it is empty."""
    if not text:
        return 0, 1
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise BadInput(f"--shard must be I/N with I from 0 to N - 1, such as 0/2, not {text!r}")
    return int(index), int(count)
