"""The page of a patient's lesions: what readers said, nothing that they did not, and any text as text."""

from __future__ import annotations

import base64
import csv
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.reading import Judgement, Lesion, Question, Reading
from ChiSeparationLib.report.lesion_page import LesionPage, PageOptions, render_lesion_page, write_lesion_page
from ChiSeparationLib.report.lesion_pdf import lesion_pages, write_lesion_pdf
from ChiSeparationLib.report.lesion_pictures import KeySlices, outlines, turned
from ChiSeparationLib.report.lesion_statistics import (
    columns,
    statistics_rows,
    write_statistics_csv,
    write_statistics_json,
)
from ChiSeparationLib.report.lesion_study import RESEARCH_NOTICE, LesionStudy
from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.errors import InputError
from lesion_report_cases import GRIDS, HOSTILE, graded, make_maps, make_study, named, native_grid


class Seen(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.values: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.values += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def many_lesions(count: int) -> LesionStudy:
    """A brain with lesions of eight voxels each."""
    grid = Grid((64, 60, 48), np.diag((1.0, 1.1, 1.3, 1.0)))
    labels = np.zeros(grid.shape, dtype=np.int32)
    corners = np.array([(i, j, k) for k in range(2, 44, 4) for j in range(2, 56, 4) for i in range(2, 60, 4)])[:count]
    for number, (i, j, k) in enumerate(corners.tolist(), 1):
        labels[i : i + 2, j : j + 2, k : k + 2] = number
    maps, one = make_maps(grid), Map(name="lesions", data=labels, grid=grid)
    return LesionStudy(maps={"closed-form": maps}, lesions=one, tables={"closed-form": grade_lesions(maps, one)})


def pdf_pages(path: Path) -> int:
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


# --- Content ----------------------------------------------------------------------------------------------------------


def test_page_tells_grades_and_where_they_come_from() -> None:
    page = Seen(render_lesion_page(graded(make_study(), "AB")))
    assert page.text.count(RESEARCH_NOTICE) == 2
    assert "3 of 3 with a reader's grade" in page.text
    assert page.text.count("hyperintense (2/3)") == 3
    assert page.text.count("subtly hypointense (2/3)") == 3
    assert "methods.chi_paraclosed-form" in page.text
    assert "suggest" not in page.text.lower()


def test_suggestions_are_shown_if_asked_and_called_so() -> None:
    page = Seen(render_lesion_page(make_study(), PageOptions(suggestions=True)))
    assert "no reader has given it" in page.text
    study = make_study()
    suggested = [grade for one in study.reading.lesions for name in ("chi_para", "chi_dia")
                 if (grade := study.suggested(one.lesion_id, name, "closed-form"))]  # fmt: skip
    assert len(suggested) >= 2
    assert page.text.count("· suggestion") == len(suggested)
    assert "0 of 3 with a reader's grade" in page.text


def test_one_reader_is_not_repeated_and_two_are_told_apart() -> None:
    assert "· AB" not in Seen(render_lesion_page(graded(make_study(), "AB"))).text
    text = Seen(render_lesion_page(graded(make_study(), "AB", "CD"))).text
    assert text.count("· AB") == 6
    assert text.count("· CD") == 6


def test_agreement_of_two_readers() -> None:
    """They differ on one of three lesions, on both maps."""
    text = Seen(render_lesion_page(graded(make_study(), "AB", "CD"))).text
    assert text.count("the same grade in 2 of 3 lesions (66.7 %") == 2
    assert "Agreement" not in Seen(render_lesion_page(graded(make_study(), "AB"))).text


def test_grades_of_a_pipeline_without_maps_are_shown() -> None:
    study = graded(make_study(), "AB", pipeline="another")
    text = Seen(render_lesion_page(study)).text
    assert "Lesions on the maps of another" in text
    assert text.count("hyperintense (2/3)") == 3


def test_patient_is_named_only_if_the_user_named_one() -> None:
    assert Seen(render_lesion_page(make_study())).text.startswith("Lesions Lesions For research.")
    assert "Lesions of P. Tester" in Seen(render_lesion_page(make_study(), PageOptions(patient="P. Tester"))).text
    study = make_study()
    study = replace(study, reading=replace(study.reading, patient="MS-014"))
    assert "Lesions of MS-014" in Seen(render_lesion_page(study)).text


def test_provenance_with_a_patient_is_refused() -> None:
    with pytest.raises(InputError, match="PatientName"):
        render_lesion_page(replace(make_study(), provenance={"PatientName": "x"}))


def test_hostile_text_stays_text() -> None:
    study = named(graded(make_study(), HOSTILE, "B", comment=HOSTILE), HOSTILE)
    text = render_lesion_page(replace(study, provenance={HOSTILE: HOSTILE}), PageOptions(patient=HOSTILE))
    page = Seen(text)
    assert "script" not in page.tags
    assert not [value for value in page.values if "alert" in value]
    shown = " ".join(HOSTILE.split())
    assert page.text.count(shown) > 20
    assert re.search(r"(?:src|href)=[\"'](?!data:image/png;base64,|#part-)", text) is None


def test_page_has_one_picture_and_needs_nothing_else(tmp_path: Path) -> None:
    write_lesion_page(tmp_path / "page.html", make_study())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert base64.b64decode(source).startswith(b"\x89PNG")
    assert "http:" not in text
    assert "https:" not in text


def test_no_lesions_are_a_page_too(tmp_path: Path) -> None:
    study = make_study(lesions=False)
    text = Seen(render_lesion_page(study)).text
    assert "No lesions were found or drawn." in text
    write_lesion_pdf(tmp_path / "page.pdf", study)
    assert pdf_pages(tmp_path / "page.pdf") == 1


def test_long_tables_are_parted() -> None:
    text = render_lesion_page(many_lesions(1000))
    assert text.count("<thead>") == 25
    links = re.findall(r'href="(#part-1-\d+)">([^<]+)<', text)
    assert len(links) == 25
    assert (links[0], links[-1]) == (("#part-1-1", "1 to 40"), ("#part-1-25", "961 to 1000"))


# --- PDF --------------------------------------------------------------------------------------------------------------


def test_pdf_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    study = graded(make_study(), "AB")
    for name in ("one.pdf", "two.pdf"):
        write_lesion_pdf(tmp_path / name, study)
    first, second = ((tmp_path / name).read_bytes() for name in ("one.pdf", "two.pdf"))
    assert first.startswith(b"%PDF-")
    assert first.rstrip().endswith(b"%%EOF")
    assert first == second
    assert pdf_pages(tmp_path / "one.pdf") == 1
    assert b"/MediaBox [ 0 0 595.44 841.68 ]" in first


def test_every_word_of_the_pdf_stays_on_its_sheet() -> None:
    """Long names, places, comments and readers wrap; nothing runs over the margins or into the footer."""
    study = named(graded(make_study(), "A reader with quite a long name", "B", comment="word " * 60), "Long name " * 4)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    sheets = lesion_pages(LesionPage(study, PageOptions(suggestions=True)))
    assert len(sheets) >= 2
    for sheet in sheets:
        renderer: Any = FigureCanvasAgg(sheet).get_renderer()  # type: ignore[no-untyped-call]
        width, height = sheet.get_size_inches() * sheet.dpi
        for one in sheet.texts:
            box = one.get_window_extent(renderer)
            assert 0.05 * width < box.x0 < box.x1 < 0.95 * width, one.get_text()
            assert 0.02 * height < box.y0, one.get_text()


def test_columns_of_the_pdf_do_not_run_into_each_other() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    study = graded(make_study(), "AB", "CD", comment="The veins at its edge may mislead.")
    (sheet,) = lesion_pages(LesionPage(study, PageOptions()))[:1]
    renderer: Any = FigureCanvasAgg(sheet).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [(one.get_text(), one.get_window_extent(renderer)) for one in sheet.texts if one.get_text()]
    for place, (text, box) in enumerate(boxes):
        for other_text, other in boxes[place + 1 :]:
            middle = (box.y0 + box.y1) / 2
            same_line = other.y0 < middle < other.y1
            assert not same_line or box.x1 <= other.x0 or other.x1 <= box.x0, (text, other_text)


def test_hostile_text_is_a_pdf(tmp_path: Path) -> None:
    """Dollar signs are no mathematics, and letters that no font has become boxes."""
    text = HOSTILE + "$\\frac{$ \ufffe \U0001f9e0 \ud800"
    study = named(graded(make_study(), "$", comment=text), text)
    write_lesion_pdf(tmp_path / "page.pdf", study, PageOptions(patient=text))
    assert pdf_pages(tmp_path / "page.pdf") >= 1


def test_many_lesions_fill_pages(tmp_path: Path) -> None:
    study = many_lesions(150)
    write_lesion_pdf(tmp_path / "page.pdf", study)
    assert 3 <= pdf_pages(tmp_path / "page.pdf") <= 7
    assert (tmp_path / "page.pdf").stat().st_size < 5e6


# --- Picture ----------------------------------------------------------------------------------------------------------


def test_key_slices_show_the_clear_findings() -> None:
    """One graded lesion among many draws a slice to itself."""
    study = many_lesions(1000)
    before = KeySlices(study).slices
    label = next(one for one in range(1, 1000) if not shown(study, one, before))
    judgement = Judgement(question=Question(f"Lesion_{label}", "chi_dia", "closed-form", "AB"), grade=Grade.SUBTLE_HYPO)
    read = replace(study, reading=study.reading.said(judgement))
    assert shown(read, label, KeySlices(read).slices)
    assert KeySlices(read).grade(read.reading.lesions[label - 1], "chi_dia") == (Grade.SUBTLE_HYPO, False)
    # A grade on a lesion that is isointense tells nothing new.
    same = replace(study, reading=study.reading.said(replace(judgement, grade=Grade.ISO)))
    assert KeySlices(same).slices == before


def shown(study: LesionStudy, label: int, slices: tuple[int, ...]) -> bool:
    labels = KeySlices(study).turned_labels
    return any(np.any(labels[:, :, index] == label) for index in slices)


@pytest.mark.parametrize("name", GRIDS)
def test_pictures_have_the_patients_right_on_the_left(name: str) -> None:
    """Turned axes run to the right, anterior and superior, whatever the grid."""
    grid = GRIDS[name]()
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij"), axis=-1)
    ras = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    for axis in range(3):
        assert np.all(np.diff(turned(ras[..., axis], grid), axis=axis) > 0)


def test_outlines_follow_the_edges_of_voxels() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[1:4, 2:5] = True
    mask[2, 3] = False
    mask[4, 5] = True  # touches the square at a corner only
    paths = list(outlines(mask))
    lengths = [np.abs(np.diff(path, axis=0)).sum() for path in paths]
    assert sum(lengths) == 12 + 4 + 4
    assert all(np.array_equal(path[0], path[-1]) for path in paths)
    corners = {tuple(corner) for path in paths for corner in path.tolist()}
    assert (1.5, 0.5) in corners
    assert (4.5, 3.5) in corners


# --- Tables for statistics --------------------------------------------------------------------------------------------


def test_one_row_for_each_lesion_map_pipeline_and_reader() -> None:
    study = graded(make_study(), "AB", "CD")
    rows = list(statistics_rows(study))
    graded_rows = [row for row in rows if row["map"] != "chi_total"]
    assert len(graded_rows) == 3 * 2 * 2
    assert len(rows) == len(graded_rows) + 3
    row = next(one for one in rows if (one["lesion_id"], one["map"], one["reader"]) == ("Lesion_2", "chi_para", "CD"))
    measured = study.row("Lesion_2", "closed-form")
    assert measured is not None
    assert row["mean_ppb"] == measured.measures["chi_para"].values["mean_ppb"]
    assert (row["grade"], row["rank"], row["confidence"], row["label"]) == ("hyperintense", 2, 2, 2)
    assert "suggested_grade" not in row
    assert all(tuple(one) == columns() for one in rows)


def test_tables_on_disk_say_the_same(tmp_path: Path) -> None:
    study = named(graded(make_study(), "AB", comment='=HYPERLINK("x")'), HOSTILE)
    write_statistics_csv(tmp_path / "grades.csv", study, suggestions=True)
    write_statistics_json(tmp_path / "grades.json", study, suggestions=True)
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8-sig") as stream:
        cells = list(csv.DictReader(stream))
    content = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
    assert len(cells) == len(content["rows"]) == 9
    assert content["measures"]["mean_ppb"]["unit"] == "ppb"
    for cell, row in zip(cells, content["rows"], strict=True):
        assert cell["name"] == row["name"] == HOSTILE
        if row["comment"]:
            assert (cell["comment"], row["comment"]) == ('\'=HYPERLINK("x")', '=HYPERLINK("x")')
        assert (float(cell["mean_ppb"]) if cell["mean_ppb"] else None) == row["mean_ppb"]


# --- What does not belong together ------------------------------------------------------------------------------------


def test_reading_of_another_patient_is_refused() -> None:
    study = make_study()
    stranger = Reading(lesions=(Lesion(lesion_id="Lesion_77"),))
    with pytest.raises(InputError, match="Lesion_77"):
        replace(study, reading=stranger)


def test_lesions_on_another_grid_are_refused() -> None:
    study = make_study()
    other = GRIDS["resampled"]()
    labels = Map(name="lesions", data=np.zeros(other.shape, dtype=np.int32), grid=other)
    with pytest.raises(InputError, match="the grid of the χ maps"):
        replace(study, lesions=labels)


def test_lesions_that_a_reading_lacks_are_added_at_its_end() -> None:
    first = Lesion(lesion_id="Lesion_300", name="first")
    study = make_study(native_grid(), reading=Reading(lesions=(first,)))
    assert [one.lesion_id for one in study.reading.lesions] == ["Lesion_300", "Lesion_2", "Lesion_5"]
    assert study.reading.lesions[0] is first
    assert study.reading.lesions[1].volume_mm3 == pytest.approx(27 * study.grid.voxel_volume_mm3)


def streams(path: Path) -> list[Any]:
    """Contents of a PDF, unpacked."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.DOTALL)
    return [zlib.decompress(one) for one in found if one[:1] == b"x"]


def test_pdf_names_nobody_who_was_not_named(tmp_path: Path) -> None:
    study = graded(make_study(), "AB")
    write_lesion_pdf(tmp_path / "page.pdf", study)
    about = b"".join([(tmp_path / "page.pdf").read_bytes(), *streams(tmp_path / "page.pdf")])
    assert b"/Title (Lesions)" in about
    assert b"/Author" not in about
