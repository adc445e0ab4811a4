"""The report holds everything, reaches for nothing outside itself, and shows hostile text as text."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.table import LesionTable
from ChiSeparationLib.report.html import Picture, ReportContent, render_report, write_report
from ChiSeparationLib.report.table import MapSummary
from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError, OutputError

HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>&lt; "quoted" {{ 7 * 7 }} | : ; 病変"""
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open_tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "br"):
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def example_table(name: str = "") -> LesionTable:
    """Two lesions: one hyperintense in chi_para, one outside the field mask."""
    grid = Grid((24, 24, 24), np.eye(4))
    labels = np.zeros(grid.shape, dtype=np.int16)
    labels[8:12, 8:12, 8:12], labels[20:24, 20:24, 20:24] = 1, 2
    valid = np.ones(grid.shape, dtype=bool)
    valid[18:] = False
    para = np.random.default_rng(1).normal(40.0, 4.0, grid.shape) + 15.0 * (labels == 1)
    arrays = {"chi_para": para / 1e3, "brain_mask": valid}
    scan = ScanParameters(echo_times_s=(0.005, 0.010), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    maps = MapSet(grid, scan, {key: Map(name=key, data=data, grid=grid) for key, data in arrays.items()})
    return grade_lesions(maps, Map(name="lesions", data=labels, grid=grid), names={1: name})


def full_content(picture: Path, text: str = "plain") -> ReportContent:
    return ReportContent(
        title=text,
        method={"unwrapping": text, text: "x"},
        provenance={"options": {"steps": [1, 2], "rate": 0.123456789, text: text}, "weights": Path("/a/b/net.st")},
        findings=(text,),
        warnings=(text,),
        maps=(MapSummary(text, "ppm", text, 0.0123, 0.0045, text, 99),),
        pictures=(Picture(text, picture),),
        lesions={text: example_table(text)},
        evaluation={text: {"NRMSE, %": 38.1}, "chi_dia": {"HFEN, %": 48.4}},
        simulated=True,
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "map.png"
    path.write_bytes(PNG)
    return path


def test_every_part_is_on_the_page(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    write_report(path, full_content(picture))
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open_tags == []
    for words in (
        "Simulated data: no patient was measured.",
        "Research use only; not for clinical decisions.",
        "Grades are computed suggestions, not a reading",
        "hyperintense suggestion, not a reading",
        "no suggestion",
        "100% of the lesion's voxels lie outside the valid field",
        "options.steps 1, 2",
        "options.rate 0.123457",
        "weights net.st",
        f"ChiSeparation {__version__}",
        "38.100",
        "both 10 ppb and 1.5 SD",
        "0.0123",
    ):
        assert words in " ".join(" ".join(page.words).split()), words


def test_every_suggested_grade_is_marked(picture: Path) -> None:
    page = render_report(full_content(picture))
    grades = page.count('<span class="grade">')
    assert grades == 1
    assert page.count('</span> <span class="mark">suggestion, not a reading</span>') == grades


def test_hostile_text_stays_text(picture: Path) -> None:
    page = Page(render_report(full_content(picture, HOSTILE)))
    assert page.open_tags == []
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count('alert("x")') == 15
    assert "{{ 7 * 7 }}" in page.text


def test_page_needs_nothing_outside_itself(picture: Path) -> None:
    text = render_report(full_content(picture))
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "href", "srcset", "data")]
    assert len(sources) == 1 and sources[0].startswith("data:image/png;base64,")
    assert base64.b64decode(sources[0].partition(",")[2]) == PNG
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_an_empty_report_is_whole() -> None:
    page = Page(render_report(ReportContent(title="Nothing yet")))
    assert page.open_tags == [] and page.tags.count("h2") == 1
    assert "Simulated" not in page.text and "Lesions" not in page.text


def test_a_table_without_lesions_says_so(picture: Path) -> None:
    table = example_table()
    empty = LesionTable(rows=(), measured_maps=("chi_para",), graded_maps=("chi_para",), thresholds=table.thresholds)
    assert "No lesions." in Page(render_report(ReportContent(title="x", lesions={"m": empty}))).text


@pytest.mark.parametrize("key", ["PatientName", "patient_id", "OtherPatientIDs", "PatientBirthDate"])
def test_data_that_identify_a_patient_are_refused(key: str) -> None:
    for content in (
        ReportContent(title="x", provenance={"source": {key: "A"}}),
        ReportContent(title="x", method={key: "A"}),
    ):
        with pytest.raises(InputError, match="identify a patient"):
            render_report(content)


def test_only_png_pictures_are_taken(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_bytes(b"<svg onload='x'/>")
    for name, message in (("fake.png", "no PNG"), ("absent.png", "cannot be read")):
        with pytest.raises(InputError, match=message):
            render_report(ReportContent(title="x", pictures=(Picture("c", tmp_path / name),)))


def test_a_failed_report_leaves_the_old_one(picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, ReportContent(title="old"))
    before = path.read_text(encoding="utf-8")
    with pytest.raises(InputError):
        write_report(path, ReportContent(title="new", provenance={"PatientName": "A"}))
    with pytest.raises(OutputError):
        write_report(picture / "report.html", ReportContent(title="new"))
    assert path.read_text(encoding="utf-8") == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["map.png", "report.html"]
