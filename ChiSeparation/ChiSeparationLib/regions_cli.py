"""``chisep regions``: the maps of a run over the regions of an atlas or segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from .arguments import AsJson, method_names
from .console import Console

if TYPE_CHECKING:
    from .regions_analysis import RegionAnalysis


def regions(
    results: Annotated[Path, typer.Argument(help="Folder of a run, or of maps.")],
    labels: Annotated[
        Path, typer.Option(help="Regions: label map (NIfTI) or segmentation of 3D Slicer (.seg.nrrd), in this "
                                "session's space or, with --t1, in that of the T1.")
    ],
    label_names: Annotated[
        Path | None, typer.Option(help="Names of the labels: CSV, TSV, JSON, or ITK-SNAP label descriptions.")
    ] = None,
    t1: Annotated[
        Path | None, typer.Option(help="T1 (NIfTI) that the labels belong to: it is registered, and they move with it.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Which of the run's methods, separated by commas; all by default.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Method of the run, or folder of maps, to compare with: slope and R².")
    ] = None,
    normative: Annotated[
        Path | None,
        typer.Option(help="CSV with region, map, mean_ppb, sd_ppb[, age_from, age_to]: z-scores."),
    ] = None,
    age: Annotated[float | None, typer.Option(help="The patient's age in years, for normative values by age.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for regions.csv, regions.json and the plots.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Mean, SD and median of every map in every region; against a reference method; against normative values."""
    from .evaluation import read_estimates
    from .normative import read_normative
    from .region_labels import read_region_labels
    from .regions_analysis import analyse_regions, read_reference, write_analysis

    if age is not None and normative is None:
        raise InputError("--age", "no --normative", "both, as only normative values go by age")
    healthy = read_normative(normative, age) if normative else None
    estimates = read_estimates([results], None if method is None else method_names(method))
    compared = read_reference(results, reference) if reference else None
    with Console() as console:
        maps = next(iter(estimates.values())).maps
        found_labels = read_region_labels(labels, maps, label_names, t1, Reporter(console.progress))
    found = analyse_regions(estimates, found_labels, compared, healthy)
    if output is not None:
        write_analysis(output, found)
    Console.show(found.to_json(), lambda: _shown(found), as_json=as_json)


def _shown(found: RegionAnalysis) -> Iterator[Any]:
    """A table for each map, with a row for each region and method; then the regressions."""
    for name in dict.fromkeys(row.map for row in found.rows):
        rows = [row for row in found.rows if row.map == name]
        yield f"{name} ({rows[0].unit})"
        yield _table(rows)
        for method, lines in found.lines.items():
            if name in lines:
                line = lines[name]
                explained = "–" if line.r_squared is None else f"{line.r_squared:.3f}"
                yield f"{method} against {found.reference}: slope {line.slope:.3f}, R² {explained}"
    yield from (f"Note: {text}" for text in found.warnings)


def _table(rows: list[Any]) -> Any:
    from rich import box
    from rich.table import Table

    optional = [key for key in ("reference_mean", "normative_mean", "z_score")
                if any(getattr(row, key) is not None for row in rows)]  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("label", "region", "method", "voxels", "mean ± SD", "median", *optional):
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        others = [getattr(row, key) for key in optional]
        table.add_row(str(row.label), row.region, row.method, str(row.voxels), f"{row.mean:.4g} ± {row.sd:.2g}",
                      f"{row.median:.4g}", *("–" if one is None else f"{one:.4g}" for one in others))  # fmt: skip
    return table
