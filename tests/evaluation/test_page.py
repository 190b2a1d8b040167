"""The page of an evaluation: what a reader sees, for scores with and without values."""

import math
import re
from html.parser import HTMLParser

import pytest

from vcjax.evaluation.cases import CASES
from vcjax.evaluation.metrics import METRICS
from vcjax.evaluation.page import MISSING, Notes, Section, Shown, Table, markdown, page
from vcjax.evaluation.report import COLUMNS, EQUAL, LEGEND, NO_BOUND, NO_GAIN, score_table, verdict_table

NAN = math.nan
IDENTITY, MOVING = "object identity", "end-point error under a moving camera"
VOID = {"meta", "img"}


def score(**changed):
    return {
        "value": 1.0,
        "low": 0.9,
        "high": 1.0,
        "baseline": 0.5,
        "reference": 1.0,
        "normalised": 1.0,
    } | changed


class Reader(HTMLParser):
    """Collects the elements and checks that they are nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def scores():
    nothing = {"value": NAN, "low": NAN, "high": NAN}
    return {
        "image + motion": {
            IDENTITY: score(baseline=1.0, normalised=NAN, relative_to_single=nothing),
            "end-point error, pixels per frame": score(relative_to_single=score()),
        },
        "text": {"shape accuracy": score(reference=0.0)},
    }


def test_values_that_do_not_exist_are_dashes_with_a_reason(scores):
    absent = {"image + motion": {MOVING: "no camera moves"}}
    tables = [score_table(scores, absent), verdict_table(scores)]
    text = "".join(map(markdown, tables)) + page("title", "protocol", LEGEND, tables, [])
    assert "nan" not in text.lower()
    rows = {(row[0], row[1]): dict(zip(tables[0].columns, row, strict=True)) for row in tables[0].rows}
    first, moving = rows["image + motion", IDENTITY], rows["image + motion", MOVING]
    assert first["normalised"] == f"{MISSING} (1)"
    assert first["relative to single"] == f"{MISSING} (2)"
    assert moving["value"] == f"{MISSING} (3)"
    assert moving["interval"] == moving["baseline"] == ""
    assert tables[0].notes == [f"(1) {EQUAL}", f"(2) {NO_GAIN}", "(3) no camera moves"]
    values = {row[2]: row[3] for row in tables[1].rows if row[0] == "text"}
    assert values == {"at least 0.85 of reference": f"{MISSING} (1)"}
    reasons = ["the threshold is a share of the reference, which is 0", NO_GAIN, NO_BOUND]
    assert tables[1].notes == [f"({i}) {reason}" for i, reason in enumerate(reasons, 1)]


def test_every_metric_has_a_unit_and_a_direction(scores):
    assert all(metric.unit for metric in METRICS)
    assert all(bool(metric.subset) == bool(metric.subset_name) for metric in METRICS)
    table = score_table(scores, {})
    unit, better = table.columns.index("unit"), table.columns.index("better")
    assert {row[1]: (row[unit], row[better]) for row in table.rows} == {
        IDENTITY: ("share of frames", "higher"),
        "end-point error, pixels per frame": ("pixels per frame", "lower"),
        "shape accuracy": ("share of videos", "higher"),
    }


def test_a_column_that_is_empty_everywhere_is_left_out(scores):
    assert score_table({"text": scores["text"]}, {}).columns == list(COLUMNS[:-1])
    assert "relative to single" in score_table(scores, {}).columns


def test_headers_are_aligned_as_their_columns():
    table = Table("t", ["case", "value", "interval"], [["a", "1", "1 to 2"], ["b", "2", "1 to 3"]])
    assert markdown(table).splitlines()[:2] == ["| case | value | interval |", "| --- | ---: | ---: |"]
    reader = Reader(page("title", "protocol", LEGEND, [table], []))
    kinds = [attributes.get("class") for attributes in reader.all("th")]
    assert kinds == [None, "number", "number"]
    assert [attributes.get("class") for attributes in reader.all("td")] == kinds * 2
    assert all(attributes["scope"] == "col" for attributes in reader.all("th"))


def test_the_page_explains_its_terms_first_and_needs_nothing_from_elsewhere(scores):
    caption = 'a "red" star < a circle'
    video = Shown("shown/text_+_image-0000.webp", (144, 384), ["target", "text", "result"], caption)
    sections = [
        Section(name, "Generated from it.", [video]) for name in ("text + image", "image, guidance 2")
    ]
    text = page("title", "protocol", LEGEND, [score_table(scores, {})], sections)
    reader = Reader(text)
    assert text.index("baseline (none)") < text.index("reference (truth)") < text.index("<table")
    assert reader.elements[0] == ("html", {"lang": "en"})
    assert {"charset": "utf-8"} in reader.all("meta")
    assert not reader.all("script")
    assert not reader.all("link")
    assert not re.search("https?://|url\\(|@import", text)
    for image in reader.all("img"):
        assert image["src"] == video.source
        assert (image["width"], image["height"]) == ("384", "144")
        assert image["alt"] == f"Side by side: target, text, result. {caption}"
    assert text.count("<figcaption>a &quot;red&quot; star &lt; a circle</figcaption>") == 2


def test_every_case_of_the_scores_links_to_its_videos():
    sections = [Section(name, "", []) for name in CASES]
    tables = [Table("t", ["case", "value"], [[name, "1"] for name in CASES])]
    reader = Reader(page("title", "protocol", LEGEND, tables, sections))
    identifiers = [attributes["id"] for attributes in reader.all("section") if "id" in attributes]
    assert len(set(identifiers)) == len(CASES)
    assert [attributes["href"] for attributes in reader.all("a")] == [f"#{name}" for name in identifiers]


def test_equal_reasons_share_a_number():
    notes = Notes()
    cells = [notes.number(x, why) for x, why in ((NAN, "a"), (math.inf, "b"), (NAN, "a"), (0.12345, "c"))]
    assert cells == [f"{MISSING} (1)", f"{MISSING} (2)", f"{MISSING} (1)", "0.123"]
    assert notes.lines == ["(1) a", "(2) b"]
