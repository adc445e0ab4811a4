"""The page of one patient's lesions as PDF, A4: pictures and grades first, long tables on further pages."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.files import writing

from .lesion_agreement import in_words
from .lesion_page import LesionLine, LesionPage, PageOptions
from .lesion_pictures import caption, draw_key_slices, picture_height_inches
from .lesion_study import RESEARCH_NOTICE, LesionStudy

#: A4 and its margins, inches.
_SIZE = (8.27, 11.69)
_LEFT, _TOP, _BOTTOM = 0.5, 0.5, 0.62
_WIDTH = _SIZE[0] - 2 * _LEFT

_INK, _SOFT, _LINE, _ACCENT, _WARN = "#1d2733", "#5b6877", "#c9d2db", "#1f5f8b", "#8a4b08"
_BODY, _SMALL, _HEAD = 7.5, 6.5, 10.0
_LEADING = 1.35
_POINTS_PER_INCH = 72.0
#: Mean width of a character of the font, as a share of its size.
_EM = 0.56
#: Rows of a table keep so many lines of remarks; all of them stand in the HTML and the table of grades.
_MOST_REMARK_LINES = 5

_CONTRAST = "ppb (SD)"
#: Kept free in a column: for the mark of a grade, and between columns; inches.
_MARK, _GAP = 0.18, 0.08

#: Fonts for scripts that the first lacks, where they are installed.
_FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew",
          "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Hiragino Sans", "WenQuanYi Zen Hei")  # fmt: skip
#: Stands for a sign that no font has; a screen shows it, the HTML page has the sign itself.
_MISSING = "□"


@dataclass
class _Sheet:
    """Pages that are filled from the top.

    Parameters
    ----------
    pages : list of Figure
        Those begun; the last one is filled.
    y : float
        Where the next line goes, inches from the top.
    """

    pages: list[Any] = field(default_factory=list)
    y: float = 0.0

    def turn(self) -> None:
        """Begin a page."""
        from matplotlib.figure import Figure

        self.pages.append(Figure(figsize=_SIZE, facecolor="white"))
        self.y = _TOP

    @property
    def page(self) -> Any:
        """The page that is filled."""
        return self.pages[-1]

    def has_room(self, height: float) -> bool:
        """Whether so many inches are left."""
        return self.y + height <= _SIZE[1] - _BOTTOM

    def text(self, x: float, text: str, *, size: float = _BODY, color: str = _INK, weight: str = "normal",
             align: str = "left", dy: float = 0.0) -> None:  # fmt: skip
        """Write one line at the present height; nothing in it is taken for mathematics."""
        self.page.text(x / _SIZE[0], 1 - (self.y + dy) / _SIZE[1], _shown(text), fontsize=size, color=color, va="top",
                       ha=align, weight=weight, parse_math=False)  # fmt: skip

    def rule(self, color: str = _LINE, width: float = 0.5) -> None:
        """Draw a line across."""
        from matplotlib.lines import Line2D

        height = 1 - self.y / _SIZE[1]
        ends = (_LEFT / _SIZE[0], 1 - _LEFT / _SIZE[0])
        self.page.add_artist(Line2D(ends, (height, height), color=color, linewidth=width))

    def paragraph(self, text: str, *, size: float = _BODY, color: str = _INK) -> None:
        """Write wrapped text, over pages if need be."""
        for line in _wrapped(text, _WIDTH, size):
            if not self.has_room(_height(size)):
                self.turn()
            self.text(_LEFT, line, size=size, color=color)
            self.y += _height(size)

    def heading(self, text: str, needs: float = 0.6) -> None:
        """Begin a part; with so much room below it, inches."""
        if not self.has_room(_height(_HEAD) + needs):
            self.turn()
        self.y += 0.1
        for line in _wrapped(text, _WIDTH, _HEAD):
            self.text(_LEFT, line, size=_HEAD, color=_ACCENT, weight="bold")
            self.y += _height(_HEAD)
        self.y += 0.03


def write_lesion_pdf(path: Path, study: LesionStudy, options: PageOptions | None = None) -> None:
    """Write the page as PDF, whole or not at all.

    Raises
    ------
    InputError
        If the provenance names a patient.
    OutputError
        If it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    page = LesionPage(study, options or PageOptions())
    about = {"Title": _shown(page.title), "Subject": RESEARCH_NOTICE, "Creator": "ChiSeparation", "CreationDate": None}
    with mpl.rc_context(_style()), writing(path) as temporary, PdfPages(temporary, metadata=about) as document:
        for figure in lesion_pages(page):
            document.savefig(figure)


def lesion_pages(page: LesionPage) -> list[Any]:
    """The sheets as figures."""
    import matplotlib as mpl

    with mpl.rc_context(_style()):
        sheet = _Sheet()
        sheet.turn()
        _first(sheet, page)
        for pipeline in page.study.pipelines:
            _table(sheet, page, pipeline)
        _rest(sheet, page)
        for number, _ in enumerate(sheet.pages, 1):
            _footer(sheet, number)
    return sheet.pages


def _style() -> Any:
    return {"font.family": list(_fonts()), "pdf.fonttype": 42, "text.usetex": False, "axes.unicode_minus": False}


def _first(sheet: _Sheet, page: LesionPage) -> None:
    for line in _wrapped(page.title, _WIDTH, 16)[:2]:
        sheet.text(_LEFT, line, size=16, weight="bold")
        sheet.y += _height(16)
    sheet.text(_LEFT, RESEARCH_NOTICE, size=8, color=_WARN, weight="bold")
    sheet.y += 0.2
    sheet.rule(_ACCENT, 1.2)
    sheet.y += 0.07
    for text in page.notices:
        sheet.paragraph(text, color=_WARN)
    sheet.paragraph(page.summary)
    sheet.y += 0.05
    key = page.key_slices
    draw_key_slices(sheet.page, key, _LEFT, sheet.y, _WIDTH)
    sheet.y += picture_height_inches(key, _WIDTH) + 0.05
    sheet.paragraph(caption(key), size=_SMALL, color=_SOFT)


@dataclass(frozen=True)
class _Column:
    """One column of the table.

    Parameters
    ----------
    title : str
        Above it.
    x, width : float
        Inches.
    """

    title: str
    x: float
    width: float


def _columns(maps: tuple[str, ...]) -> list[_Column]:
    """Lesion, place and volume, a grade and a contrast for each map, and remarks in what is left."""
    wanted = [("Lesion", 0.55), ("Place", 1.0), ("mm³", 0.4)]
    wanted += [(title, width) for name in maps for title, width in ((name, 1.32), (_CONTRAST, 0.78))]
    wanted.append(("Remarks", max(_WIDTH - sum(width for _, width in wanted), 0.8)))
    columns, x = [], _LEFT
    for title, width in wanted:
        columns.append(_Column(title, x, width))
        x += width
    return columns


def _table(sheet: _Sheet, page: LesionPage, pipeline: str) -> None:
    lines, columns = list(page.lines(pipeline)), _columns(page.maps)
    sheet.heading(f"Lesions on the maps of {pipeline}")
    if not lines:
        sheet.paragraph("No lesions.")
        return
    _table_head(sheet, columns)
    for line in lines:
        cells = _cells(line, columns)
        height = max(len(cell) for cell in cells) * _height(_SMALL) + 0.05
        if not sheet.has_room(height):
            sheet.turn()
            _table_head(sheet, columns)
        _row(sheet, columns, cells, line)
        sheet.y += height
        sheet.rule()
        sheet.y += 0.025


def _table_head(sheet: _Sheet, columns: list[_Column]) -> None:
    for column in columns:
        sheet.text(column.x, column.title, size=_SMALL, color=_SOFT, weight="bold")
    sheet.y += _height(_SMALL) + 0.02
    sheet.rule(_SOFT, 0.7)
    sheet.y += 0.035


def _cells(line: LesionLine, columns: list[_Column]) -> list[list[str]]:
    """Lines of each cell."""
    texts: list[Iterable[str]] = [[f"{line.label} {line.name}".strip()], [line.place], [line.volume]]
    for cell in line.cells:
        texts += [[one.text for one in cell.grades] or ["not graded"], [cell.contrast]]
    texts.append(line.remarks)
    graded = set(range(3, 3 + 2 * len(line.cells), 2))
    widths = [column.width - (_MARK if place in graded else _GAP) for place, column in enumerate(columns)]
    found = [
        [part for text in several for part in _wrapped(text, width, _SMALL)]
        for several, width in zip(texts, widths, strict=True)
    ]
    if len(found[-1]) > _MOST_REMARK_LINES:
        found[-1] = [*found[-1][: _MOST_REMARK_LINES - 1], "… (see the HTML page)"]
    return found


def _row(sheet: _Sheet, columns: list[_Column], cells: list[list[str]], line: LesionLine) -> None:
    for place, (column, parts) in enumerate(zip(columns, cells, strict=True)):
        graded = place in range(3, 3 + 2 * len(line.cells), 2)
        for number, part in enumerate(parts):
            sheet.text(column.x + (0.11 if graded else 0.0), part, size=_SMALL, dy=number * _height(_SMALL),
                       color=_SOFT if column.title in (_CONTRAST, "Remarks") else _INK)  # fmt: skip
        if graded:
            _marks(sheet, column, line, (place - 3) // 2)


def _marks(sheet: _Sheet, column: _Column, line: LesionLine, place: int) -> None:
    """Discs in the colours of the grades, before each."""
    from matplotlib.patches import Ellipse

    row = 0
    for one in line.cells[place].grades:
        y = sheet.y + (row + 0.42) * _height(_SMALL)
        sheet.page.add_artist(Ellipse(((column.x + 0.045) / _SIZE[0], 1 - y / _SIZE[1]), 0.075 / _SIZE[0],
                                      0.075 / _SIZE[1], facecolor=one.color, edgecolor=_SOFT, linewidth=0.4,
                                      linestyle="dashed" if one.suggested else "solid"))  # fmt: skip
        row += len(_wrapped(one.text, column.width - _MARK, _SMALL))


def _rest(sheet: _Sheet, page: LesionPage) -> None:
    """What stands below the tables."""
    sheet.y += 0.04
    sheet.paragraph("Grades are relative to the normal-appearing white matter around the lesion; in brackets the "
                    "reader's confidence. Contrast: mean in the lesion minus mean of that white matter, in ppb and in "
                    "its standard deviations.", size=_SMALL, color=_SOFT)  # fmt: skip
    if page.agreements:
        sheet.heading("Agreement")
        for one in page.agreements:
            sheet.paragraph(in_words(one))
    if page.warnings:
        sheet.heading("What the measures rest on")
        for text in page.warnings:
            sheet.paragraph(f"• {text}")
    sheet.heading("Provenance")
    for name, text in page.provenance:
        sheet.paragraph(f"{name}: {text}", size=_SMALL)


def _footer(sheet: _Sheet, number: int) -> None:
    figure, y = sheet.pages[number - 1], 1 - (_SIZE[1] - 0.4) / _SIZE[1]
    for x, text, align in (
        (_LEFT, RESEARCH_NOTICE, "left"),
        (_SIZE[0] - _LEFT, f"{number} of {len(sheet.pages)}", "right"),
    ):
        figure.text(x / _SIZE[0], y, text, fontsize=_SMALL, color=_SOFT, ha=align, va="top", parse_math=False)


def _height(size: float) -> float:
    """Of a line of text, inches."""
    return size * _LEADING / _POINTS_PER_INCH


def _wrapped(text: str, width: float, size: float) -> list[str]:
    """Lines that fit a width, inches."""
    most = max(int(width * _POINTS_PER_INCH / (size * _EM)), 4)
    lines = (line for part in text.splitlines() for line in textwrap.wrap(part, most, break_on_hyphens=False))
    return [short for line in lines for short in _halved(line, most)] or [""]


def _halved(line: str, most: int) -> Iterator[str]:
    """Break lines of wide signs, which take the room of two."""
    start = used = 0
    for place, letter in enumerate(line):
        wide = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used + wide > most:
            yield line[start:place]
            start, used = place, 0
        used += wide
    yield line[start:]


def _shown(text: str) -> str:
    """The text with a box for every sign that no font has."""
    signs = _signs()
    return "".join(" " if letter in "\t\r\n" else letter if ord(letter) in signs else _MISSING for letter in text)


@cache
def _fonts() -> tuple[str, ...]:
    """Those of the list that are installed."""
    from matplotlib import font_manager

    there = {one.name for one in font_manager.fontManager.ttflist}
    return tuple(name for name in _FONTS if name in there)


@cache
def _signs() -> frozenset[int]:
    """Code points that one of the fonts can draw."""
    from matplotlib import font_manager

    found: set[int] = set()
    for name in _fonts():
        path = font_manager.findfont(name)
        found |= set(font_manager.get_font(path).get_charmap())
    return frozenset(found)
