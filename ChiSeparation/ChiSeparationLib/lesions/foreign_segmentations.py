"""Segmentations of 3D Slicer and DICOM SEG, read as one label for each segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError

_DICOM_PREFIX = 128

#: LPS to RAS.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])

_SAVE_AGAIN = "Save it again with 3D Slicer."


@dataclass(frozen=True, eq=False)
class DrawnLesions:
    """Lesions as they were drawn, on their own grid.

    Parameters
    ----------
    labels : ndarray of int32, shape (I, J, K)
        0 outside.
    grid : Grid
        Of the file.
    kind : str
        What the file is, for the record.
    names : mapping of int to str
        Of segments, by label.
    warnings : tuple of str
        What had to be decided.
    """

    labels: NDArray[np.int32]
    grid: Grid
    kind: str
    names: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(_DICOM_PREFIX + 4)[_DICOM_PREFIX:] == b"DICM"


def read_slicer_segmentation(path: Path) -> DrawnLesions:
    """Read every segment of a ``.seg.nrrd``; a plain NRRD label map is read by its values.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        raise InputError("segmentation", f"{path.name}, which cannot be read", "a NRRD file", _SAVE_AGAIN) from None
    if image.GetDimension() != 3:
        raise InputError("segmentation", f"{path.name} with {image.GetDimension()} axes", "3 axes", _SAVE_AGAIN)
    layers = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        layers = layers[..., None]
    if not np.issubdtype(layers.dtype, np.integer) or layers.min(initial=0) < 0:
        raise InputError("segmentation", f"{path.name} with values of type {layers.dtype}", "whole numbers ≥ 0",
                         _SAVE_AGAIN)  # fmt: skip
    segments = _segments({key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}, layers)
    masks = [np.equal(layers[..., layer].T, value) for layer, value, _ in segments]
    grid = Grid(image.GetSize(), _affine(image))
    values = [value for _, value, _ in segments]
    numbers = values if len(set(values)) == len(values) else None  # layers may each count from 1
    return _combined(masks, [name for *_, name in segments], grid, "segmentation of 3D Slicer", numbers)


def read_dicom_segmentation(path: Path) -> DrawnLesions:
    """Read every segment of a DICOM SEG.

    Raises
    ------
    InputError
        If the file is no segmentation, or its frames make no volume.
    """
    from pydicom.errors import InvalidDicomError

    try:
        from highdicom.seg import segread
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"Reading {path.name} needs a library: pip install highdicom") from error
    try:
        one = segread(path)
        numbers = list(one.segment_numbers)
        volumes = [one.get_volume(segment_numbers=[number]) for number in numbers]
    except (ValueError, RuntimeError, AttributeError, TypeError, InvalidDicomError) as error:
        raise InputError("DICOM segmentation", f"{path.name}, which cannot be read as a volume", "a DICOM SEG",
                         str(error)) from error  # fmt: skip
    names = [str(one.get_segment_description(number).segment_label) for number in numbers]
    grid = Grid(volumes[0].spatial_shape, _FLIP @ volumes[0].affine)
    return _combined([np.squeeze(each.array, axis=3) > 0.5 for each in volumes], names, grid, "DICOM SEG")


def _segments(metadata: Mapping[str, str], layers: Array) -> list[tuple[int, int, str]]:
    """Layer, value and name of each segment; of a plain label map, its values in the first layer."""
    found: list[tuple[int, int, str]] = []
    while (value := metadata.get(f"Segment{len(found)}_LabelValue")) is not None:
        key = f"Segment{len(found)}"
        layer = int(metadata.get(f"{key}_Layer", "0"))
        if not (value.isdecimal() and int(value) > 0 and 0 <= layer < layers.shape[3]):
            raise InputError("segmentation", f"segment {len(found)} in layer {layer} with value {value!r}",
                             f"whole numbers from 1, and one of {layers.shape[3]} layers", _SAVE_AGAIN)  # fmt: skip
        found.append((layer, int(value), metadata.get(f"{key}_Name", "")))
    if found:
        return found
    return [(layer, int(value), "") for layer in range(layers.shape[3])
            for value in np.unique(layers[..., layer]) if value]  # fmt: skip


def _combined(
    masks: Sequence[Array], names: Sequence[str], grid: Grid, kind: str, numbers: Sequence[int] | None = None
) -> DrawnLesions:
    """One label for each segment, in their order if they have no numbers of their own.

    Where segments overlap the smallest is kept, or it might vanish.
    """
    numbers = numbers or range(1, len(masks) + 1)
    labels = np.zeros(grid.shape, dtype=np.int32)
    shared = np.zeros(grid.shape, dtype=np.bool_)
    for number, mask in sorted(zip(numbers, masks, strict=True), key=lambda pair: -np.count_nonzero(pair[1])):
        shared |= mask & (labels > 0)
        labels[mask] = number
    overlap = int(np.count_nonzero(shared))
    warnings = (f"Segments overlap in {overlap} voxels, which were given to the smallest of them.",) if overlap else ()
    named = {number: name for number, name in zip(numbers, names, strict=True) if name}
    return DrawnLesions(labels, grid, kind, named, warnings)


def _affine(image: Any) -> NDArray[np.float64]:
    """Voxel indices to RAS, mm; ITK's own space is LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.asarray(_FLIP @ affine)
