"""``chisep lesions report``: page, tables, segmentation and, if asked, DICOM of a patient's lesions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti

from ..arguments import AsJson
from ..console import Console
from ..run_folder import IMAGES, LESIONS, read_record, read_run
from .run_lesions import read_run_lesions

if TYPE_CHECKING:
    from ..lesions.components import LabelledLesions
    from ..lesions.reading import Reading
    from ..report.lesion_export import ExportOptions
    from ..report.lesion_study import LesionStudy

#: Says in a patient's folder that it was simulated.
_SIMULATED = "patient/simulated.json"

_Results = Annotated[Path, typer.Argument(help="Folder of a run, or of χ maps with their sidecars.")]
_Lesions = Annotated[
    Path | None,
    typer.Option(help="Label map or mask (NIfTI), .seg.nrrd or DICOM SEG; the run's own lesions by default."),
]
_Dicom = Annotated[
    Path | None,
    typer.Option(
        metavar="SOURCE",
        help="DICOM files that the maps were made of. Segmentation, reports and χ maps are then written as DICOM too; "
        "they carry the patient's name and number, as an archive needs them.",
    ),
]
_Reading = Annotated[Path | None, typer.Option(help="Grades of readers, as JSON.")]
_Suggestions = Annotated[bool, typer.Option("--suggestions", help="Show computed suggestions, called so.")]
_Patient = Annotated[str, typer.Option(help="Who is named on the page; else the reading's pseudonym, or nobody.")]
_NameReader = Annotated[bool, typer.Option("--name-reader", help="Name the readers in DICOM reports.")]
_Pdf = Annotated[bool, typer.Option("--pdf", help="Write the page as PDF too.")]
_Output = Annotated[Path, typer.Option("-o", "--output", help="Folder, or zip archive if the name ends so.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")]


def report_command(
    results: _Results, output: _Output, reading: _Reading = None, lesions: _Lesions = None, dicom: _Dicom = None,
    suggestions: _Suggestions = False, pdf: _Pdf = False, patient: _Patient = "", name_reader: _NameReader = False,
    overwrite: _Overwrite = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write a page, tables and a segmentation of a patient's lesions, which can be read back with every grade."""
    from ..lesions.reading_files import read_reading
    from ..report.lesion_export import ExportOptions, write_export
    from ..report.lesion_page import LesionPage, PageOptions

    if name_reader and dicom is None:
        raise InputError("--name-reader", "no --dicom", "both, as readers are named in DICOM reports alone")
    study = read_study(results, lesions, None if reading is None else read_reading(reading))
    options = ExportOptions(
        page=PageOptions(suggestions=suggestions, patient=patient), pdf=pdf, dicom=_source(dicom, study),
        name_reader=name_reader, no_dicom=_why_no_dicom(results), overwrite=overwrite,
    )  # fmt: skip
    names = write_export(output, study, options)
    told, warnings = study.reading, LesionPage(study, options.page).warnings
    with Console() as console:
        for text in warnings:
            console.warning(text)
    content = {
        "output": str(output), "lesions": len(told.lesions), "judgements": len(told.judgements), "files": list(names),
        "dicom": "" if dicom else options.no_dicom, "warnings": list(warnings),
    }  # fmt: skip
    Console.show(content, lambda: _lines(output, study, options, names), as_json=as_json)


def read_study(results: Path, lesions: Path | None = None, reading: Reading | None = None) -> LesionStudy:
    """Read the χ maps of every pipeline in a folder, measure the lesions and put the grades beside them.

    Parameters
    ----------
    results : Path
        Folder of a run, or of χ maps with sidecars.
    lesions : Path, optional
        Label map or mask; the run's own by default.
    reading : Reading, optional
        Grades, whose lesions are those of the label map.

    Raises
    ------
    InputError
        If there are no χ maps or lesions, or they do not belong together.
    """
    from ..lesions.reading import Reading
    from ..lesions.run_grading import grade_run
    from ..report.lesion_study import LesionStudy

    maps = read_pipelines(results)
    first = next(iter(maps.values()))
    found, names = (
        read_run_lesions(results, lesions, first)
        if reading is None
        else (_graded(lesions or results / LESIONS / "lesions.nii.gz", first.grid), {})
    )
    return LesionStudy(
        maps=maps,
        lesions=found.lesions,
        tables={name: grade_run(one, found, names=names) for name, one in maps.items()},
        reading=reading or Reading(),
        images=dict(_images(results, first)),
        provenance=_provenance(results, maps),
        simulated=(results / _SIMULATED).is_file(),
    )


def read_pipelines(results: Path) -> dict[str, MapSet]:
    """χ maps by the method that made them.

    Raises
    ------
    InputError
        If there are none.
    """
    done = [name for name in read_record(results).get("methods", {}) if (results / name / "chi_para.nii.gz").is_file()]
    if done:
        return {name: read_run(results, name) for name in done}
    maps = read_run(results)
    if "chi_para" not in maps and "chi_dia" not in maps:
        raise InputError("results", f"{results} without chi_para and chi_dia", "a folder with the χ maps of a method",
                         "Make them with 'chisep run' or 'chisep reconstruct'.")  # fmt: skip
    made = maps["chi_para" if "chi_para" in maps else "chi_dia"].method
    return {made or "given": maps}


def _graded(path: Path, grid: Grid) -> LabelledLesions:
    """Lesions that a reading goes by: none is too small, and none gets another number."""
    from ..lesions.components import LabelledLesions
    from ..report.lesion_study import labels_in

    if not path.is_file():
        raise InputError("lesions", f"no file '{path.name}'", "a label map of the lesions",
                         "Give it with --lesions, or make it with 'chisep lesions segment'.")  # fmt: skip
    labels = _label_map(path, grid)
    if labels is None:
        raise InputError("lesions", f"{path.name}, no label map on the grid of the maps",
                         "the label map that was graded, with its numbers",
                         "Give lesions.nii.gz of the export or of the run.")  # fmt: skip
    one = Map(name="lesions", data=labels, grid=grid, method="given label map")
    return LabelledLesions(one, tuple(labels_in(labels)), (), np.zeros(grid.shape, dtype=bool))


def _label_map(path: Path, grid: Grid) -> Array | None:
    """Whole numbers on the maps' grid; ``None`` if the file holds something else, or lies elsewhere."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    data, own = read_nifti(path)
    whole = np.rint(data).astype(np.int32)
    fits = data.ndim == 3 and own.matches(grid) and np.array_equal(whole, data) and whole.min(initial=0) >= 0
    return whole if fits else None


def _images(results: Path, maps: MapSet) -> Iterator[tuple[str, Array]]:
    """What outlines are drawn on, in the maps' grid."""
    from ChiSepPreprocessLib.registration.rigid import resample

    if (flair := results / IMAGES / "flair.nii.gz").is_file():
        data, grid = read_nifti(flair)
        yield "flair", data if grid.matches(maps.grid) else resample(data.astype(np.float32), grid, maps.grid)
    if "magnitude" in maps:
        yield "magnitude", maps.array("magnitude")


def _provenance(results: Path, maps: dict[str, MapSet]) -> dict[str, Any]:
    """Methods, networks' weights and inputs, in words; of the run's record only what names nobody."""
    return {
        "pipelines": {name: _made(one) for name, one in maps.items()},
        "version of the run": read_record(results).get("version", "unknown"),
    }


def _made(maps: MapSet) -> dict[str, Any]:
    named: dict[str, Any] = {
        name: one.method for name, one in maps.items() if name.startswith(("chi_", "r2", "local_field"))
    }
    options = next(maps[name].options for name in ("chi_para", "chi_dia") if name in maps)
    weights = options.get("network_weights")
    if isinstance(weights, dict):
        named["weights"] = {key: weights[key] for key in ("name", "training_domain", "sha256") if key in weights}
    reference = options.get("reference")
    return {**named, **({"reference": reference} if reference else {})}


def _source(dicom: Path | None, study: LesionStudy) -> Any:
    from ..report.dicom_source import read_source

    return None if dicom is None else read_source([dicom], next(iter(study.maps.values())))


def _why_no_dicom(results: Path) -> str:
    """Why DICOM objects cannot be written, or how they can."""
    export = read_record(results).get("source", {}).get("export", "")
    if str(export) in ("classic", "enhanced", "interoperability"):
        return "No DICOM was written, since it carries the patient's name; give the source with --dicom to have it."
    return "No DICOM was written: the source was not DICOM, so there is no patient or study to file it under."


def _lines(output: Path, study: LesionStudy, options: ExportOptions, names: tuple[str, ...]) -> Iterator[str]:
    yield f"{output}: {', '.join(names)}"
    yield f"{len(study.reading.lesions)} lesions, {len(study.reading.judgements)} judgements"
    if options.dicom is None:
        yield options.no_dicom
