"""Lesions for statistics: one row for each lesion, map, pipeline and reader, as CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.files import write_csv, write_json

from ..lesions.measures import GEOMETRY_MEASURES, MAP_MEASURES
from ..lesions.reading import Judgement, Lesion
from ..lesions.table import LesionRow
from .lesion_study import SUGGESTED_NOTICE, LesionStudy, Source

_IDENTITY = ("patient", "lesion_id", "label", "name", "place")
_READING = ("map", "pipeline", "reader", "repeat", "grade", "rank", "confidence", "comment", "time")
_SUGGESTION = ("suggested_grade", "suggestion_reason")

#: Spreadsheets take a cell that starts so for a formula; the wide signs are those of East Asian keyboards.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def columns(*, suggestions: bool = False) -> tuple[str, ...]:
    """Names of the columns, the same with and without lesions."""
    suggested = _SUGGESTION if suggestions else ()
    return (*_IDENTITY, *GEOMETRY_MEASURES, *_READING, *MAP_MEASURES, *suggested, "flags")


def statistics_rows(study: LesionStudy, *, suggestions: bool = False) -> Iterator[dict[str, Any]]:
    """Give one row for each lesion, map, pipeline and reader.

    A lesion that nobody graded on a map has one row with its measures and no reader.

    Parameters
    ----------
    study : LesionStudy
        Measures and readings.
    suggestions : bool
        Add the computed suggestions, in columns that say what they are.

    Yields
    ------
    dict
        By :func:`columns`; ``None`` where there is nothing to say.
    """
    for lesion in study.reading.lesions:
        for pipeline in study.pipelines:
            row = study.row(lesion.lesion_id, pipeline)
            for map_name in _maps(study, pipeline):
                fixed = {**_identity(study, lesion, row), "map": map_name, "pipeline": pipeline,
                         **_measured(row, map_name, suggestions)}  # fmt: skip
                for said in _said(study, lesion, map_name, pipeline):
                    yield {key: {**fixed, **said}.get(key) for key in columns(suggestions=suggestions)}


def write_statistics_csv(path: Path, study: LesionStudy, *, suggestions: bool = False) -> None:
    """Write the rows, UTF-8; text that a spreadsheet would take for a formula stands behind an apostrophe.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = statistics_rows(study, suggestions=suggestions)
    safe = ({key: _safe(value) for key, value in row.items()} for row in rows)
    write_csv(path, columns(suggestions=suggestions), safe, encoding="utf-8-sig")


def write_statistics_json(path: Path, study: LesionStudy, *, suggestions: bool = False) -> None:
    """Write the rows with the meaning and unit of every measure.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    specs = (*GEOMETRY_MEASURES.values(), *MAP_MEASURES.values())
    content: Mapping[str, Any] = {
        "version": __version__,
        **({"notice": SUGGESTED_NOTICE} if suggestions else {}),
        "measures": {spec.key: {"unit": spec.unit, "description": spec.description} for spec in specs},
        "rows": list(statistics_rows(study, suggestions=suggestions)),
    }
    write_json(path, content)


def _maps(study: LesionStudy, pipeline: str) -> tuple[str, ...]:
    measured = study.tables[pipeline].measured_maps if pipeline in study.tables else ()
    judged = (one.question.map_name for one in study.reading if one.question.pipeline == pipeline)
    return tuple(dict.fromkeys((*measured, *judged)))


def _identity(study: LesionStudy, lesion: Lesion, row: LesionRow | None) -> dict[str, Any]:
    geometry = {} if row is None else dict(row.geometry)
    return {"patient": study.reading.patient, "lesion_id": lesion.lesion_id, "label": study.label(lesion),
            "name": lesion.name, "place": lesion.place, "volume_mm3": lesion.volume_mm3, **geometry,
            "flags": "" if row is None else " ".join(row.flags)}  # fmt: skip


def _measured(row: LesionRow | None, map_name: str, suggestions: bool) -> dict[str, Any]:
    if row is None or map_name not in row.measures:
        return {}
    found: dict[str, Any] = dict(row.measures[map_name].values)
    if suggestions and map_name in row.suggestions:
        one = row.suggestions[map_name]
        found |= {"suggested_grade": one.grade.value if one.grade else None, "suggestion_reason": one.reason}
    return found


def _said(study: LesionStudy, lesion: Lesion, map_name: str, pipeline: str) -> list[dict[str, Any]]:
    sources = [one for one in study.sources if one.pipeline == pipeline]
    given = [(one, said) for one in sources if (said := study.judgement(lesion.lesion_id, map_name, one))]
    return [_judged(one, said) for one, said in given] or [{}]


def _judged(source: Source, said: Judgement) -> dict[str, Any]:
    return {"reader": source.reader, "repeat": source.repeat, "confidence": said.confidence,
            "grade": said.grade.value if said.grade else None, "rank": said.grade.rank if said.grade else None,
            "comment": said.comment, "time": said.time}  # fmt: skip


def _safe(value: Any) -> Any:
    """Hide the start of a formula; an apostrophe at the start is doubled, so that none is lost."""
    hidden = isinstance(value, str) and (value.lstrip(" ").startswith(_FORMULA_STARTS) or value.startswith("'"))
    return f"'{value}" if hidden else value
