"""Measure every lesion in the χ maps and suggest its grades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Map, MapSet, check_volume
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import erode_mm
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import ppm_to_ppb

from .components import whole_numbers
from .measures import MapMeasures, in_spreads, measure_map
from .regions import Mask, Region, RegionOptions, find_regions
from .suggestion import Suggestion, Thresholds, ThresholdSet, read_thresholds, suggest
from .table import LesionRow, LesionTable

#: Maps that are measured, with the masks that are no white matter in them. The paper grades the first two.
_MAPS = {
    "chi_para": ("csf_mask", "vessel_mask_para"),
    "chi_dia": ("csf_mask", "vessel_mask_dia"),
    "chi_total": ("csf_mask", "vessel_mask_para", "vessel_mask_dia"),
}


def grade_lesions(
    maps: MapSet,
    lesions: Map,
    *,
    white_matter: Array | None = None,
    excluded: Array | None = None,
    names: Mapping[int, str] | None = None,
    options: RegionOptions | None = None,
    thresholds: ThresholdSet | None = None,
    report: Reporter | None = None,
) -> LesionTable:
    """Measure every lesion against the white matter around it and suggest a grade in each map.

    Parameters
    ----------
    maps : MapSet
        ``chi_para`` or ``chi_dia`` or both; ``field_mask`` or ``brain_mask`` or both; ``chi_total``,
        ``csf_mask`` and the vessel masks are used if they are there.
    lesions : Map
        ``lesions``: one positive integer for each.
    white_matter : ndarray of bool, shape (I, J, K), optional
        White matter, such as :func:`.white_matter.normal_appearing_white_matter` finds, with or without the lesions;
        its edge is left out. Without it all tissue around a lesion counts, and the table says so.
    excluded : ndarray of bool, shape (I, J, K), optional
        No white matter to compare with, such as ``LabelledLesions.dropped_mask``.
    names : mapping of int to str, optional
        The user's names of lesions, by label.
    options : RegionOptions, optional
        Distances and smallest counts.
    thresholds : ThresholdSet, optional
        Limits of the grades; those in ``thresholds.json`` by default.
    report : Reporter, optional
        Progress and cancellation.

    Returns
    -------
    LesionTable
        Grades in it are suggestions. A lesion that cannot be graded has none, and a flag that says why.

    Raises
    ------
    InputError
        If a map is missing, or grids or labels do not fit.
    CancelledError
        If the caller asked to stop.
    """
    options, thresholds, report = options or RegionOptions(), thresholds or read_thresholds(), report or Reporter()
    labels = _labels(maps, lesions)
    grader = _grader(maps, labels, white_matter, excluded, names or {}, options, thresholds)
    total = max(int(np.unique(labels[labels > 0]).size), 1)
    rows = []
    for done, region in enumerate(find_regions(labels, maps.grid, options)):
        report("lesions", done / total, f"lesion {region.label}")
        rows.append(grader.row(region))
    report("lesions", 1.0)
    return LesionTable(
        rows=tuple(rows),
        measured_maps=tuple(grader.nawm),
        graded_maps=grader.graded,
        thresholds=thresholds,
        options=options,
        warnings=(*lesions.warnings, *_missing_masks(maps, white_matter, options)),
    )


def _labels(maps: MapSet, lesions: Map) -> NDArray[np.int64]:
    if lesions.name != "lesions":
        raise InputError("lesion map", lesions.name, "the artifact 'lesions'")
    if not lesions.grid.matches(maps.grid):
        raise InputError("lesions", f"a grid of {lesions.grid.shape}", f"the maps' grid {maps.grid.shape}",
                         "Resample the lesions to the maps with nearest neighbours.")  # fmt: skip
    return whole_numbers(lesions.data)


@dataclass(frozen=True, eq=False)
class _Grader:
    """What is the same for all lesions: where maps are valid, where each has white matter, and the rules."""

    maps: MapSet
    valid: Mask
    nawm: Mapping[str, Mask]
    graded: tuple[str, ...]
    names: Mapping[int, str]
    options: RegionOptions
    thresholds: ThresholdSet

    def row(self, region: Region) -> LesionRow:
        """Measures, suggestions and flags of one lesion."""
        geometry = self._geometry(region)
        outside = geometry["outside_fraction"]
        measures = {name: self._measure(name, region) for name in self.nawm}
        suggestions = {
            name: _suggestion(measures[name], outside, self.options, self.thresholds.maps[name]) for name in self.graded
        }
        return LesionRow(
            label=region.label,
            name=self.names.get(region.label, ""),
            geometry=geometry,
            measures=measures,
            suggestions=suggestions,
            flags=tuple(_flags(outside, measures, suggestions, self)),
        )

    def _measure(self, name: str, region: Region) -> MapMeasures:
        chi_ppb = ppm_to_ppb(self.maps.array(name)[region.box].astype(np.float64))
        nawm = self.nawm[name][region.box]
        valid, rise_sd = self.valid[region.box], self.thresholds.rim_sign.rise_sd
        return measure_map(chi_ppb, region, valid, nawm, self.options, rise_sd)

    def _geometry(self, region: Region) -> dict[str, float]:
        inside = np.count_nonzero(region.lesion & self.valid[region.box])
        centroid = zip(("r", "a", "s"), region.centroid_ras_mm, strict=True)
        return {
            "voxels": float(region.voxels),
            "volume_mm3": region.voxels * self.maps.grid.voxel_volume_mm3,
            **{f"centroid_{axis}_mm": position for axis, position in centroid},
            "outside_fraction": 1.0 - inside / region.voxels,
        }


def _grader(
    maps: MapSet,
    labels: NDArray[np.int64],
    white_matter: Array | None,
    excluded: Array | None,
    names: Mapping[int, str],
    options: RegionOptions,
    thresholds: ThresholdSet,
) -> _Grader:
    measured = tuple(name for name in _MAPS if name in maps)
    graded = tuple(name for name in measured if name in thresholds.maps)
    if not graded:
        raise InputError("maps to grade", ", ".join(maps) or "none", f"at least one of {', '.join(thresholds.maps)}")
    masks = [maps.array(name) for name in ("brain_mask", "field_mask") if name in maps]
    if not masks:
        raise InputError("masks", "neither brain_mask nor field_mask", "at least one of them",
                         "Without it, background would count as white matter.")  # fmt: skip
    valid = np.logical_and.reduce(masks)
    tissue, abnormal = valid, labels > 0
    if excluded is not None:
        abnormal = abnormal | _checked_mask("excluded", excluded, maps)
        tissue = tissue & ~abnormal
    if white_matter is not None:
        white = _checked_mask("white_matter", white_matter, maps)
        tissue = tissue & white & _pure(white | abnormal, maps, options)
    nawm = {name: _without(tissue, maps, _MAPS[name]) for name in measured}
    return _Grader(maps, valid, nawm, graded, names, options, thresholds)


def _checked_mask(name: str, mask: Array, maps: MapSet) -> Mask:
    check_volume(name, mask, maps.grid.shape)
    if mask.dtype != np.bool_:
        raise InputError(name, f"dtype {mask.dtype}", "a mask of bool")
    return mask


def _pure(white: Mask, maps: MapSet, options: RegionOptions) -> Mask:
    """White matter without its edge, where voxels hold other tissue as well: the margin, and at least one voxel."""
    from scipy.ndimage import binary_erosion

    margin_mm = options.white_matter_margin_mm
    if not margin_mm:
        return white
    return np.asarray(erode_mm(white, margin_mm, maps.grid.voxel_size_mm) & binary_erosion(white))


def _without(tissue: Mask, maps: MapSet, masks: tuple[str, ...]) -> Mask:
    for name in masks:
        if name in maps:
            tissue = tissue & ~maps.array(name)
    return tissue


def _suggestion(measured: MapMeasures, outside: float, options: RegionOptions, limits: Thresholds) -> Suggestion:
    if outside > options.maximum_outside_fraction:
        return Suggestion(grade=None, reason="Not graded: too much of the lesion lies outside the valid field.")
    if measured.missing:
        return Suggestion(grade=None, reason=f"Not graded: {measured.missing}.")
    return suggest(measured.values["contrast_ppb"], measured.values["contrast_sd"], limits)


def _flags(
    outside: float, measures: Mapping[str, MapMeasures], suggestions: Mapping[str, Suggestion], grader: _Grader
) -> Iterator[str]:
    if outside > 0:
        yield f"{outside:.0%} of the lesion's voxels lie outside the valid field and are not measured."
    if outside > grader.options.maximum_outside_fraction:
        yield "That is too much for a suggested grade."
        return
    for name, suggestion in suggestions.items():
        if suggestion.grade is None:
            yield f"{name}: {suggestion.reason}"
        else:
            yield from _rim_flag(name, measures[name], suggestion.grade.rank, grader.thresholds.maps[name])
    if "chi_para" in measures:
        yield from _rim_sign_flag(measures["chi_para"], grader.thresholds)


def _rim_flag(name: str, measured: MapMeasures, rank: int, limits: Thresholds) -> Iterator[str]:
    """An iron rim can stand out where the mean of the whole lesion does not."""
    contrast, spread = measured.values["rim_contrast_ppb"], measured.values["nawm_sd_ppb"]
    if contrast is None or measured.values["core_mean_ppb"] is None:
        return
    rim = suggest(contrast, in_spreads(contrast, spread), limits)
    if rim.grade is not None and abs(rim.grade.rank) > abs(rank):
        yield f"{name}: the rim alone would be {rim.grade.value} ({contrast:+.1f} ppb)."


def _rim_sign_flag(measured: MapMeasures, thresholds: ThresholdSet) -> Iterator[str]:
    """Iron along the edge; a hint for the reader, as readers call a rim by its shape."""
    share, contrast = measured.values["rim_sign_score"], measured.values["rim_contrast_ppb"]
    if share is None or contrast is None or share < thresholds.rim_sign.share:
        return
    limit = thresholds.maps["chi_para"].isointense_below if "chi_para" in thresholds.maps else None
    if limit is None or limit.passed(contrast, in_spreads(contrast, measured.values["nawm_sd_ppb"])):
        yield f"chi_para: possible paramagnetic rim, {share:.0%} of the rim stands out from core and surroundings."


def _missing_masks(maps: MapSet, white_matter: Array | None, options: RegionOptions) -> tuple[str, ...]:
    """Say what could not be left out of the white matter."""
    warnings = []
    if white_matter is None:
        warnings.append(
            f"No white matter mask: all tissue {options.shell_gap_mm:g} to {options.shell_reach_mm:g} mm around a "
            "lesion counts, grey matter included."
        )
    if "field_mask" not in maps:
        warnings.append("No field mask: lesions at the brain's edge are measured where the field may be wrong.")
    spoiling = ("vessel_mask_para", "vessel_mask_dia") if white_matter is not None else _MAPS["chi_total"]
    absent = [name for name in spoiling if name not in maps]
    if absent:
        warnings.append(f"Not left out of the white matter, for want of masks: {', '.join(absent)}.")
    return tuple(warnings)
