"""Retired names: the words that this code base does not use for things of the field, and the exceptions with reasons.

`python -m tests.test_names` prints what remains, with its reason.
"""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".py", ".md", ".sh", ".yaml", ".toml", ".json")
THIS = "tests/test_names.py"


class Retired(NamedTuple):
    """A retired word.

    Attributes:
        pattern: where it counts: as a name, or in prose in the retired meaning.
        instead: the word of the field.
    """

    pattern: str
    instead: str


RETIRED = (
    Retired(r"(?<![A-Za-z.])(told|tells?|Tell)(?![A-Za-z])", "progress, report"),
    Retired(r"""["']still["']|\bstills\b|\ba still\b(?! image| or)""", "spatial"),
    Retired(r"""kind.{0,12}["']sequence["']""", "temporal"),
    Retired(r"(?<![A-Za-z])(away|toward)(?![A-Za-z])", "negative, positive"),
    Retired(r"(?<![A-Za-z])(answers?|wanted|(?<!standard )deviations?)(?![A-Za-z])", "prediction, target, std"),
    Retired(r"\bclean latents?\b|[\"']clean[\"']|\bclean=", "x0"),
    Retired(r"signal_and_noise|schedule\.(start|end)\b|\brow\.(keep|add)\b", "alpha_sigma, beta_start"),
    Retired(r"\b(head_size|entry_heads|multipliers)\b|\bwidth_multipliers\b", "head_dim, num_input_heads"),
    Retired(r"\bframe_numbers\b|\.numbers\b", "frame_index"),
    Retired(r"\b(sinusoids|TowerLayer|exact_gelu)\b|\bgated[(.]", "sinusoidal_embedding, TransformerBlock"),
    Retired(r"(?<![A-Za-z])(apart|suited|back_to_frames|attending|gathering)(?![A-Za-z])|\bby_pixels\(", "layouts"),
    Retired(r"\b(?<=\.)(merged|alone|whole)\(", "flatten_frames, is_single_device, replicated"),
    Retired(r"\b(average|parts|programs)=|\brun\.(average|parts|start|programs|dtype)\b", "ema, frozen_from"),
    Retired(r"(?<!FLOPs )utili[sz]ation", "mfu"),
    Retired(r"\b(Picked|Example|aids)\b|(?<![A-Za-z])material(?![A-Za-z])", "IndexBatch, TrainingBatch"),
    Retired(r"\b(Watch|assemble)\b", "TrainingMonitor, build"),
    Retired(r"\bWorkshop\b|(?<![A-Za-z])bench(?![A-Za-z])", "FeatureExtractor, device pool"),
    Retired(r"\b(Board|Scoreboard|EvalSetting|givers?)\b|\bbars\.|\bobeys?\b", "Evaluator, thresholds"),
    Retired(r"\bfate\b|\bfew\b(?=[\"'.]?\s*[=:,)\]])", "dropout mode, sparse"),
    Retired(r"(?<![A-Za-z])[Ff]ootage(?![A-Za-z])", "SourceVideo"),
    Retired(r"(?<![A-Za-z])(listing|Listing|Lost)(?=[.(_: \[])|\bplaces\b", "manifest, indices, SkippedFile"),
)  # fmt: skip


class Remains(NamedTuple):
    """A use of a retired word that stays.

    Attributes:
        word: the text that matched.
        files: regular expression of the file names.
        reason: why it stays.
    """

    word: str
    files: str
    reason: str


REMAINS = (
    Remains("Example", "vcjax/data/(inspection|records).py", "tf.train.Example, the message of a TFRecord"),
)


class Use(NamedTuple):
    """A place where a retired word stands."""

    file: str
    line: int
    word: str
    text: str
    instead: str


def uses():
    """Every use of a retired word in the files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = sorted({name for name in listed.stdout.split("\0") if name.endswith(SUFFIXES)} - {THIS})
    for name in names:
        path = ROOT / name
        if not path.is_file() or path.is_symlink() or "builtin" in name:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for pattern, instead in RETIRED:
                for match in re.finditer(pattern, line):
                    yield Use(name, number, match[0], line.strip(), instead)


def reason(use):
    """Return why a use stays; None where it should not."""
    found = [each.reason for each in REMAINS if each.word == use.word and re.fullmatch(each.files, use.file)]
    return found[0] if found else None


@pytest.fixture(scope="module")
def found():
    every = list(uses())
    if not every:
        pytest.skip("not a git repository")
    return every


def test_no_retired_name_is_used_without_a_reason(found):
    assert [f"{use.file}:{use.line}: {use.word}" for use in found if reason(use) is None] == []


def test_every_exception_is_needed(found):
    for each in REMAINS:
        assert any(use.word == each.word and re.fullmatch(each.files, use.file) for use in found), each


if __name__ == "__main__":
    for use in uses():
        print(f"{use.file}:{use.line}: {use.word!r} ({reason(use) or 'NO REASON: ' + use.instead})")
