"""A patient's lesions as a folder or zip archive that leaves the program, and comes back with every grade.

========================  ============================================================================================
``export.json``           what it is: schema, version, grid, pseudonym, hashes of the scan and of every other file
``reading.json``          lesions and judgements, all of them
``lesions.nii.gz``        label map on the maps' grid
``lesions.seg.nrrd``      the same as a segmentation of 3D Slicer
``grades.csv``, ``.json`` one row for each lesion, map, pipeline and reader, with the measures
``report.html``, ``.pdf`` the page for people
``dicom/``                segmentation, reports and χ maps as DICOM, if the source was handed over
========================  ============================================================================================
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, read_nifti, write_json, write_nifti, writing, writing_to

from ..lesions.reading import Reading
from ..lesions.reading_files import read_reading, write_reading
from .dicom_objects import write_dicom
from .dicom_source import DicomSource
from .lesion_page import PageOptions, write_lesion_page
from .lesion_pdf import write_lesion_pdf
from .lesion_statistics import write_statistics_csv, write_statistics_json
from .lesion_study import LesionStudy
from .seg_nrrd import write_seg_nrrd

#: Form of the export. A change that older ones do not fit needs the next number and a step that brings them to it.
SCHEMA = 1
FORMAT = "chisep-lesions"

MANIFEST, READING, LABELS, SEGMENTS = "export.json", "reading.json", "lesions.nii.gz", "lesions.seg.nrrd"
TABLE, TABLE_JSON, PAGE, PDF, DICOM = "grades.csv", "grades.json", "report.html", "report.pdf", "dicom"

#: What is read back; no larger file is ours.
_NEEDED = (MANIFEST, READING, LABELS)
_LARGEST_BYTES = 512 * 2**20

#: Maps that tell a scan from others, the surest first; they do not depend on the method of the χ maps.
_OF_THE_SCAN = ("magnitude", "brain_mask")

_HINT = "Export the lesions again."


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportOptions:
    """What an export holds.

    Parameters
    ----------
    page : PageOptions
        Suggestions and the patient's name on the page.
    pdf : bool
        The page as PDF too.
    dicom : DicomSource or None
        Write DICOM objects into this source's study; they carry its patient's name and number.
    name_reader : bool
        Name readers in DICOM reports.
    no_dicom : str
        Why there is no DICOM; stands in the manifest.
    overwrite : bool
        Replace an earlier export.
    """

    page: PageOptions = field(default_factory=PageOptions)
    pdf: bool = True
    dicom: DicomSource | None = None
    name_reader: bool = False
    no_dicom: str = "No DICOM source was given."
    overwrite: bool = False


@dataclass(frozen=True)
class Imported:
    """An export read back.

    Parameters
    ----------
    reading : Reading
        As it was exported.
    lesions : Map
        Label map on the grid of its time.
    """

    reading: Reading
    lesions: Map


def write_export(path: Path, study: LesionStudy, options: ExportOptions | None = None) -> tuple[str, ...]:
    """Write a folder, or a zip archive if the name ends so; all of it or nothing.

    Parameters
    ----------
    path : Path
        Must not exist, or be an empty folder, or an earlier export if that may be replaced.
    study : LesionStudy
        What is exported.
    options : ExportOptions, optional
        What goes into it.

    Returns
    -------
    tuple of str
        Names of the files in it.

    Raises
    ------
    InputError
        If something else is there, or the provenance names a patient.
    OutputError
        If it cannot be written.
    """
    options = options or ExportOptions()
    is_archive = path.suffix.lower() == ".zip"
    _check_free(path, options.overwrite)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
    try:
        content = hidden / "export"  # made here, so that it gets the user's own permissions
        content.mkdir()
        _fill(content, study, options)
        names = _names(content)
        if is_archive:
            _pack(content, names, path)
        else:
            with writing_to(path):
                _put(content, path)
        return tuple(names)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def import_export(path: Path, maps: MapSet | None = None, patient: str = "", *, same_patient: bool = False) -> Imported:
    """Read lesions and reading back.

    Parameters
    ----------
    path : Path
        Folder or archive of :func:`write_export`; nothing about it is trusted, and nothing of it is unpacked.
    maps : MapSet, optional
        Those at hand: of the scan that the lesions were drawn on, as its magnitude or brain mask tells.
    patient : str
        Pseudonym of the patient at hand.
    same_patient : bool
        The user states that the maps are of this patient, made anew.

    Raises
    ------
    InputError
        If it is no export, damaged, of a newer version, or of another patient, scan or grid.
    """
    with _opened(path) as folder:
        about = _manifest(folder)
        reading = read_reading(folder / READING)
        lesions = _labels(folder)
    if patient and reading.patient and patient != reading.patient:
        raise InputError("exported lesions", "those of another patient", "those of the patient at hand",
                         "Choose this patient's export; clear the pseudonym if it is the same patient.")  # fmt: skip
    if maps is not None:
        _check_scan(about, lesions.grid, maps, same_patient)
    _check_known(reading, lesions)
    return Imported(reading, lesions)


# --- Writing ----------------------------------------------------------------------------------------------------------


def _fill(folder: Path, study: LesionStudy, options: ExportOptions) -> None:
    suggestions = options.page.suggestions
    write_reading(folder / READING, study.reading)
    write_nifti(folder / LABELS, study.lesions.data.astype(np.int32), study.grid)
    write_seg_nrrd(folder / SEGMENTS, study)
    write_statistics_csv(folder / TABLE, study, suggestions=suggestions)
    write_statistics_json(folder / TABLE_JSON, study, suggestions=suggestions)
    write_lesion_page(folder / PAGE, study, options.page)
    if options.pdf:
        write_lesion_pdf(folder / PDF, study, options.page)
    notes = []
    if options.dicom is None:
        notes.append(f"{options.no_dicom} Lesions are in {SEGMENTS} and {LABELS}.")
    else:
        notes += write_dicom(folder / DICOM, options.dicom, study, name_reader=options.name_reader)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _names(folder)}
    content = {
        "format": FORMAT, "schema": SCHEMA, "version": __version__, "patient": study.reading.patient,
        "method": study.lesions.method, "warnings": list(study.lesions.warnings),
        "grid": {"shape": list(study.grid.shape), "affine": study.grid.affine.tolist()},
        "scan": _digests(next(iter(study.maps.values()))), "notes": notes, "sha256": hashes,
    }  # fmt: skip
    write_json(folder / MANIFEST, content)


def _names(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


def _check_free(path: Path, overwrite: bool) -> None:
    """Nothing is replaced but an earlier export, and that only if asked."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not _is_export(path):
        raise InputError("place of the export", f"'{path.name}', which holds something else", "a new name",
                         "Choose another one.")  # fmt: skip
    if not overwrite:
        raise InputError("place of the export", f"'{path.name}', which holds an earlier export", "a new name",
                         "Choose another one, or allow overwriting.")  # fmt: skip


def _is_export(path: Path) -> bool:
    try:
        with _opened(path) as folder:
            _manifest(folder)
    except InputError:
        return False
    return True


def _put(hidden: Path, path: Path) -> None:
    """Give a complete folder its name, in the place of an earlier one."""
    old = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent)) / path.name if path.exists() else None
    if old is not None:
        path.rename(old)
    try:
        hidden.rename(path)
    except OSError:
        if old is not None:
            old.rename(path)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old.parent, ignore_errors=True)


def _pack(folder: Path, names: list[str], path: Path) -> None:
    with writing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)


# --- Reading ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """Folder with the files that are read back; of an archive these alone are copied, under names that we choose."""
    if path.is_dir():
        _check_inside(path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="chisep-") as folder:
        _copy_members(path, Path(folder))
        yield Path(folder)


def _check_inside(folder: Path) -> None:
    for name in _NEEDED:
        file = folder / name
        if not file.is_file():
            raise InputError("exported lesions", f"'{folder.name}' without {name}",
                             "a folder or archive that was exported", _HINT)  # fmt: skip
        if not file.resolve().is_relative_to(folder.resolve()) or file.stat().st_size > _LARGEST_BYTES:
            raise InputError("exported lesions", f"{name} as a link to elsewhere, or too large", "plain files", _HINT)


def _copy_members(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in _NEEDED:
                member = archive.getinfo(name)
                if member.file_size > _LARGEST_BYTES:
                    raise InputError("exported lesions", f"{name} of {member.file_size} bytes", "a smaller file", _HINT)
                with archive.open(member) as stream:
                    (folder / name).write_bytes(stream.read(_LARGEST_BYTES + 1))
    except InputError:
        raise
    except KeyError as error:
        raise InputError("exported lesions", f"'{path.name}' without {error.args[0]!s:.60}",
                         "a folder or archive that was exported", _HINT) from error  # fmt: skip
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
        raise InputError("exported lesions", f"'{path.name}', which cannot be read",
                         "a folder or zip archive that was exported", "Copy it again.") from error  # fmt: skip


def _manifest(folder: Path) -> dict[str, Any]:
    about = read_json(folder / MANIFEST)
    schema = about.get("schema")
    if about.get("format") != FORMAT or not isinstance(schema, int):
        raise InputError("exported lesions", f"{MANIFEST} of something else", "an export of lesions", _HINT)
    if schema > SCHEMA:
        raise InputError("schema of an export", schema, f"{SCHEMA} or older",
                         "A newer version wrote it; update ChiSeparation.")  # fmt: skip
    hashes = about.get("sha256")
    for name in (READING, LABELS):
        wanted = hashes.get(name) if isinstance(hashes, dict) else None
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise InputError("exported lesions", f"{name} that was changed or damaged", "the file as it was exported",
                             "Copy the export again; of an edited mask import that file alone.")  # fmt: skip
    return about


def _labels(folder: Path) -> Map:
    data, grid = read_nifti(folder / LABELS)
    whole = np.rint(data).astype(np.int32)
    if data.ndim != 3 or np.any(whole != data) or whole.min(initial=0) < 0:
        raise InputError("exported lesions", f"{LABELS} without whole numbers ≥ 0", "one for each lesion", _HINT)
    about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return Map(name="lesions", data=whole, grid=grid, method=str(about.get("method", "given")),
               warnings=tuple(map(str, about.get("warnings", ()))))  # fmt: skip


def _check_scan(about: dict[str, Any], grid: Grid, maps: MapSet, same_patient: bool) -> None:
    if not grid.matches(maps.grid):
        raise InputError("exported lesions", f"a grid of {grid.shape} in another place or size",
                         f"the grid of the maps at hand, {maps.grid.shape}",
                         "Choose the export of this scan.")  # fmt: skip
    then, now = about.get("scan", {}), _digests(maps)
    known = next((name for name in now if isinstance(then, dict) and name in then), None)
    if not same_patient and (known is None or then[known] != now[known]):
        raise InputError("exported lesions", "those of another patient or scan, or of maps that were made anew since",
                         "lesions of the maps at hand",
                         "Choose this scan's export; if it is, say that it is the same patient.")  # fmt: skip


def _digests(maps: MapSet) -> dict[str, str]:
    """What tells a scan from others, whatever method its χ maps were made by."""
    found = {name: maps.array(name) for name in _OF_THE_SCAN if name in maps}
    return {name: hashlib.sha256(data.astype(np.float32).tobytes()).hexdigest()
            for name, data in found.items()}  # fmt: skip


def _check_known(reading: Reading, lesions: Map) -> None:
    from ..lesions.identities import label_of

    there = set(np.unique(lesions.data).tolist()) - {0}
    if {label_of(one.lesion_id) for one in reading.lesions} != there:
        raise InputError("exported lesions", f"{len(there)} labels and {len(reading.lesions)} lesions in the reading",
                         "the same lesions in both", _HINT)  # fmt: skip
