"""The lesion table: one row for each lesion, as CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.files import write_csv, write_json

from .measures import GEOMETRY_MEASURES, MAP_MEASURES, MapMeasures, Values
from .regions import RegionOptions
from .suggestion import Suggestion, ThresholdSet

#: Stands at the head of every output with suggested grades.
SUGGESTION_NOTICE = "Grades are computed suggestions, not a reading: no reader has given them."


@dataclass(frozen=True, kw_only=True)
class LesionRow:
    """One lesion.

    Parameters
    ----------
    label : int
        Its number in the label map.
    name : str
        Its name, if the user gave one.
    geometry : mapping
        By the keys of ``GEOMETRY_MEASURES``.
    measures : mapping
        For each map.
    suggestions : mapping
        For each graded map.
    flags : tuple of str
        What the reader must know about this lesion.
    """

    label: int
    name: str = ""
    geometry: Values
    measures: Mapping[str, MapMeasures]
    suggestions: Mapping[str, Suggestion]
    flags: tuple[str, ...] = ()

    def cells(self) -> dict[str, Any]:
        """The row by column name; ``None`` where there is nothing to measure."""
        row: dict[str, Any] = {"label": self.label, "name": self.name, **self.geometry}
        for name, measured in self.measures.items():
            row.update({f"{name}_{key}": value for key, value in measured.values.items()})
        for name, suggestion in self.suggestions.items():
            grade = suggestion.grade.value if suggestion.grade else None
            row.update({f"{name}_suggested_grade": grade, f"{name}_suggestion_reason": suggestion.reason})
        return {**row, "flags": " ".join(self.flags)}


@dataclass(frozen=True, kw_only=True)
class LesionTable:
    """All lesions, with what the measures and suggestions rest on.

    Parameters
    ----------
    rows : tuple of LesionRow
        By ascending label.
    measured_maps, graded_maps : tuple of str
        Names of the maps.
    thresholds : ThresholdSet
        Limits of the suggestions.
    options : RegionOptions
        Distances and smallest counts.
    warnings : tuple of str
        What concerns all lesions.
    """

    rows: tuple[LesionRow, ...]
    measured_maps: tuple[str, ...]
    graded_maps: tuple[str, ...]
    thresholds: ThresholdSet
    options: RegionOptions = field(default_factory=RegionOptions)
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, the same with and without rows."""
        measured = [f"{name}_{key}" for name in self.measured_maps for key in MAP_MEASURES]
        graded = [f"{name}_{part}" for name in self.graded_maps for part in ("suggested_grade", "suggestion_reason")]
        return ("label", "name", *GEOMETRY_MEASURES, *measured, *graded, "flags")

    def to_csv(self, path: Path) -> None:
        """Write one row for each lesion, UTF-8; an empty cell means that nothing could be measured.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        write_csv(path, self.columns, (row.cells() for row in self.rows))

    def as_json(self) -> dict[str, Any]:
        """Everything in the table, JSON-ready."""
        specs = (*GEOMETRY_MEASURES.values(), *MAP_MEASURES.values())
        return {
            "notice": SUGGESTION_NOTICE,
            "version": __version__,
            "options": asdict(self.options),
            "thresholds": self.thresholds.as_json(),
            "measures": {
                spec.key: {"unit": spec.unit, "description": spec.description, "code": list(spec.code)}
                for spec in specs
            },
            "warnings": list(self.warnings),
            "lesions": [_row_as_json(row) for row in self.rows],
        }

    def to_json(self, path: Path) -> None:
        """Write :meth:`as_json`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        write_json(path, self.as_json())


def _row_as_json(row: LesionRow) -> dict[str, Any]:
    return {
        "label": row.label,
        "name": row.name,
        **row.geometry,
        "maps": {name: {**one.values, "missing": one.missing} for name, one in row.measures.items()},
        "suggestions": {name: _suggestion_as_json(one) for name, one in row.suggestions.items()},
        "flags": list(row.flags),
    }


def _suggestion_as_json(suggestion: Suggestion) -> dict[str, Any]:
    return {
        "grade": suggestion.grade.value if suggestion.grade else None,
        "code": suggestion.grade.code if suggestion.grade else None,
        "is_reading": False,
        "measures": dict(suggestion.measures),
        "thresholds": dict(suggestion.thresholds),
        "reason": suggestion.reason,
    }
