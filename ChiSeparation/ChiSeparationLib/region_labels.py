"""Label maps and segmentations of regions, brought onto the maps' grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Grid, Image, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti
from ChiSepPreprocessLib.geometry.resampling import resample
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.registration.to_gre import register_to_gre
from ChiSepReconstructLib.evaluation.label_names import read_label_names
from ChiSepReconstructLib.evaluation.regions import as_labels

_NRRD = (".seg.nrrd", ".nrrd")
_SEGMENT_KEY = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")


@dataclass(frozen=True, eq=False)
class RegionLabels:
    """Regions on the maps' grid.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        0 outside.
    names : mapping of int to str
        Names of labels, as far as they have one.
    warnings : tuple of str
        What the user should know of how they came here.
    """

    labels: Array
    names: Mapping[int, str]
    warnings: tuple[str, ...] = ()


def read_region_labels(
    path: Path, maps: MapSet, names: Path | None = None, t1: Path | None = None, report: Reporter | None = None
) -> RegionLabels:
    """Read regions and bring them onto the maps' grid by the nearest voxel.

    Parameters
    ----------
    path : Path
        Label map (NIfTI), or a segmentation of 3D Slicer (``.seg.nrrd``).
    maps : MapSet
        On whose grid the labels are wanted; ``magnitude`` and ``brain_mask`` too where a T1 is given.
    names : Path, optional
        Names of the labels; see :func:`.label_names.read_label_names`. They go before a segmentation's own.
    t1 : Path, optional
        The image that the labels belong to, of the same head: it is registered rigidly to the GRE magnitude, and the
        labels move with it. Without it the labels must lie in the scanner's space of this session.
    report : Reporter, optional
        Progress and cancellation of the registration.

    Raises
    ------
    InputError
        If a file cannot be read, labels are no whole numbers, they lie on another grid than the T1, outside the maps,
        or the images cannot be registered.
    CancelledError
        If the caller asked to stop.
    """
    labels, own, found = _read(path)
    matrix, warnings = _moved_with(t1, own, maps, path.name, report) if t1 else (None, _by_geometry(path, own, maps))
    if matrix is not None or not own.matches(maps.grid):
        labels = np.rint(resample(labels.astype(np.float32), own, maps.grid, matrix, nearest=True)).astype(np.int32)
    if not labels.any():
        raise InputError("label map", f"{path.name}, whose labels lie outside the maps", "regions of this patient",
                         "Labels drawn on another image need that image, as --t1.")  # fmt: skip
    given = read_label_names(names) if names else {}
    return RegionLabels(labels, {**found, **given}, warnings)


def _read(path: Path) -> tuple[Array, Grid, dict[int, str]]:
    if path.name.lower().endswith(_NRRD):
        return _segmentation(path)
    data, grid = read_nifti(path)
    return as_labels(data, path.name), grid, {}


def _segmentation(path: Path) -> tuple[Array, Grid, dict[int, str]]:
    """Labels and names of the segments of one layer."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        raise InputError("segmentation", f"{path.name}, which cannot be read", "a NRRD file") from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError("segmentation", f"{path.name} with segments that overlap", "one region for each voxel",
                         "In Slicer, export the segments to a label map, or forbid overlap.")  # fmt: skip
    labels = as_labels(SimpleITK.GetArrayFromImage(image).transpose(), path.name)
    return np.ascontiguousarray(labels), _grid(image), _segment_names(image)


def _grid(image: Any) -> Grid:
    """ITK's space is LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    return Grid(image.GetSize(), affine)


def _segment_names(image: Any) -> dict[int, str]:
    segments: dict[str, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        if found := _SEGMENT_KEY.fullmatch(key):
            segments.setdefault(found[1], {})[found[2]] = image.GetMetaData(key)
    return {
        int(one["LabelValue"]): one["Name"].strip()
        for one in segments.values()
        if one.get("LabelValue", "").strip().isdecimal() and one.get("Name", "").strip()
    }


def _by_geometry(path: Path, own: Grid, maps: MapSet) -> tuple[str, ...]:
    if own.matches(maps.grid) or path.name.lower().endswith(_NRRD):  # Slicer cuts segmentations to their segments
        return ()
    return (f"The labels lie on another grid, {own.shape}: they were placed by the scanner's geometry.",)


def _moved_with(t1: Path, own: Grid, maps: MapSet, name: str, report: Reporter | None) -> tuple[Array, tuple[str, ...]]:
    """Where a point of the maps lies in the T1's space."""
    data, grid = read_nifti(t1)
    is_cut = name.lower().endswith(_NRRD)
    if not is_cut and not own.matches(grid):
        raise InputError("label map", f"a grid of {own.shape}", f"the T1's grid {grid.shape}",
                         "Give the image that the labels were made on.")  # fmt: skip
    gre = Image(maps.array("magnitude"), maps.grid)
    found = register_to_gre(Image(data.astype(np.float32), grid), gre, maps.array("brain_mask"), report=report)
    return found.alignment.moving_from_fixed_ras, found.alignment.warnings
