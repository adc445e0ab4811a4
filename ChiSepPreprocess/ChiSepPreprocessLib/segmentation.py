"""Segmentations as 3D Slicer saves them, read as masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .artifacts import Array, Grid
from .errors import InputError

#: What Slicer calls them; a label map saved as NRRD is read as well.
SUFFIXES = (".seg.nrrd", ".nrrd")

_HINT = "In Slicer's Segment Editor keep the brain as the only segment, and save it as .seg.nrrd."


def is_segmentation(path: Path) -> bool:
    """Whether a file is named like a segmentation."""
    return path.name.lower().endswith(SUFFIXES)


def read_segmentation(path: Path) -> tuple[Array, Grid]:
    """Read the one segment of a file as a mask; it lies on a grid of its own, often cut to the segment.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold exactly one segment.
    """
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        raise InputError("segmentation", f"{path.name}, which cannot be read", "a NRRD file", _HINT) from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError("segmentation", f"{path.name} with several layers", "one segment: the brain", _HINT)
    labels = SimpleITK.GetArrayFromImage(image).transpose()
    found = np.unique(labels[labels != 0])
    if found.size != 1:
        raise InputError("segmentation", f"{path.name} with {found.size} segments", "one segment: the brain", _HINT)
    return np.ascontiguousarray(labels != 0), Grid(image.GetSize(), _affine(image))


def _affine(image: object) -> Array:
    """Voxel indices to RAS, mm; ITK's own space is LPS."""
    affine = np.eye(4)
    directions = np.reshape(image.GetDirection(), (3, 3))  # type: ignore[attr-defined]
    affine[:3, :3] = directions * image.GetSpacing()  # type: ignore[attr-defined]
    affine[:3, 3] = image.GetOrigin()  # type: ignore[attr-defined]
    affine[:2] *= -1
    return affine
