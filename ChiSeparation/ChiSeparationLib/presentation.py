"""What people look at: the scene, slice pictures, tables and the report of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.artifacts import Grid, Kind, Map, MapSet
from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.files import write_map
from ChiSepPreprocessLib.progress import Progress, Reporter
from ChiSepPreprocessLib.registration.to_gre import Registered
from ChiSepReconstructLib.methods import R2PRIMENET

from .lesions.components import LabelledLesions
from .lesions.importing import import_lesions
from .lesions.run_grading import grade_run
from .lesions.table import LesionTable
from .report.comparison import MethodRow, compare_methods, write_comparison_csv, write_difference_pictures
from .report.html import Picture, ReportContent, write_report
from .report.table import summarise_maps, write_summary_csv
from .run_folder import COMPARISON, LESIONS, MAPS, PICTURES, QUALITY, REPORT, SCENE, read_record
from .study import Study

#: Maps that get pictures, in the report's order.
_PICTURED = ("chi_para", "chi_dia", "chi_total", "local_field", "r2star", "r2prime")


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a run may show besides its maps.

    Parameters
    ----------
    lesions : Path, optional
        Mask or labels as NIfTI.
    evaluation : mapping
        Row → metric → value, against a known truth.
    simulated : bool
        The data come from a simulation.
    """

    lesions: Path | None = None
    evaluation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    simulated: bool = False


def present(study: Study, extras: Extras | None = None, *, progress: Progress | None = None) -> tuple[str, ...]:
    """Write tables, scene, pictures and report into the run's folder.

    Parameters
    ----------
    study : Study
        A run with at least one method.
    extras : Extras, optional
        Lesions and evaluation.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.

    Returns
    -------
    tuple of str
        What could not be made on this machine, one sentence each.

    Raises
    ------
    InputError
        If the lesions do not fit the maps.
    OutputError
        If a file cannot be written.
    """
    extras, report = extras or Extras(), Reporter(progress)
    started = time.perf_counter()
    lesions = read_lesions(extras.lesions, study.maps.grid, study.flair) if extras.lesions else None
    tables: dict[str, LesionTable] = {}
    if lesions is not None:
        write_map(lesions.lesions, study.maps.scan, study.folder / LESIONS)
    for name, result in study.results.items():
        report("tables", 0.0, name)
        write_summary_csv(study.folder / name / "maps.csv", summarise_maps(result))
        if lesions is not None and "chi_para" in result:
            tables[name] = grade_run(result, lesions)
            tables[name].to_csv(study.folder / name / "lesions.csv")
    compared = compare_methods(study.results, read_record(study.folder).get("seconds", {}))
    if compared:
        write_comparison_csv(study.folder / COMPARISON, compared)
    problems: tuple[str, ...] = ()
    pictures: list[Picture] = []
    try:
        pictures = _draw(study, lesions.lesions if lesions else None, tables, report.span(0.1, 0.9))
    except MissingDependencyError as error:
        problems = (str(error),)
    pictures += [
        Picture(f"{name}: differences between the methods", path)
        for name, path in write_difference_pictures(study.folder / PICTURES, study.results)
    ]
    report("report", 0.9)
    content = _content(study, extras, tables, compared, pictures, problems, time.perf_counter() - started)
    write_report(study.folder / REPORT, content)
    report("done", 1.0)
    return problems


def read_lesions(path: Path, grid: Grid, flair: Registered | None = None) -> LabelledLesions:
    """Lesions as labels on the maps' grid.

    Parameters
    ----------
    path : Path
        Mask or labels on any grid in the scanner's space; see :func:`.importing.import_lesions`.
    grid : Grid
        The maps' grid.
    flair : Registered, optional
        Lesions on the FLAIR's grid were drawn on it, and move with it.

    Raises
    ------
    InputError
        If the file cannot be read, holds something else or lies outside the maps.
    """
    return import_lesions(path, grid, flair=flair).labelled


def _draw(study: Study, lesions: Map | None, tables: Mapping[str, LesionTable], report: Reporter) -> list[Picture]:
    """Scene and pictures, by Slicer's own code."""
    from ChiSepPreprocessLib.scene.mrb import write_mrb
    from ChiSepPreprocessLib.scene.nodes import add_lesions, add_maps
    from ChiSepPreprocessLib.scene.session import close_session, headless_scene

    scene = headless_scene()
    try:
        nodes = add_maps(scene, study.maps, folder_name="Maps", extra_images=study.images)
        chi = {}
        for name, result in study.results.items():
            made = MapSet(result.grid, result.scan, {key: one for key, one in result.items() if one.method == name})
            chi[name] = add_maps(scene, made, folder_name=f"χ maps ({name})")
        if lesions is not None:
            add_lesions(scene, lesions, _tags(tables), folder_name="Lesions")
        report("scene", 0.1)
        write_mrb(scene, study.folder / SCENE)
        report("pictures", 0.4)
        return _pictures(scene, study, nodes, chi, report.span(0.4, 1.0))
    finally:
        close_session(scene)


def _tags(tables: Mapping[str, LesionTable]) -> dict[int, dict[str, str]]:
    """Suggested grades as segment tags; the key says that they are suggestions."""
    tags: dict[int, dict[str, str]] = {}
    for method, table in tables.items():
        for row in table.rows:
            for name, suggestion in row.suggestions.items():
                if suggestion.grade is not None:
                    key = f"ChiSeparation.Suggestion.{method}.{name}"
                    tags.setdefault(row.label, {})[key] = suggestion.grade.code
    return tags


def _pictures(
    scene: Any, study: Study, nodes: Mapping[str, Any], chi: Mapping[str, Mapping[str, Any]], report: Reporter
) -> list[Picture]:
    from ChiSepPreprocessLib.scene.pictures import slice_pictures

    wanted = [(method, name, node) for method, made in chi.items() for name, node in made.items() if name in _PICTURED]
    wanted += [(MAPS, name, nodes[name]) for name in _PICTURED if name in nodes]
    wanted.sort(key=lambda one: _PICTURED.index(one[1]))
    pictures = []
    for number, (origin, name, node) in enumerate(wanted):
        report("pictures", number / len(wanted), name)
        path = study.folder / PICTURES / f"{origin}-{name}.png"
        slice_pictures(scene, nodes.get("magnitude"), node, path)
        pictures.append(Picture(f"{name} ({origin})" if origin != MAPS else name, path))
    return pictures


def _r2prime_used(results: Mapping[str, MapSet]) -> dict[str, str]:
    """By method, how the R2′ that it used came about."""
    used = {}
    for name, result in results.items():
        own = next((one for one in result.values() if one.method == name), None)
        if own is not None and (source := own.options.get("r2prime_source")):
            used[f"R2′ of {name}"] = _in_words({"network_weights": own.options.get("network_weights"), **source})
    return used


def _in_words(source: Mapping[str, Any]) -> str:
    """R2′ as measured, by which convention, or by which network."""
    method = str(source["method"])
    if method == "pseudo-r2":
        return f"pseudo-r2: R2* minus a constant {source['pseudo_r2_per_s']:g} 1/s, a fallback"
    if method == "scaled-r2star":
        return f"scaled-r2star: {source['r2prime_share']:g} times R2*, a fallback"
    if method == R2PRIMENET:
        weights = source["network_weights"]
        return f"{method}: from R2*, weights '{weights['name']}', SHA-256 {weights['sha256'][R2PRIMENET]}"
    return method


def _quality_page(folder: Path) -> tuple[Picture, ...]:
    page = folder / QUALITY
    return (Picture("Quality of the data", page),) if page.is_file() else ()


def _content(
    study: Study, extras: Extras, tables: Mapping[str, LesionTable], compared: tuple[MethodRow, ...],
    pictures: list[Picture], problems: tuple[str, ...], seconds: float,
) -> ReportContent:  # fmt: skip
    record = read_record(study.folder)
    every = study.maps.including(*(one for result in study.results.values() for one in result.values()))
    real = {key: one for key, one in every.items() if one.spec.kind is Kind.REAL}
    return ReportContent(
        title="Susceptibility source separation",
        method={**{name: one.method for name, one in real.items()}, **_r2prime_used(study.results)},
        provenance={
            "source": record.get("source", {}),
            "seconds": {**record.get("seconds", {}), "display": round(seconds, 1)},
        },
        warnings=(*study.warnings, *problems),
        maps=summarise_maps(every),
        pictures=(*pictures, *_quality_page(study.folder)),
        comparison=compared,
        lesions=tables,
        evaluation=extras.evaluation or None,
        simulated=extras.simulated,
    )
