"""A patient's lesions as they are reported: label map, measures on every pipeline's maps, what readers said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError

from ..lesions.grades import Grade
from ..lesions.identities import label_of, lesion_id_of
from ..lesions.reading import GRADED_MAPS, Judgement, Lesion, Question, Reading
from ..lesions.table import LesionRow, LesionTable

#: At the head and foot of everything that people read.
RESEARCH_NOTICE = "For research. Not for clinical decisions."

#: Stands wherever suggestions are shown beside readers' grades.
SUGGESTED_NOTICE = "What is called a suggestion is computed: no reader has given it."


class Source(NamedTuple):
    """Who graded what: one reader's n-th reading of one pipeline's maps."""

    pipeline: str
    reader: str
    repeat: int

    @property
    def title(self) -> str:
        """For people."""
        again = f", reading {self.repeat}" if self.repeat > 1 else ""
        return f"{self.reader}{again}"


@dataclass(frozen=True, eq=False, kw_only=True)
class LesionStudy:
    """All that a report, a table or an export of a patient's lesions says.

    Parameters
    ----------
    maps : mapping of str to MapSet
        χ maps by pipeline, all on one grid.
    lesions : Map
        ``lesions``, shape (I, J, K): one positive integer for each lesion.
    tables : mapping of str to LesionTable
        Measures by pipeline.
    reading : Reading
        Identities of the lesions and what readers said; lesions that it does not know are added to it.
    images : mapping of str to ndarray
        ``flair`` and ``magnitude`` on the maps' grid, a.u.
    provenance : mapping
        Methods, weights and versions; must name no patient.
    simulated : bool
        The data come from a simulation.

    Raises
    ------
    InputError
        If grids differ, or the reading is of lesions that are not in the label map.
    """

    maps: Mapping[str, MapSet]
    lesions: Map
    tables: Mapping[str, LesionTable]
    reading: Reading = field(default_factory=Reading)
    images: Mapping[str, Array] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("χ maps of the lesions", "none", "the maps of at least one pipeline")
        if not all(maps.grid.matches(self.grid) for maps in self.maps.values()):
            raise InputError("lesions", f"a grid of {self.grid.shape}", "the grid of the χ maps",
                             "Resample the lesions to the maps with nearest neighbours.")  # fmt: skip
        object.__setattr__(self, "reading", self._completed())

    @cached_property
    def ids(self) -> Mapping[int, str]:
        """Identity of each label, ascending."""
        named: dict[int, str] = {}
        for lesion in self.reading.lesions:
            if named.setdefault(label_of(lesion.lesion_id), lesion.lesion_id) != lesion.lesion_id:
                raise InputError("reading", f"{lesion.lesion_id} with the number of another lesion", "one of its own")
        return {label: named.get(label, lesion_id_of(label)) for label in labels_in(self.lesions.data)}

    @property
    def grid(self) -> Grid:
        """Where all voxels lie."""
        return self.lesions.grid

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every reader's readings, by pipeline in the order of the maps."""
        order = {name: place for place, name in enumerate(self.maps)}
        found = {Source(one.question.pipeline, one.question.reader, one.question.repeat) for one in self.reading}
        return tuple(sorted(found, key=lambda one: (order.get(one.pipeline, len(order)), one)))

    @cached_property
    def pipelines(self) -> tuple[str, ...]:
        """Those with maps, then those that were only graded."""
        return tuple(dict.fromkeys((*self.maps, *(one.pipeline for one in self.sources))))

    @cached_property
    def _labels(self) -> dict[str, int]:
        return {lesion_id: label for label, lesion_id in self.ids.items()}

    def label(self, lesion: Lesion) -> int:
        """Number of a lesion in the label map."""
        return self._labels[lesion.lesion_id]

    def judgement(self, lesion_id: str, map_name: str, source: Source) -> Judgement | None:
        """What was said of one lesion on one map."""
        return self.reading.judgements.get(Question(lesion_id, map_name, *source))

    def row(self, lesion_id: str, pipeline: str) -> LesionRow | None:
        """Measures of one lesion, if that pipeline's maps are there."""
        return self._rows.get((pipeline, lesion_id))

    def suggested(self, lesion_id: str, map_name: str, pipeline: str) -> Grade | None:
        """The computed suggestion, which is not a reading."""
        row = self.row(lesion_id, pipeline)
        return row.suggestions[map_name].grade if row is not None and map_name in row.suggestions else None

    @cached_property
    def _rows(self) -> dict[tuple[str, str], LesionRow]:
        return {(name, self.ids[row.label]): row for name, table in self.tables.items() for row in table.rows}

    def _completed(self) -> Reading:
        """The reading with the lesions that it does not know at its end."""
        known = {lesion.lesion_id for lesion in self.reading.lesions}
        judged = {one.question.lesion_id for one in self.reading}
        if strangers := sorted((known | judged) - set(self.ids.values())):
            raise InputError("reading", f"lesions that the label map does not have: {listed(strangers)}",
                             "a reading of these lesions",
                             "Give the reading and the lesions of one patient, as they were exported.")  # fmt: skip
        added = (self._lesion(lesion_id) for lesion_id in self.ids.values() if lesion_id not in known)
        return replace(self.reading, lesions=(*self.reading.lesions, *added))

    def _lesion(self, lesion_id: str) -> Lesion:
        row = next((found for name in self.tables if (found := self.row(lesion_id, name))), None)
        if row is None:
            return Lesion(lesion_id=lesion_id)
        r, a, s = (float(row.geometry[f"centroid_{axis}_mm"] or 0.0) for axis in "ras")
        volume = float(row.geometry["volume_mm3"] or 0.0)
        return Lesion(lesion_id=lesion_id, name=row.name, volume_mm3=volume, centroid_ras_mm=(r, a, s))


def labels_in(labels: Array) -> list[int]:
    """Labels in use, ascending."""
    return [int(label) for label in np.unique(labels) if label > 0]


def graded_maps(study: LesionStudy) -> tuple[str, ...]:
    """Maps that have a column for grades: those that readers grade and that any pipeline gives."""
    measured = {name for table in study.tables.values() for name in table.measured_maps}
    judged = {one.question.map_name for one in study.reading}
    return tuple(name for name in GRADED_MAPS if name in measured | judged)


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
