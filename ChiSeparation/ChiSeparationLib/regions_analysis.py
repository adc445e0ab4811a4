"""Regions of an atlas or segmentation in every map: means, against a reference method, against normative values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import ARTIFACTS, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_csv, write_json
from ChiSepPreprocessLib.quantities import ppm_to_ppb
from ChiSepReconstructLib.evaluation.evaluate import evaluation_mask
from ChiSepReconstructLib.evaluation.regions import (
    Line,
    RegionComparison,
    RegionStatistics,
    fit_line,
    region_statistics,
)

from .evaluation import Estimate
from .normative import Normative
from .region_labels import RegionLabels
from .run_folder import read_record, read_run

#: Maps that are measured where they are there.
MEASURED = ("chi_para", "chi_dia", "chi_total", "r2star", "r2", "r2prime")


@dataclass(frozen=True, kw_only=True)
class RegionRow:
    """One region in one map of one method.

    Parameters
    ----------
    method, map : str
        Whose map, and which.
    unit : str
        ``ppb`` for susceptibilities, else the map's own.
    label : int
        Number of the region.
    region : str
        Its name, or the number.
    voxels : int
        How many were looked at.
    mean, sd, median : float
        In the unit; sd with n − 1.
    reference_mean, reference_sd : float or None
        Of the reference method in the same voxels.
    normative_mean, normative_sd, z_score : float or None
        Of the healthy, and how far the mean lies from them in their standard deviations.
    """

    method: str
    map: str
    unit: str
    label: int
    region: str
    voxels: int
    mean: float
    sd: float
    median: float
    reference_mean: float | None = None
    reference_sd: float | None = None
    normative_mean: float | None = None
    normative_sd: float | None = None
    z_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class RegionAnalysis:
    """All rows, and how the methods agree with the reference.

    Parameters
    ----------
    rows : tuple of RegionRow
        By method, map and label.
    compared : mapping
        Method → map → means of the regions beside the reference's; empty without reference.
    reference : str
        Name of the reference method; empty without.
    warnings : tuple of str
        What the user should know.
    """

    rows: tuple[RegionRow, ...]
    compared: Mapping[str, Mapping[str, RegionComparison]] = field(default_factory=dict)
    reference: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def lines(self) -> dict[str, dict[str, Line]]:
        """Regression of each map's regional means on the reference's."""
        return {
            method: {name: one.line for name, one in maps.items() if one.line} for method, maps in self.compared.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        lines = {method: {name: asdict(one) for name, one in maps.items()} for method, maps in self.lines.items()}
        return {
            "rows": [asdict(row) for row in self.rows],
            "reference": self.reference or None,
            "lines": lines,
            "warnings": list(self.warnings),
        }


def read_reference(results: Path, reference: str) -> tuple[str, MapSet]:
    """Name and maps of the reference: a method of the run itself, or a folder.

    Raises
    ------
    InputError
        If it is neither.
    """
    done = read_record(results).get("methods", {})
    if reference in done:
        return reference, read_run(results, reference)
    if not Path(reference).is_dir():
        offered = ", ".join(done) or "none"
        raise InputError("--reference", f"'{reference}'", f"a method of the run ({offered}) or a folder of maps")
    return Path(reference).name, read_run(Path(reference))


def analyse_regions(
    estimates: Mapping[str, Estimate],
    regions: RegionLabels,
    reference: tuple[str, MapSet] | None = None,
    normative: Normative | None = None,
) -> RegionAnalysis:
    """Measure every map of every method over the regions.

    Voxels are those in the brain where the field is valid, without CSF and vessels as far as there are masks of them,
    as in :func:`ChiSepReconstructLib.evaluation.evaluate.evaluate`.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        As :func:`.evaluation.read_estimates` gives.
    regions : RegionLabels
        On the maps' grid.
    reference : tuple of str and MapSet, optional
        Name and maps of the method to compare with.
    normative : Normative, optional
        Means and standard deviations of the healthy.

    Raises
    ------
    InputError
        If grids differ, or no region lies in the brain.
    """
    rows: list[RegionRow] = []
    compared: dict[str, dict[str, RegionComparison]] = {}
    for method, one in estimates.items():
        for name in (name for name in MEASURED if name in one.own):
            found, medians = _measured(name, one.maps, regions, reference)
            rows += _rows(method, name, found, medians)
            if found.truth and reference and method != reference[0]:
                compared.setdefault(method, {})[name] = found
    if not rows:
        raise InputError("maps to measure", "none", f"some of {', '.join(MEASURED)}")
    warnings = regions.warnings + _unmeasured(regions, rows)
    if normative is not None:
        rows = [_with_normative(row, normative) for row in rows]
        warnings += normative.unused((row.region, row.label, row.map) for row in rows)
    return RegionAnalysis(
        rows=tuple(rows), compared=compared, reference=reference[0] if reference else "", warnings=warnings
    )


def _unmeasured(regions: RegionLabels, rows: Sequence[RegionRow]) -> tuple[str, ...]:
    """Say which regions have no voxel to look at."""
    every, met = np.unique(regions.labels[regions.labels > 0]).tolist(), {row.label for row in rows}
    missed = [regions.names.get(label, str(label)) for label in every if label not in met]
    listed = ", ".join(missed[:20]) + (f" and {len(missed) - 20} more" if len(missed) > 20 else "")
    why = "outside the brain or the valid field, or CSF or vessels"
    return (f"Regions without a voxel to measure ({why}): {listed}.",) if missed else ()


def _measured(
    name: str, maps: MapSet, regions: RegionLabels, reference: tuple[str, MapSet] | None
) -> tuple[RegionComparison, dict[int, float]]:
    if not regions.labels.shape == maps.grid.shape:
        raise InputError("label map", f"shape {regions.labels.shape}", f"the maps' shape {maps.grid.shape}")
    mask, _ = evaluation_mask(name, maps, maps)
    values = _values(name, maps)
    found = region_statistics(values, regions.labels, regions.names, mask)
    if not found:
        raise InputError("label map", "no label inside the brain", "regions of this patient's brain",
                         "Check that the labels lie on these maps.")  # fmt: skip
    medians = {one.label: float(np.median(values[mask & (regions.labels == one.label)])) for one in found}
    other = reference[1] if reference and name in reference[1] else None
    if other is None:
        return RegionComparison(found, None, None), medians
    if not other.grid.matches(maps.grid):
        raise InputError("reference", f"grid {other.grid.shape}", f"the maps' grid {maps.grid.shape}",
                         "Compare methods on maps of one scan.")  # fmt: skip
    true = region_statistics(_values(name, other), regions.labels, regions.names, mask)
    return RegionComparison(found, true, _line(true, found)), medians


def _values(name: str, maps: MapSet) -> NDArray[np.float64]:
    data = maps.array(name).astype(np.float64)
    return np.asarray(ppm_to_ppb(data)) if maps[name].spec.unit == "ppm" else data


def _line(true: Sequence[RegionStatistics], found: Sequence[RegionStatistics]) -> Line | None:
    means = [one.mean for one in true]
    return fit_line(means, [one.mean for one in found]) if len(set(means)) > 1 else None


def _rows(method: str, name: str, found: RegionComparison, medians: Mapping[int, float]) -> Iterator[RegionRow]:
    unit = unit_of(name)
    for number, one in enumerate(found.estimate):
        true = found.truth[number] if found.truth else None
        yield RegionRow(
            method=method, map=name, unit=unit, label=one.label, region=one.name, voxels=one.voxels, mean=one.mean,
            sd=one.sd, median=medians[one.label], reference_mean=true.mean if true else None,
            reference_sd=true.sd if true else None,
        )  # fmt: skip


def unit_of(name: str) -> str:
    """Unit in which a map is measured here."""
    return "ppb" if ARTIFACTS[name].unit == "ppm" else ARTIFACTS[name].unit


def _with_normative(row: RegionRow, normative: Normative) -> RegionRow:
    known = normative.value(row.region, row.label, row.map)
    if known is None:
        return row
    z_score = (row.mean - known.mean_ppb) / known.sd_ppb
    return replace(row, normative_mean=known.mean_ppb, normative_sd=known.sd_ppb, z_score=z_score)


def write_analysis(folder: Path, found: RegionAnalysis) -> None:
    """Write ``regions.csv``, ``regions.json`` and, where there is something to plot, two pictures.

    They are ``reference.png`` and ``normative.png``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from .report.region_plots import write_normative_plot
    from .report.scatter import write_scatter

    write_rows_csv(folder / "regions.csv", found.rows)
    write_json(folder / "regions.json", found.to_json())
    if any(found.lines.values()):
        write_scatter(folder / "reference.png", found.compared, reference=found.reference, unit_of=unit_of)
    if any(row.z_score is not None for row in found.rows):
        write_normative_plot(folder / "normative.png", [asdict(row) for row in found.rows])


def write_rows_csv(path: Path, rows: Sequence[RegionRow]) -> None:
    """Write one row for each method, map and region, UTF-8; empty cells where nothing is known.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_csv(path, list(RegionRow.__dataclass_fields__), (asdict(row) for row in rows))
