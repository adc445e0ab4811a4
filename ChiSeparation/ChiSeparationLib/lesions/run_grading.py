"""Grade the lesions of a run: with its white matter and its vessels found first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.progress import Reporter

from .components import LabelledLesions
from .grading import grade_lesions
from .suggestion import ThresholdSet
from .table import LesionTable
from .white_matter import WhiteMatter, normal_appearing_white_matter

_UNFOUND = "White matter could not be told from grey matter in these maps; lesions are compared with all tissue."


def grade_run(
    maps: MapSet,
    lesions: LabelledLesions,
    *,
    names: Mapping[int, str] | None = None,
    thresholds: ThresholdSet | None = None,
    report: Reporter | None = None,
) -> LesionTable:
    """Suggest grades for every lesion, against the normal-appearing white matter that the maps themselves show.

    Parameters
    ----------
    maps : MapSet
        Of one method, with everything that it was made from.
    lesions : LabelledLesions
        On the maps' grid.
    names : mapping of int to str, optional
        The user's names of lesions, by label.
    thresholds : ThresholdSet, optional
        Limits of the grades; those in ``thresholds.json`` by default.
    report : Reporter, optional
        Progress and cancellation.

    Raises
    ------
    InputError
        As :func:`.grading.grade_lesions`.
    CancelledError
        If the caller asked to stop.
    """
    report = report or Reporter()
    report("white matter", 0.0)
    white = white_matter_of(maps, lesions)
    report("vessels", 0.1)
    table = grade_lesions(
        _with_vessels(maps), lesions.lesions, white_matter=white.mask if white else None,
        excluded=lesions.dropped_mask, names=names, thresholds=thresholds, report=report.span(0.3, 1.0),
    )  # fmt: skip
    return table if white else replace(table, warnings=(*table.warnings, _UNFOUND))


def white_matter_of(maps: MapSet, lesions: LabelledLesions) -> WhiteMatter | None:
    """Normal-appearing white matter, without any lesion, small ones included."""
    return normal_appearing_white_matter(maps, (lesions.lesions.data > 0) | lesions.dropped_mask)


def _with_vessels(maps: MapSet) -> MapSet:
    """Maps with masks of the vessels, found by their shape where none are there and the maps allow it."""
    from ChiSepReconstructLib.masks.vessels import vessel_masks

    missing = {"vessel_mask_para", "vessel_mask_dia"} - set(maps)
    if not missing or not {"r2star", "chi_para", "chi_dia", "brain_mask"} <= set(maps):
        return maps
    return maps.including(*(one for one in vessel_masks(maps) if one.name in missing))
