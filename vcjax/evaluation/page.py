"""The page of an evaluation: tables as Markdown and HTML, and an HTML page with the videos of each case.

The page is one file without scripts or styles from elsewhere; its videos are images in the folder beside it.
"""

import dataclasses
import html
import math
import re
from collections.abc import Mapping, Sequence

MISSING = "\N{EN DASH}"
NUMBERS = ("value", "interval", "baseline", "reference", "normalised", "relative to single")
STYLE = """
body { font-family: system-ui, sans-serif; line-height: 1.4; }
body { margin: 2em auto; max-width: 80em; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { font-weight: bold; padding: .3em 0; text-align: left; }
th, td { border-bottom: 1px solid #ddd; padding: .2em .8em; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
.number { text-align: right; white-space: nowrap; }
.wide { margin: 1em 0; overflow-x: auto; }
.failed { color: #b00020; }
dt { font-weight: bold; }
figure { margin: 1em 0; }
figure img { height: auto; image-rendering: pixelated; max-width: 100%; }
figcaption, .notes { color: #444; }
""".strip()


class Notes:
    """Numbered reasons for values that do not exist; equal reasons share a number.

    ```python
    notes = Notes()
    notes.cell("the baseline is 0")    # "– (1)"
    notes.lines                        # ["(1) the baseline is 0"]
    ```
    """

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def cell(self, reason: str) -> str:
        """Return the cell of a value that does not exist for this reason."""
        return f"{MISSING} ({self._numbers.setdefault(reason, len(self._numbers) + 1)})"

    def number(self, value: float, reason: str) -> str:
        """Return a number with three digits, or the cell of one that is NaN or infinite for this reason."""
        return f"{value:.3g}" if math.isfinite(value) else self.cell(reason)

    @property
    def lines(self) -> list[str]:
        """The reasons with their numbers."""
        return [f"({number}) {reason}" for reason, number in self._numbers.items()]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        title: what it shows.
        columns: headers; those in `NUMBERS` stand to the right, over their numbers.
        rows: a text for each column.
        notes: lines below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def without_empty_columns(self) -> "Table":
        """Return the table without the columns that are empty in all rows."""
        filled = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        rows = [[row[i] for i in filled] for row in self.rows]
        return dataclasses.replace(self, columns=[self.columns[i] for i in filled], rows=rows)


@dataclasses.dataclass(frozen=True)
class Shown:
    """A video on the page.

    Attributes:
        source: its path, relative to the page.
        size: height and width in pixels.
        columns: labels of what it shows side by side.
        caption: text below it.
    """

    source: str
    size: tuple[int, int]
    columns: Sequence[str]
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """The videos of a case, and what they were made from."""

    title: str
    description: str
    videos: Sequence[Shown]


def markdown(table: Table) -> str:
    """Return a table and its notes in Markdown."""
    rule = ["---:" if name in NUMBERS else "---" for name in table.columns]
    lines = [f"| {' | '.join(cells)} |\n" for cells in (table.columns, rule, *table.rows)]
    return "".join(lines) + "".join(f"\n{note}\n" for note in table.notes)


def page(
    title: str, protocol: str, legend: Mapping[str, str], tables: Sequence[Table], sections: Sequence[Section]
) -> str:
    """Return an HTML page.

    Args:
        title: title of the page.
        protocol: how the videos were made.
        legend: terms of the page and their meaning.
        tables: tables, in their order.
        sections: videos, by case.
    """
    terms = "\n".join(
        f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in legend.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{STYLE}
</style>
</head>
<body>
<header>
<h1>{html.escape(title)}</h1>
<p>{html.escape(protocol)}</p>
<dl>
{terms}
</dl>
</header>
<main>
<section>
<h2>Scores</h2>
{"".join(map(_table, tables))}</section>
<section>
<h2>Videos</h2>
{"".join(map(_section, sections))}</section>
</main>
</body>
</html>
"""


def _table(table: Table) -> str:
    """Return a table in HTML, whose cases link to their videos."""
    kinds = [' class="number"' if name in NUMBERS else "" for name in table.columns]
    header = "".join(
        f'<th scope="col"{kind}>{html.escape(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    body = []
    for row in table.rows:
        cells = [f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)]
        if table.columns[0] == "case":
            cells[0] = f'<td><a href="#{_anchor(row[0])}">{html.escape(row[0])}</a></td>'
        if row[-1] == "failed":
            cells[-1] = '<td class="failed">failed</td>'
        body.append(f"<tr>{''.join(cells)}</tr>\n")
    notes = "".join(f'<p class="notes">{html.escape(note)}</p>\n' for note in table.notes)
    return (
        f'<div class="wide"><table>\n<caption>{html.escape(table.title)}</caption>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{''.join(body)}</tbody>\n</table></div>\n{notes}"
    )


def _section(section: Section) -> str:
    figures = "".join(map(_figure, section.videos))
    return (
        f'<section id="{_anchor(section.title)}">\n<h3>{html.escape(section.title)}</h3>\n'
        f"<p>{html.escape(section.description)}</p>\n{figures}</section>\n"
    )


def _figure(video: Shown) -> str:
    height, width = video.size
    alt = f"Side by side: {', '.join(video.columns)}. {video.caption}"
    return (
        f'<figure><img src="{html.escape(video.source)}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{html.escape(alt)}">\n<figcaption>{html.escape(video.caption)}</figcaption></figure>\n'
    )


def _anchor(name: str) -> str:
    """Return the name of a case as an identifier of HTML, which has no spaces."""
    return re.sub(r"[^\w.+-]", "_", name)
