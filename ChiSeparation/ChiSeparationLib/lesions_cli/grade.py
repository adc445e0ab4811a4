"""``chisep lesions grade``: measures and suggested grades of every lesion, for each method of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..arguments import AsJson, method_names
from ..console import Console
from .run_lesions import read_run_lesions

if TYPE_CHECKING:
    from ..lesions.table import LesionTable

#: A lesion must have been measured in one of them.
_GRADED = ("chi_para", "chi_dia")


def grade_command(
    results: Annotated[Path, typer.Argument(help="Folder of a run, or of maps.")],
    lesions: Annotated[
        Path | None,
        typer.Option(
            help="Label map or mask (NIfTI), .seg.nrrd or DICOM SEG in this session's space; the run's own by default."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Which of the run's methods, separated by commas; all by default.")
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(help="Your own limits of the grades: an edited copy of the thresholds.json of this program."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the tables; beside each method's maps by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure every lesion and suggest its grades: lesions.csv and lesions.json for each method. No reading."""
    from ..evaluation import read_estimates
    from ..lesions.run_grading import grade_run
    from ..lesions.suggestion import THRESHOLDS_FILE, read_thresholds

    limits = read_thresholds(thresholds or THRESHOLDS_FILE)
    chosen = None if method is None else method_names(method)
    every = {name: one.maps for name, one in read_estimates([results], chosen).items()}
    graded = {name: maps for name, maps in every.items() if any(key in maps for key in _GRADED)}
    if not graded:
        raise InputError("maps to grade", ", ".join(every) or "none", f"a method that gave {' or '.join(_GRADED)}")
    found, names = read_run_lesions(results, lesions, next(iter(graded.values())))
    tables: dict[str, LesionTable] = {}
    with Console() as console:
        for name, maps in graded.items():
            tables[name] = grade_run(
                maps, found, names=names, thresholds=limits, report=Reporter(console.progress)
            )  # fmt: skip
    for name, table in tables.items():
        folder = _folder(results, output, name, alone=len(tables) == 1)
        table.to_csv(folder / "lesions.csv")
        table.to_json(folder / "lesions.json")
    Console.show(_as_json(tables), lambda: _shown(tables), as_json=as_json)


def _folder(results: Path, output: Path | None, name: str, *, alone: bool) -> Path:
    """Beside the method's maps, or a folder for each method where there are several."""
    if output is not None:
        return output if alone else output / name
    return results / name if (results / name).is_dir() else results


def _as_json(tables: Mapping[str, LesionTable]) -> dict[str, Any]:
    from ..lesions.table import SUGGESTION_NOTICE

    return {"notice": SUGGESTION_NOTICE, "methods": {name: table.as_json() for name, table in tables.items()}}


def _shown(tables: Mapping[str, LesionTable]) -> Iterator[Any]:
    from ..lesions.table import SUGGESTION_NOTICE

    for name, table in tables.items():
        yield f"{name}: {len(table.rows)} lesions"
        if table.rows:
            yield _table(table)
        yield from (f"Note: {text}" for text in table.warnings)
    yield SUGGESTION_NOTICE


def _table(table: LesionTable) -> Any:
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("lesion", "mm³", *(f"{name} (ppb, suggestion)" for name in table.graded_maps), "flags"):
        shown.add_column(column, overflow="fold")
    for row in table.rows:
        cells = []
        for name in table.graded_maps:
            contrast, grade = row.measures[name].values["contrast_ppb"], row.suggestions[name].grade
            cells.append(f"{'–' if contrast is None else f'{contrast:+.1f}'}, {grade.value if grade else 'none'}")
        shown.add_row(str(row.label), f"{row.geometry['volume_mm3']:.0f}", *cells, " ".join(row.flags))
    return shown
