"""Maps on disk: NIfTI with a JSON sidecar; a file appears under its name only when it is whole."""

from __future__ import annotations

import csv
import errno
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .artifacts import ARTIFACTS, Array, Grid, Kind, Map, MapSet, ScanParameters, check_volume
from .errors import InputError, OutputError
from .sidecars import CORRECT, differing_keys, scan_from_sidecar

_JSON_NAMES: dict[type, str] = {dict: "object", list: "array"}

#: NIfTI's code of the scanner's own coordinates.
_SCANNER = 1

#: Length of a voxel's edge in images of the head, mm.
_SMALLEST_VOXEL_MM, _LARGEST_VOXEL_MM = 0.1, 10.0

#: mm for each unit of length that a NIfTI header can state; where it is silent, lengths are in mm.
_LENGTHS_MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}

#: Read once: asking for it sets it for a moment, which other threads must not see.
_UMASK = os.umask(0)
os.umask(_UMASK)

_ADVICE = {
    errno.ENOSPC: "the disk is full; free space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free space or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "writing is not permitted there; choose another folder",
    errno.EPERM: "writing is not permitted there; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "it is a file, not a folder; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    Raises
    ------
    OutputError
        If the file or its folder cannot be written; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".part-", suffix="".join(path.suffixes[-2:]), dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            temporary.replace(path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Say in one sentence why the file system refuses ``path``.

    Raises
    ------
    OutputError
        If an operation of the block fails.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"Cannot write {path}: {advice}.") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=as_json_value)
    with writing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, encoding: str = "utf-8"
) -> None:
    """Write a table with a line of column names whole or not at all; ``None`` and what a row lacks are empty cells."""
    with writing(path) as temporary, temporary.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def as_json_value(value: Any) -> Any:
    """Give what JSON does not know as what it does: arrays as lists, paths by their last part."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.name
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def write_nifti(path: Path, data: Array, grid: Grid) -> None:
    """Write an array on its grid as NIfTI; masks as uint8, reals as float32.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import nibabel

    stored = data.astype(np.uint8) if data.dtype == np.bool_ else data
    if np.issubdtype(stored.dtype, np.floating):
        stored = stored.astype(np.float32)
    elif stored.dtype == np.int64:
        stored = stored.astype(np.int32)
    image = nibabel.Nifti1Image(stored, grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    with writing(path) as temporary:
        nibabel.save(image, temporary)


def sidecar(one: Map, scan: ScanParameters) -> dict[str, Any]:
    """Content of a map's JSON sidecar; the keys are fixed in ``CONVENTIONS.md``."""
    return {
        "artifact": one.name,
        "unit": one.spec.unit,
        "method": one.method,
        "options": dict(one.options),
        "warnings": list(one.warnings),
        "version": __version__,
        "echo_times_s": list(scan.echo_times_s),
        "field_strength_t": scan.field_strength_t,
        "imaging_frequency_hz": scan.imaging_frequency_hz,
        "reference_frequency": scan.frequency_source,
        "b0_direction_ijk": list(scan.b0_direction_ijk),
    }


def write_map(one: Map, scan: ScanParameters, folder: Path) -> Path:
    """Write ``<name>.nii.gz`` and, last, its sidecar: a map is complete when both are there.

    Returns
    -------
    Path
        The NIfTI file.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    path = folder / f"{one.name}.nii.gz"
    note = folder / f"{one.name}.json"
    with writing_to(note):
        note.unlink(missing_ok=True)
    write_nifti(path, one.data, one.grid)
    write_json(note, sidecar(one, scan))
    return path


def scanner_affine(image: Any) -> Array:
    """Matrix of a NIfTI image to the scanner's space, mm: the one whose code says so, else the one NIfTI prefers."""
    header = image.header
    from_qform = header["qform_code"] == _SCANNER and header["sform_code"] != _SCANNER
    unit_mm = _LENGTHS_MM[header.get_xyzt_units()[0]]
    return np.diag([unit_mm] * 3 + [1.0]) @ np.asarray(image.get_qform() if from_qform else image.affine)


def check_voxel_size(grid: Grid, what: str) -> None:
    """Refuse voxels that no image of a head has.

    Raises
    ------
    InputError
        If an edge is shorter than 0.1 mm or longer than 10 mm.
    """
    size_mm = grid.voxel_size_mm
    if min(size_mm) < _SMALLEST_VOXEL_MM or max(size_mm) > _LARGEST_VOXEL_MM:
        got = " × ".join(f"{length:.4g}" for length in size_mm)
        raise InputError(f"voxel size of {what}", f"{got} mm",
                         f"edges from {_SMALLEST_VOXEL_MM:g} to {_LARGEST_VOXEL_MM:g} mm",
                         "Correct the header: its voxel size, or the unit of length that it states.")  # fmt: skip


def is_in_scanner_space(image: Any) -> bool:
    """Whether one of a NIfTI image's two matrices is marked as the scanner's."""
    return _SCANNER in (image.header["qform_code"], image.header["sform_code"])


@contextmanager
def reading_nifti(path: Path) -> Iterator[None]:
    """Turn every way in which a NIfTI file can be broken into one clear error.

    Raises
    ------
    InputError
        If the file is missing or cannot be read.
    """
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise InputError("NIfTI file", f"'{path.name}', which {found}", "a .nii or .nii.gz file", "Check the path.")
    try:
        yield
    except InputError:  # which is a ValueError too
        raise
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("NIfTI file", f"{path.name}, which cannot be read",
                         "a whole NIfTI file", "Copy or convert it again.") from error  # fmt: skip


def check_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse colours and complex numbers, of which a part would be lost.

    Raises
    ------
    InputError
        If the voxels are not plain numbers.
    """
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours"
        raise InputError("NIfTI file", f"{path.name} with {kind}", "one real number for each voxel",
                         "Convert it; of complex images write magnitude and phase.")  # fmt: skip


def read_nifti(path: Path) -> tuple[Array, Grid]:
    """Read a 3D or 4D NIfTI file of a head, scaled by its header.

    Returns
    -------
    data : ndarray
        float32 where the header scales or stores reals, else as stored.
    grid : Grid
        From the first three axes.

    Raises
    ------
    InputError
        If the file is missing, unreadable, not of real numbers, or has no geometry or not that of a head.
    """
    import nibabel

    with reading_nifti(path):
        image = nibabel.load(path)
        stored, affine = image.dataobj, scanner_affine(image)
        check_numbers(path, stored.dtype)
        data = np.asanyarray(stored)
    if np.issubdtype(data.dtype, np.floating):
        data = data.astype(np.float32)
    grid = Grid(data.shape[:3], affine)
    check_voxel_size(grid, path.name)
    return data, grid


def read_mask(path: Path) -> tuple[Array, Grid]:
    """Read a mask: 0 and one other value, or a share from 0 to 1 of which more than half is inside.

    Raises
    ------
    InputError
        If the file cannot be read, is no 3D mask or has no voxel inside.
    """
    data, grid = read_nifti(path)
    check_volume(path.name, data, grid.shape)
    values = np.unique(data)
    if values[0] < 0 or (values[-1] > 1 and (values.size > 2 or values[0] != 0)):
        raise InputError("mask", f"{path.name} with {values.size} different values from {values[0]:g} to "
                         f"{values[-1]:g}", "0 outside and one value inside, or shares from 0 to 1",
                         "Make a mask of it first.")  # fmt: skip
    mask = np.asarray(data > 0.5)
    if not mask.any():
        raise InputError("mask", f"{path.name} with no voxel inside", "a mask with voxels inside",
                         "Check that it is the mask of this scan.")  # fmt: skip
    return mask, grid


def is_complete(folder: Path, name: str) -> bool:
    """Whether a map and its sidecar are both in the folder."""
    return (folder / f"{name}.nii.gz").is_file() and (folder / f"{name}.json").is_file()


def read_map(folder: Path, name: str) -> tuple[Map, dict[str, Any]]:
    """Read one map and its sidecar's content.

    Raises
    ------
    InputError
        If it is missing, or its unit is not the project's.
    """
    if not is_complete(folder, name):
        raise InputError("map", f"no complete '{name}' in {folder}", f"{name}.nii.gz and {name}.json")
    note = read_json(folder / f"{name}.json")
    data, grid = read_nifti(folder / f"{name}.nii.gz")
    spec = ARTIFACTS.get(name)
    if note.get("artifact", name) != name:
        raise InputError(
            f"sidecar of {name}", f"artifact {note['artifact']!r}", f"'{name}', as the file is called", CORRECT
        )
    if spec is not None and note.get("unit") != spec.unit:
        raise InputError(f"unit of {name}", note.get("unit"), spec.unit, "Convert the map and correct its sidecar.")
    if spec is not None and spec.kind is Kind.MASK:
        data = np.asarray(data > 0.5)
    options, warnings = _typed(note, name, "options", dict), _typed(note, name, "warnings", list)
    one = Map(name=name, data=data, grid=grid, method=str(note.get("method", "given")),
              options=options, warnings=tuple(str(text) for text in warnings))  # fmt: skip
    return one, note


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If the file cannot be read or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("JSON file", f"{path.name}, which is no JSON", "a JSON object", CORRECT) from error
    if not isinstance(content, dict):
        raise InputError("JSON file", f"{path.name} with a {type(content).__name__}", "a JSON object", CORRECT)
    return content


def _typed(note: Mapping[str, Any], name: str, key: str, kind: type) -> Any:
    value = note.get(key, kind())
    if not isinstance(value, kind):
        raise InputError(f"sidecar of {name}", f"{key} {value!r}", f"a JSON {_JSON_NAMES[kind]}", CORRECT)
    return value


def read_mapset(folder: Path) -> MapSet:
    """Read every complete map of a folder.

    Raises
    ------
    InputError
        If there is none, or their grids differ.
    """
    names = [name for name, spec in ARTIFACTS.items() if spec.axes == "ijk" and is_complete(folder, name)]
    if not names:
        raise InputError("folder of maps", f"{folder} without a complete map",
                         "maps as NIfTI with sidecars, such as local_field.nii.gz and local_field.json",
                         "Make them with 'chisep preprocess'.")  # fmt: skip
    pairs = [read_map(folder, name) for name in names]
    notes = {one.name: note for one, note in pairs}
    first, scan = names[0], scan_from_sidecar(notes[names[0]])
    for name, note in notes.items():
        if differing := differing_keys(scan, scan_from_sidecar(note)):
            raise InputError("sidecars", f"another {', '.join(differing)} in {name}.json than in {first}.json",
                             "maps of one scan", "Put maps of one scan into the folder.")  # fmt: skip
    return MapSet(pairs[0][0].grid, scan, {one.name: one for one, _ in pairs})
