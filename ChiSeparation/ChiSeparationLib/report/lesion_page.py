"""The page of one patient's lesions: key slices, grades, agreement and provenance, as self-contained HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.files import writing

from ..lesions.agreement import Agreement
from ..lesions.grades import Grade
from ..lesions.reading import Lesion
from .html import flat
from .lesion_agreement import agreements, in_words
from .lesion_pictures import GRADE_COLORS, KeySlices, caption, draw_key_slices, picture_height_inches
from .lesion_study import RESEARCH_NOTICE, SUGGESTED_NOTICE, LesionStudy, graded_maps

_TEMPLATE = Path(__file__).with_name("lesion_page.html")
_WIDTH_INCHES, _DOTS_PER_INCH = 7.4, 160

#: Lesions in one table; a longer list goes on in further ones.
LINES_PER_TABLE = 40


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page shows.

    Parameters
    ----------
    suggestions : bool
        The computed suggestions too, always called so.
    patient : str
        Who is named at the top; empty names the reading's pseudonym, and nobody if it has none.
    """

    suggestions: bool = False
    patient: str = ""


@dataclass(frozen=True, kw_only=True)
class GradeLine:
    """One grade in a cell.

    Parameters
    ----------
    grade : Grade or None
        What was said; ``None`` for a comment alone, or for no suggestion.
    by : str
        Reader, where there are several; or that it is a suggestion.
    confidence : int or None
        The reader's.
    suggested : bool
        No reader gave it.
    """

    grade: Grade | None
    by: str = ""
    confidence: int | None = None
    suggested: bool = False

    @property
    def text(self) -> str:
        """Everything on one line."""
        confidence = f" ({self.confidence}/3)" if self.confidence else ""
        by = f" · {self.by}" if self.by else ""
        return f"{self.grade.value if self.grade else 'no grade'}{confidence}{by}"

    @property
    def color(self) -> str:
        """Of its mark."""
        return GRADE_COLORS[self.grade]


@dataclass(frozen=True, kw_only=True)
class MapCell:
    """One lesion on one map: contrast in ppb (and NAWM standard deviations), and the grades."""

    contrast: str
    grades: tuple[GradeLine, ...]


@dataclass(frozen=True, kw_only=True)
class LesionLine:
    """One lesion in the table of one pipeline."""

    label: int
    name: str
    place: str
    volume: str
    cells: tuple[MapCell, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LesionPage:
    """What the page says, for HTML and PDF alike."""

    study: LesionStudy
    options: PageOptions = field(default_factory=PageOptions)

    @property
    def patient(self) -> str:
        """Who it is about, as the user wrote it."""
        return self.options.patient or self.study.reading.patient

    @property
    def title(self) -> str:
        """Heading."""
        return f"Lesions of {self.patient}" if self.patient else "Lesions"

    @property
    def summary(self) -> str:
        """Counts, in one sentence."""
        lesions = self.study.reading.lesions
        if not lesions:
            return "No lesions were found or drawn."
        volume_ml = sum(one.volume_mm3 for one in lesions) / 1e3
        graded = {one.question.lesion_id for one in self.study.reading if one.grade is not None}
        number = sum(lesion.lesion_id in graded for lesion in lesions)
        return (f"{_counted(len(lesions), 'lesion')}, {volume_ml:.1f} ml in total; "
                f"{number} of {len(lesions)} with a reader's grade.")  # fmt: skip

    @property
    def notices(self) -> tuple[str, ...]:
        """What must be known before anything else is read."""
        simulated = ("Simulated data: no patient was measured.",) if self.study.simulated else ()
        suggested = (SUGGESTED_NOTICE,) if self.options.suggestions else ()
        return (*simulated, *suggested)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Of the label map, of what the measures rest on, and of grades without maps; each once."""
        tables = self.study.tables.values()
        unmeasured = [name for name in self.study.pipelines if name not in self.study.maps]
        without = f"Graded, but without maps here, so that nothing was measured: {', '.join(unmeasured)}."
        return tuple(
            dict.fromkeys((
                *self.study.lesions.warnings, *(text for one in tables for text in one.warnings),
                *([without] if unmeasured else []),
            ))
        )  # fmt: skip

    @cached_property
    def maps(self) -> tuple[str, ...]:
        """Maps with columns."""
        return graded_maps(self.study)

    @cached_property
    def key_slices(self) -> KeySlices:
        """The picture."""
        return KeySlices(self.study, suggestions=self.options.suggestions)

    @cached_property
    def agreements(self) -> tuple[Agreement, ...]:
        """Of the raters, if there are two or more."""
        return agreements(self.study)

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Methods, weights and versions, as pairs of a name and a text."""
        return list(flat({"ChiSeparation": __version__, **self.study.provenance}))

    def lines(self, pipeline: str) -> Iterator[LesionLine]:
        """Rows of one pipeline's table."""
        for lesion in self.study.reading.lesions:
            yield LesionLine(
                label=self.study.label(lesion),
                name=lesion.name if lesion.name != f"Lesion {self.study.label(lesion)}" else "",
                place=lesion.place,
                volume=f"{lesion.volume_mm3:.0f}",
                cells=tuple(self._cell(lesion, name, pipeline) for name in self.maps),
                remarks=tuple(self._remarks(lesion, pipeline)),
            )

    def _cell(self, lesion: Lesion, map_name: str, pipeline: str) -> MapCell:
        given = [
            GradeLine(grade=said.grade, confidence=said.confidence, by=self._by(source.title, pipeline))
            for source in self.study.sources if source.pipeline == pipeline
            if (said := self.study.judgement(lesion.lesion_id, map_name, source)) is not None
        ]  # fmt: skip
        if self.options.suggestions and (grade := self.study.suggested(lesion.lesion_id, map_name, pipeline)):
            given.append(GradeLine(grade=grade, by="suggestion", suggested=True))
        row = self.study.row(lesion.lesion_id, pipeline)
        measured = row.measures.get(map_name) if row else None
        return MapCell(contrast=_contrast(measured.values if measured else {}), grades=tuple(given))

    def _by(self, title: str, pipeline: str) -> str:
        several = sum(one.pipeline == pipeline for one in self.study.sources) > 1
        return title if several else ""

    def _remarks(self, lesion: Lesion, pipeline: str) -> Iterator[str]:
        for source in self.study.sources:
            for name in self.maps:
                said = self.study.judgement(lesion.lesion_id, name, source)
                if source.pipeline == pipeline and said is not None and said.comment:
                    by = self._by(source.title, pipeline)
                    yield f"{name}{', ' + by if by else ''}: {said.comment}"
        row = self.study.row(lesion.lesion_id, pipeline)
        yield from row.flags if row and self.options.suggestions else _facts(row.flags if row else ())


def _facts(flags: tuple[str, ...]) -> Iterator[str]:
    """Flags that suggest no grade."""
    return (text for text in flags if "suggest" not in text and "would be" not in text)


def _contrast(values: Mapping[str, float | None]) -> str:
    ppb, spreads = values.get("contrast_ppb"), values.get("contrast_sd")
    if ppb is None:
        return "–"
    return (f"{ppb:+.1f}" + ("" if spreads is None else f" ({spreads:+.1f})")).replace("-", "−")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def write_lesion_page(path: Path, study: LesionStudy, options: PageOptions | None = None) -> None:
    """Write the page as HTML, whole or not at all.

    Raises
    ------
    InputError
        If the provenance names a patient.
    OutputError
        If it cannot be written.
    """
    text = render_lesion_page(study, options)
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_lesion_page(study: LesionStudy, options: PageOptions | None = None) -> str:
    """The page as HTML without scripts, which opens without a network.

    Raises
    ------
    InputError
        If the provenance names a patient.
    """
    import jinja2

    page = LesionPage(study, options or PageOptions())
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        page=page, notice=RESEARCH_NOTICE, picture=_picture(page.key_slices), caption=caption(page.key_slices),
        tables=[(name, list(_parts(list(page.lines(name))))) for name in study.pipelines],
        agreements=[(in_words(one), _counts(one)) for one in page.agreements], grades=[one.value for one in Grade],
    )  # fmt: skip
    return text.encode("utf-8", "replace").decode("utf-8").rstrip() + "\n"


def _parts(lines: list[LesionLine]) -> Iterator[list[LesionLine]]:
    for start in range(0, len(lines), LINES_PER_TABLE):
        yield lines[start : start + LINES_PER_TABLE]


def _counts(one: Agreement) -> list[tuple[str, list[int]]]:
    """Rows of the five by five table."""
    return [(grade.value, row) for grade, row in zip(Grade, one.table.tolist(), strict=True)]


def _picture(key: KeySlices) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = picture(key, _WIDTH_INCHES)
    stream = BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def picture(key: KeySlices, width_inches: float) -> Any:
    """The key slices as a figure of their own."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        size = (width_inches, picture_height_inches(key, width_inches))
        figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, facecolor="white")
        draw_key_slices(figure, key, 0.0, 0.0, width_inches)
    return figure
