"""``chisep lesions follow``: which lesions are new, gone or changed between two scans of a patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ChiSepPreprocessLib.artifacts import Array, Grid, MapSet, check_volume
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti, write_nifti
from ChiSepPreprocessLib.progress import Reporter

from ..arguments import AsJson, method_names
from ..console import Console
from ..run_folder import LESIONS, check_apart, read_record, read_run

if TYPE_CHECKING:
    from ..lesions.longitudinal import FollowUp, TwoTimes
    from ..lesions.longitudinal_table import Change, LongitudinalTable
    from ..time_points import TimePointOptions

_First = Annotated[Path, typer.Argument(help="Folder of the first time's run, or of its maps.")]
_Second = Annotated[Path, typer.Argument(help="Folder of the second time's run, or of its maps.")]
_Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables and label maps.")]
_Lesions = Annotated[
    Path | None,
    typer.Option("--lesions", help="Lesions of the first time: mask or labels (NIfTI); those of its run by default."),
]
_LesionsSecond = Annotated[
    Path | None, typer.Option("--lesions-second", help="Lesions of the second time; those of its run by default.")
]
_Method = Annotated[
    str | None, typer.Option(help="Whose maps are compared; by default the first time's first method with χ maps.")
]
_Repeats = Annotated[
    list[Path] | None,
    typer.Option(
        "--repeat",
        help="Folder of a repeat of the first scan without a change in between, whose changes are the noise; may be "
        "repeated. Without any, noise comes from white matter.",
    ),
]
_Registered = Annotated[
    bool, typer.Option("--registered", help="Both times lie in one space already; nothing is registered.")
]
_LeastScore = Annotated[
    float,
    typer.Option(help="Refuse a second scan that resembles the first less (0 to 1): it is taken for another head."),
]
_Tolerance = Annotated[
    float, typer.Option("--tolerance-mm", help="Match lesions that share no voxel if they lie as near as this, mm.")
]
_Contour = Annotated[
    float, typer.Option("--contour-error-mm", help="How far out or in a contour is drawn by chance, SD, mm.")
]
_VolumeLimit = Annotated[
    float, typer.Option(help="Grown or shrunk: from so many standard deviations of the volume's error on.")
]
_ZLimit = Annotated[float, typer.Option(help="A change of χ: from so many standard deviations of its noise on ...")]
_LeastChange = Annotated[float, typer.Option("--least-change-ppb", help="... and as large as this, ppb.")]


def follow_command(
    first: _First, second: _Second, output: _Output, lesions: _Lesions = None, lesions_second: _LesionsSecond = None,
    method: _Method = None, repeat: _Repeats = None, registered: _Registered = False,
    least_score: _LeastScore = 0.5, tolerance_mm: _Tolerance = 2.0, contour_error_mm: _Contour = 0.2,
    volume_limit: _VolumeLimit = 2.0, z_limit: _ZLimit = 3.0, least_change_ppb: _LeastChange = 4.0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Match the lesions of two times (new, gone, grown, shrunk, stable) and compare their χ with the noise."""
    from ..lesions.longitudinal import follow_lesions
    from ..lesions.longitudinal_table import LongitudinalOptions
    from ..lesions.matching import MatchOptions
    from ..time_points import TimePointOptions

    folders = [first, second, *(repeat or ())]
    check_apart(output, folders)
    match = MatchOptions(tolerance_mm=tolerance_mm, contour_error_mm=contour_error_mm, volume_limit=volume_limit)
    options = LongitudinalOptions(match=match, z_limit=z_limit, least_change_ppb=least_change_ppb)
    places = TimePointOptions(registered=registered, least_score=least_score)
    with Console() as console:
        report = Reporter(console.progress)
        read = _read(folders, method)
        labels = [_lesions_of(*one) for one in zip(folders, (lesions, lesions_second), read, strict=False)]
        times = _brought_together(read, labels, places, report.span(0.0, 0.5))
        found = follow_lesions(times, options, report.span(0.5, 1.0))
    files = write_follow_up(output, found, times)
    content = {"output": str(output), "files": list(files), **found.table.as_json()}
    Console.show(content, lambda: _shown(found.table, output, files), as_json=as_json)


def _read(folders: Sequence[Path], method: str | None) -> list[MapSet]:
    """Maps of every folder, of one method."""
    names = None if method is None else method_names(method)
    if names is not None and len(names) > 1:
        raise InputError("--method", ", ".join(names), "one method")
    first = read_run(folders[0], names[0] if names else None)
    made = {first[name].method for name in ("chi_para", "chi_dia") if name in first}
    if not made:
        raise InputError("maps of the first time", ", ".join(first), "chi_para or chi_dia",
                         "Make them with 'chisep run'.")  # fmt: skip
    chosen = next(iter(made))
    others = [read_run(one, chosen if read_record(one).get("methods") else None) for one in folders[1:]]
    return [_with_vessels(one) for one in (first, *others)]


def _with_vessels(maps: MapSet) -> MapSet:
    """Maps with masks of the vessels, found by their shape where none are there and the maps allow it."""
    from ChiSepReconstructLib.masks.vessels import with_vessel_masks

    return with_vessel_masks(maps, maps) if {"r2star", "chi_para", "chi_dia", "brain_mask"} <= set(maps) else maps


def _lesions_of(folder: Path, path: Path | None, maps: MapSet) -> Array:
    """Lesions on the maps' grid, as they are numbered; small ones too, as they may have grown or be what is left."""
    from ..lesions.components import label_mask, whole_numbers

    path = path or folder / LESIONS / "lesions.nii.gz"
    if not path.is_file():
        raise InputError("lesions", f"no file '{path.name}' of {folder.name}", "lesions of both times",
                         "Give them with --lesions and --lesions-second, or find them first.")  # fmt: skip
    data, own = read_nifti(path)
    check_volume(path.name, data, own.shape)
    labels = whole_numbers(data)
    if not own.matches(maps.grid):
        labels = _onto(labels, own, maps.grid, path.name)
    return labels if np.unique(labels).size > 2 else label_mask(labels > 0, maps.grid, 0.0).lesions.data


def _onto(labels: Array, own: Grid, grid: Grid, name: str) -> Array:
    from ChiSepPreprocessLib.registration.rigid import resample

    moved = resample(labels, own, grid, nearest=True)
    if labels.any() and not moved.any():
        raise InputError("lesions", f"{name}, whose lesions lie outside the maps", "lesions of this scan",
                         "Give the lesions in the space of the GRE of their own time.")  # fmt: skip
    return moved


def _brought_together(
    read: Sequence[MapSet], labels: Sequence[Array], options: TimePointOptions, report: Reporter
) -> TwoTimes:
    from ..lesions.comparability import differences
    from ..lesions.longitudinal import TwoTimes
    from ..time_points import bring_together

    unlike = [differences(read[0], one) for one in read[1:]]  # refuses other methods before the work begins
    points = bring_together(read[0], read[1], options, report, repeats=read[2:])
    return TwoTimes(
        first=points.first, second=points.second, first_lesions=labels[0], second_lesions=labels[1],
        repeats=points.repeats, statements=points.statements,
        warnings=(*points.warnings, *unlike[0], *_of_repeats(unlike[1:])),
    )  # fmt: skip


def _of_repeats(unlike: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, texts in enumerate(unlike, 1):
        yield from (f"Repeat scan {number}: {text}" for text in texts)


def write_follow_up(output: Path, found: FollowUp, times: TwoTimes) -> tuple[str, ...]:
    """Write the table as CSV, JSON and page, and the lesions, each time's on its own grid, by the first time's numbers.

    Returns
    -------
    tuple of str
        Names of the files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from ..report.longitudinal_page import write_longitudinal_page

    names = ("lesions_first.nii.gz", "lesions_second.nii.gz", "changes.csv", "changes.json", "changes.html")
    second = found.matches.renumbered(times.second_lesions)
    write_nifti(output / names[0], times.first_lesions.astype(np.int32), times.first.grid)
    write_nifti(output / names[1], second.astype(np.int32), times.second.grid)
    found.table.to_csv(output / names[2])
    found.table.to_json(output / names[3])
    write_longitudinal_page(output / names[4], found.table)
    return names


def _shown(table: LongitudinalTable, output: Path, files: Sequence[str]) -> Iterator[Any]:
    counts = ", ".join(f"{number} {kind}" for kind, number in table.counts.items())
    yield f"{table.method}: {len(table.rows)} lesions{f' ({counts})' if counts else ''}"
    if table.rows:
        yield _as_table(table)
    yield from table.statements
    yield from (f"Note: {text}" for text in table.warnings)
    yield f"{output}: {', '.join(files)}"


def _as_table(table: LongitudinalTable) -> Any:
    from rich import box
    from rich.table import Table

    measure = "contrast_ppb" if "contrast_ppb" in table.options.measures else table.options.measures[0]
    columns = [f"{name} {measure.removesuffix('_ppb')} (change ± noise, ppb)" for name in table.compared_maps]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("lesion", "what", "mm³", *columns, "flags"):
        shown.add_column(column, overflow="fold")
    for row in table.rows:
        one, parts = row.match, "" if row.match.parts == "one" else f", {row.match.parts}"
        volumes = f"{one.volume_first_mm3:.0f} → {one.volume_second_mm3:.0f}"
        cells = [_in_words(row.changes[name, measure]) for name in table.compared_maps]
        shown.add_row(str(one.label), f"{one.kind.value}{parts}", volumes, *cells, " ".join(row.flags))
    return shown


def _in_words(change: Change) -> str:
    if change.change is None:
        return "–"
    noise = "–" if change.noise is None else f"{change.noise:.1f}"
    called = f", {change.called.value}" if change.called else ""
    return f"{change.change:+.1f} ± {noise}{called}"
