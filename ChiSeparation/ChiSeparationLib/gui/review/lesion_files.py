"""Lesions from files of other programs and of earlier exports, and their way into the scene. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.nodes import put_in_folder
from ChiSepPreprocessLib.scene.session import logic

from ...lesions.reading import Reading
from ...scene.lesion_segments import add_lesion_segments

#: Ending of Slicer's own segmentations, which it reads itself: their segments may carry grades.
SEGMENTATION = ".seg.nrrd"


@dataclass(frozen=True, kw_only=True)
class LesionFile:
    """What a file holds.

    Parameters
    ----------
    lesions : Map
        Label map.
    names : mapping of int to str
        For people, by label, where the file has them.
    reading : Reading
        Grades that came with it.
    """

    lesions: Map
    names: Mapping[int, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)


def read_lesion_file(
    path: Path, grid: Grid | None, *, minimum_volume_mm3: float, threshold: float | None = None
) -> LesionFile:
    """Read a mask, a label map, a probability map, a DICOM segmentation or an export; touches no scene.

    Parameters
    ----------
    path : Path
        The file.
    grid : Grid, optional
        On which lesions are wanted; the file's own by default. An export keeps its own.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³; an export keeps all of its lesions.
    threshold : float, optional
        Of a probability map.

    Raises
    ------
    InputError
        If the file cannot be read or holds something else.
    """
    if path.suffix.lower() == ".zip":
        from ...report.lesion_export import import_export

        exported = import_export(path)
        return LesionFile(lesions=exported.lesions, reading=exported.reading)
    from ...lesions.importing import import_lesions, read_drawn

    wanted = grid if grid is not None else read_drawn(path, threshold).grid
    found = import_lesions(path, wanted, threshold=threshold, minimum_volume_mm3=minimum_volume_mm3)
    return LesionFile(lesions=found.labelled.lesions, names=found.names)


def add_lesion_file(scene: Any, found: LesionFile, folder_name: str, reference: Any = None) -> Any:
    """Add what a file holds as a segmentation with one segment for each lesion.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    found : LesionFile
        Of :func:`read_lesion_file`.
    folder_name : str
        Folder in the subject hierarchy.
    reference : vtkMRMLScalarVolumeNode, optional
        Image that the lesions are edited on.
    """
    return add_lesion_segments(
        scene, found.lesions, names=found.names, reference=reference, folder_name=folder_name
    )  # fmt: skip


def load_segmentation(scene: Any, path: Path, folder_name: str) -> Any:
    """Have Slicer load one of its segmentations, with all that its segments carry.

    Raises
    ------
    InputError
        If it cannot be loaded.
    """
    node = logic(scene, "Segmentations").LoadSegmentationFromFile(str(path))
    if node is None:
        raise InputError("segmentation", f"'{path.name}', which cannot be loaded", "a segmentation of Slicer")
    put_in_folder(scene, node, folder_name)
    return node
