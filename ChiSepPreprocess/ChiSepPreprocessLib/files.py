"""Maps on disk: NIfTI with a JSON sidecar; a file appears under its name only when it is whole."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .artifacts import ARTIFACTS, Array, Grid, Kind, Map, MapSet, ScanParameters
from .errors import InputError, OutputError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free space or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "writing is not permitted there; choose another folder",
    errno.EPERM: "writing is not permitted there; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
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
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix="".join(path.suffixes[-2:]), dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"Cannot write {path}: {advice}.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    with writing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
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
    try:
        note.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(note, error) from error
    write_nifti(path, one.data, one.grid)
    write_json(note, sidecar(one, scan))
    return path


def read_nifti(path: Path) -> tuple[Array, Grid]:
    """Read a 3D or 4D NIfTI file, scaled by its header.

    Returns
    -------
    data : ndarray
        float32 where the header scales or stores reals, else as stored.
    grid : Grid
        From the first three axes.

    Raises
    ------
    InputError
        If the file is missing, unreadable or has no geometry.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    if not path.is_file():
        raise InputError("NIfTI file", f"{path}, which does not exist", "a .nii or .nii.gz file")
    try:
        image = nibabel.load(path)
        data = np.asanyarray(image.dataobj)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError("NIfTI file", f"{path.name}, which cannot be read ({error})", "a whole NIfTI file") from error
    if np.issubdtype(data.dtype, np.floating):
        data = data.astype(np.float32)
    return data, Grid(data.shape[:3], image.affine)


def read_mask(path: Path) -> tuple[Array, Grid]:
    """Read a mask: every voxel above 0.5 is inside.

    Raises
    ------
    InputError
        If the file cannot be read, has more than three axes or no voxel inside.
    """
    data, grid = read_nifti(path)
    mask = np.asarray(data > 0.5)
    if mask.ndim != 3 or not mask.any():
        raise InputError("mask", f"{path.name} with shape {mask.shape} and {int(mask.sum())} voxels inside",
                         "a 3D mask with voxels inside")  # fmt: skip
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
    note = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    data, grid = read_nifti(folder / f"{name}.nii.gz")
    spec = ARTIFACTS.get(name)
    if spec is not None and note.get("unit") != spec.unit:
        raise InputError(f"unit of {name}", note.get("unit"), spec.unit, "Convert the map and correct its sidecar.")
    if spec is not None and spec.kind is Kind.MASK:
        data = np.asarray(data > 0.5)
    one = Map(name=name, data=data, grid=grid, method=str(note.get("method", "given")),
              options=note.get("options", {}), warnings=tuple(note.get("warnings", ())))  # fmt: skip
    return one, note


def scan_from_sidecar(note: Mapping[str, Any]) -> ScanParameters:
    """Scan parameters from a sidecar.

    Raises
    ------
    InputError
        If one is missing.
    """
    needed = ("echo_times_s", "field_strength_t", "b0_direction_ijk")
    missing = [key for key in needed if note.get(key) is None]
    if missing:
        raise InputError("sidecar", f"no {', '.join(missing)}", f"all of {', '.join(needed)}")
    bi, bj, bk = note["b0_direction_ijk"]
    return ScanParameters(
        echo_times_s=tuple(note["echo_times_s"]),
        field_strength_t=note["field_strength_t"],
        b0_direction_ijk=(bi, bj, bk),
        imaging_frequency_hz=note.get("imaging_frequency_hz"),
    )


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
    scan = scan_from_sidecar(pairs[0][1])
    return MapSet(pairs[0][0].grid, scan, {one.name: one for one, _ in pairs})
