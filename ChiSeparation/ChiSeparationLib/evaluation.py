"""Several estimates against one truth, as ``chisep evaluate`` shows them: metrics, regions, CSV, JSON and plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.artifacts import Array, Grid, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti, write_csv
from ChiSepReconstructLib.evaluation.evaluate import evaluate, evaluate_regions
from ChiSepReconstructLib.evaluation.label_names import read_label_names
from ChiSepReconstructLib.evaluation.regions import RegionComparison, as_labels
from ChiSepReconstructLib.evaluation.relaxivity_estimation import (
    RelaxivityEstimate,
    deep_grey_labels,
    estimate_relaxivity,
)
from ChiSepReconstructLib.masks.vessels import with_vessel_masks

from .report.scatter import write_scatter
from .run_folder import read_record, read_run


@dataclass(frozen=True, eq=False)
class Estimate:
    """Maps to be judged.

    Parameters
    ----------
    maps : MapSet
        Of one method, with everything that it was made from.
    own : tuple of str
        Maps that no other estimate of the same run shows already.
    """

    maps: MapSet
    own: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Regions:
    """A label map on the maps' grid, with its names."""

    labels: Array
    names: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found, by estimate.

    Parameters
    ----------
    maps : mapping
        Estimate → artifact → what :func:`ChiSepReconstructLib.evaluation.evaluate.evaluate` gives; empty without truth.
    regions : mapping
        Estimate → artifact → means of the regions; empty without a label map.
    relaxivity : mapping
        Estimate → relaxometric constant in deep grey matter, where the label map names its five regions.
    """

    maps: Mapping[str, Mapping[str, Mapping[str, Any]]]
    regions: Mapping[str, Mapping[str, RegionComparison]] = field(default_factory=dict)
    relaxivity: Mapping[str, RelaxivityEstimate] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything by estimate; of a single estimate its maps under ``maps`` too."""
        parts = {"maps": self.maps, "regions": _plain(self.regions), "relaxivity": _plain(self.relaxivity)}
        labels = dict.fromkeys((*self.maps, *self.regions))
        every = {label: {key: part[label] for key, part in parts.items() if label in part} for label in labels}
        alone = dict(next(iter(self.maps.values()))) if len(self.maps) == 1 else None
        return {**({"maps": alone} if alone is not None else {}), "estimates": every}


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Dataclasses as JSON has them."""
    return {key: _plain(one) if isinstance(one, Mapping) else asdict(one) for key, one in found.items()}


def evaluate_folders(
    estimates: Sequence[Path],
    truth: Path | None,
    methods: Sequence[str] | None,
    labels: Path | None,
    label_names: Path | None,
    *,
    find_vessels: bool = False,
) -> Evaluation:
    """Read and compare what the command line names; see :func:`evaluate_all`.

    Raises
    ------
    InputError
        If something cannot be read or does not fit.
    """
    read = read_estimates(estimates, methods)
    regions = read_regions(labels, label_names, next(iter(read.values())).maps.grid)
    return evaluate_all(read, None if truth is None else read_run(truth), regions, find_vessels=find_vessels)


def write_evaluation(found: Evaluation, table: Path | None, plot: Path | None) -> None:
    """Write the CSV files and the plot that are asked for; means of the regions go beside the table.

    Raises
    ------
    InputError
        If there is nothing to plot.
    OutputError
        If a file cannot be written.
    """
    if plot is not None:
        write_scatter(plot, found.regions)
    if table is not None:
        write_metrics_csv(table, found)
        if found.regions:
            write_regions_csv(table.with_name(f"{table.stem}_regions.csv"), found)


def read_estimates(folders: Sequence[Path], methods: Sequence[str] | None = None) -> dict[str, Estimate]:
    """Read every method of every run, or plain folders of maps, each under a name of its own.

    Parameters
    ----------
    folders : sequence of Path
        Runs or folders of maps.
    methods : sequence of str, optional
        Which of the runs' methods; all if left out.

    Raises
    ------
    InputError
        If a folder holds no maps, or none of its methods is meant.
    """
    read = [one for folder in folders for one in _of_folder(folder, methods)]
    short = Counter(name for name, _, _ in read)
    named = [(name if short[name] == 1 else f"{folder.name}: {name}", folder, one) for name, folder, one in read]
    long = Counter(name for name, _, _ in named)
    return {name if long[name] == 1 else f"{folder}: {name}": one for name, folder, one in named}


def _of_folder(folder: Path, methods: Sequence[str] | None) -> Iterator[tuple[str, Path, Estimate]]:
    done = read_record(folder).get("methods", {})
    chosen = tuple(done) if methods is None else tuple(methods)
    if not chosen:
        maps = read_run(folder)
        yield folder.name or str(folder), folder, Estimate(maps, tuple(maps))
    for number, method in enumerate(chosen):
        maps = read_run(folder, method)
        own = [name for name, one in maps.items() if number == 0 or one.method == method]
        yield method, folder, Estimate(maps, tuple(own))


def read_regions(labels: Path | None, names: Path | None, grid: Grid) -> Regions | None:
    """Read a label map and its names; none if neither is given.

    Raises
    ------
    InputError
        If a file cannot be read, there are names alone, or the label map lies on another grid or has no whole numbers.
    """
    if labels is None:
        if names is not None:
            raise InputError("label names", names.name, "a label map with them", "Add --labels.")
        return None
    data, own = read_nifti(labels)
    if not own.matches(grid):
        raise InputError("label map", f"{labels.name} on another grid, {own.shape}", f"the maps' grid, {grid.shape}",
                         "Bring the atlas onto these maps first, by nearest neighbour.")  # fmt: skip
    return Regions(as_labels(data, labels.name), read_label_names(names) if names else {})


def evaluate_all(
    estimates: Mapping[str, Estimate], truth: MapSet | None, regions: Regions | None, *, find_vessels: bool = False
) -> Evaluation:
    """Compare every estimate with the truth and over the regions.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        By name.
    truth : MapSet or None
        On the same grid.
    regions : Regions or None
        On the same grid.
    find_vessels : bool
        Find vessels in the truth, or where there is none in each estimate, if it has no masks of them.

    Raises
    ------
    InputError
        If there is neither truth nor label map, they do not fit, or maps to find vessels are missing.
    """
    if truth is None and regions is None:
        raise InputError("evaluate", "neither --truth nor --labels", "at least one of them")
    every = {label: one.maps for label, one in estimates.items()}
    if find_vessels and truth is not None:
        truth = with_vessel_masks(truth, next(iter(every.values())))
    elif find_vessels:
        every = {label: with_vessel_masks(maps, maps) for label, maps in every.items()}
    metrics = {} if truth is None else {key: evaluate(maps, truth, estimates[key].own) for key, maps in every.items()}
    if regions is None:
        return Evaluation(metrics)
    found = {
        label: evaluate_regions(maps, truth, regions.labels, regions.names, estimates[label].own)
        for label, maps in every.items()
    }
    constants = {label: _relaxivity(maps, regions) for label, maps in every.items()}
    return Evaluation(metrics, found, {label: one for label, one in constants.items() if one is not None})


def _relaxivity(maps: MapSet, regions: Regions) -> RelaxivityEstimate | None:
    """Relaxometric constant of the scan; none where the label map does not name deep grey matter."""
    try:
        deep_grey = deep_grey_labels(regions.names)
    except InputError:
        return None
    if not {"r2prime", "chi_total", "brain_mask"} <= set(maps):
        return None
    mask = maps.array("field_mask" if "field_mask" in maps else "brain_mask")
    return estimate_relaxivity(maps.array("r2prime"), maps.array("chi_total"), regions.labels, deep_grey, mask,
                               maps.scan.field_strength_t)  # fmt: skip


def write_metrics_csv(path: Path, found: Evaluation) -> None:
    """Write one row for each estimate and map, as Table 1 of Kim et al. 2025, with the regression over regions.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = []
    for label, name in _pairs(found):
        compared = found.regions.get(label, {}).get(name)
        line = asdict(compared.line) if compared and compared.line else {}
        metrics = found.maps.get(label, {}).get(name, {})
        rows.append({"estimate": label, "map": name, **metrics, **{f"regions_{key}": one for key, one in line.items()}})
    _write_csv(path, rows)


def write_regions_csv(path: Path, found: Evaluation) -> None:
    """Write one row for each estimate, map and region.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = []
    for label, name in _pairs(found):
        compared = found.regions[label][name]
        for number, one in enumerate(compared.estimate):
            truth = compared.truth[number] if compared.truth else None
            reference = {"truth_mean": truth.mean, "truth_sd": truth.sd} if truth else {}
            rows.append({"estimate": label, "map": name, **asdict(one), **reference})
    _write_csv(path, rows)


def _pairs(found: Evaluation) -> Iterable[tuple[str, str]]:
    """Estimate and map, the maps together as in the paper's table."""
    by_map = [(name, label) for label, maps in (found.maps or found.regions).items() for name in maps]
    order = list(dict.fromkeys(name for name, _ in by_map))
    return [(label, name) for name, label in sorted(by_map, key=lambda pair: order.index(pair[0]))]


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(path, columns, rows)
