"""The lesions that a command works on: those of the run, or of a file, under the numbers that they came with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, read_nifti

from ..run_folder import IMAGES, LESIONS, read_record

if TYPE_CHECKING:
    from ChiSepPreprocessLib.registration.to_gre import Registered

    from ..lesions.components import LabelledLesions

#: How far a grid may lie from where the record says that the FLAIR lay: mm, or degrees.
_SAME_MOTION = 0.1

_MOVED = "The lesions lie on the FLAIR's own grid: they were moved with it, as the run registered it."


def read_run_lesions(results: Path, path: Path | None, maps: MapSet) -> tuple[LabelledLesions, Mapping[int, str]]:
    """Read the lesions of a file, or the run's own, onto the maps' grid.

    Label maps keep their numbers. Lesions on the grid of the run's FLAIR, as it was before its registration, were drawn
    on it and move with it.

    Parameters
    ----------
    results : Path
        Folder of the run.
    path : Path, optional
        Mask, label map, ``.seg.nrrd`` or DICOM SEG; the run's own label map by default.
    maps : MapSet
        Of the run.

    Returns
    -------
    labelled : LabelledLesions
        On the maps' grid, with what there is to know in its warnings.
    names : mapping of int to str
        Of segments, by number.

    Raises
    ------
    InputError
        If there are no lesions, or they are not of these maps.
    """
    from ..lesions.importing import import_lesions, read_drawn

    own = results / LESIONS / "lesions.nii.gz"
    given = path or own
    if not given.is_file():
        raise InputError("lesions", f"none in {results}" if path is None else f"no file '{given.name}'",
                         "lesions of this patient",
                         "Give a file with --lesions, or find them with 'chisep lesions segment'.")  # fmt: skip
    if given.resolve() == own.resolve() and (found := _own(own, maps.grid)):
        return found, {}
    flair = _flair(results, read_drawn(given).grid, maps)
    imported = import_lesions(given, maps.grid, flair=flair).with_file_numbers()
    found = imported.labelled
    return (_with_warning(found, _MOVED) if flair else found), imported.names


def _own(path: Path, grid: Grid) -> LabelledLesions | None:
    """The run's own label map, with what was said when it was made; ``None`` if it lies on another grid."""
    from ..lesions.components import relabel

    data, own = read_nifti(path)
    if not own.matches(grid):
        return None
    found = relabel(data, grid).with_source_numbers()
    sidecar = path.with_name("lesions.json")
    told = read_json(sidecar).get("warnings", ()) if sidecar.is_file() else ()
    return _with_warning(found, *map(str, told))


def _with_warning(found: LabelledLesions, *texts: str) -> LabelledLesions:
    lesions = replace(found.lesions, warnings=tuple(dict.fromkeys((*texts, *found.lesions.warnings))))
    return replace(found, lesions=lesions)


def _flair(results: Path, drawn: Grid, maps: MapSet) -> Registered | None:
    """How the run moved its FLAIR, if a grid is the one that the FLAIR had before.

    The run keeps the FLAIR where its tissue lies in the gradient echo; between there and the grid in question lies the
    motion that its record tells the size of, or the grid is another.
    """
    from ChiSepPreprocessLib.registration.alignment import Alignment
    from ChiSepPreprocessLib.registration.rigid import size_of_motion
    from ChiSepPreprocessLib.registration.to_gre import Registered

    file, told = results / IMAGES / "flair.nii.gz", read_record(results).get("flair") or {}
    if drawn.matches(maps.grid) or not told or not file.is_file() or "brain_mask" not in maps:
        return None
    _, placed = read_nifti(file)
    drawn_from_placed = drawn.affine @ np.linalg.inv(placed.affine)
    turn = drawn_from_placed[:3, :3]
    if placed.shape != drawn.shape or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3):
        return None
    brain = np.argwhere(maps.array("brain_mask")).mean(axis=0)
    centre = maps.grid.affine[:3, :3] @ brain + maps.grid.affine[:3, 3]
    motion = size_of_motion(drawn_from_placed, centre)
    known = [float(told.get(name, np.nan)) for name in ("translation_mm", "rotation_deg")]
    if not np.allclose(motion, known, rtol=0.0, atol=_SAME_MOTION):
        return None
    return Registered(maps.grid, drawn, Alignment(drawn_from_placed, *motion))
