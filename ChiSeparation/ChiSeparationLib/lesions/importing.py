"""Lesions that other tools or readers have drawn: masks, label maps, probability maps and segmentations, as labels.

Read are NIfTI (masks, label maps as nnU-Net writes them, probability maps as LST writes them), segmentations of 3D
Slicer (``.seg.nrrd``: one segment for each lesion, or one for all) and DICOM SEG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, check_volume
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti
from ChiSepPreprocessLib.registration.rigid import resample
from ChiSepPreprocessLib.registration.to_gre import Registered
from ChiSepPreprocessLib.segmentation import is_segmentation

from .components import MINIMUM_VOLUME_MM3, LabelledLesions, label_mask, relabel
from .foreign_segmentations import DrawnLesions, is_dicom, read_dicom_segmentation, read_slicer_segmentation

#: More lesions than this in a patient are rather noise, or another structure.
_MANY = 300
#: A lesion with more of its voxels outside a mask than this is flagged.
_OUTSIDE = 0.2
#: Values of a mask's voxels, which are no number of a lesion.
_MASK_VALUES = (1, 255)

_OTHER_PATIENT = "Give the lesions in the space of the GRE or of the FLAIR of this session."


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportedLesions:
    """Lesions on the reference grid, and what there is to know about them.

    Parameters
    ----------
    labelled : LabelledLesions
        Label map, what was too small for it, and in its warnings everything below in words.
    names : mapping of int to str
        Names of segments, by label, where the file has them.
    outside : mapping of str to tuple of int
        By name of the mask: labels of lesions of which more than a fifth lies outside it.
    numbered : bool
        The file has a number for each lesion; a mask has none.
    """

    labelled: LabelledLesions
    names: Mapping[int, str] = field(default_factory=dict)
    outside: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    numbered: bool = False

    def with_file_numbers(self) -> ImportedLesions:
        """The same lesions under the file's numbers, on which grades hang; those of a mask stay as they are."""
        if not self.numbered:
            return self
        numbers = self.labelled.source_labels
        return replace(
            self,
            labelled=self.labelled.with_source_numbers(),
            names={numbers[label - 1]: name for label, name in self.names.items()},
            outside={mask: tuple(numbers[n - 1] for n in found) for mask, found in self.outside.items()},
        )


def import_lesions(
    path: Path, grid: Grid, *, threshold: float | None = None, flair: Registered | None = None,
    masks: Mapping[str, Array] | None = None, minimum_volume_mm3: float = MINIMUM_VOLUME_MM3,
) -> ImportedLesions:  # fmt: skip
    """Read lesions of another tool onto a reference grid.

    One value, or one segment, is a mask: its connected parts are the lesions. Several are one lesion each, as is a
    single value other than 1 and 255 in a single part, which may be the number of a patient's only lesion.

    Parameters
    ----------
    path : Path
        NIfTI, ``.seg.nrrd`` or DICOM SEG, on any grid in the scanner's space.
    grid : Grid
        Reference, such as that of the FLAIR or of the maps; nearest voxels are taken where the file's own differs.
    threshold : float, optional
        Of a probability map, above which a voxel is lesion. It has no default.
    flair : Registered, optional
        Of the reference: lesions on the FLAIR's own grid were drawn on it, and move with it.
    masks : mapping of str to ndarray of bool, shape (I, J, K)
        By name, such as ``"brain mask"``: where lesions can be; those outside are flagged.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³.

    Returns
    -------
    ImportedLesions
        Without any lesion if the file holds none, which is a normal result.

    Raises
    ------
    InputError
        If the file cannot be read, holds something else, or lies outside the reference.
    """
    drawn = read_drawn(path, threshold)
    moved, lost = _onto(drawn, path, grid, flair)
    one_mask = _is_mask(drawn.labels)
    labelled = label_mask(moved > 0, grid, minimum_volume_mm3) if one_mask else relabel(moved, grid, minimum_volume_mm3)
    labels = labelled.lesions.data
    names = {} if one_mask else {n: drawn.names[source] for n, source in enumerate(labelled.source_labels, start=1)
                                 if source in drawn.names}  # fmt: skip
    outside = {name: _outside(labels, mask, name, grid) for name, mask in (masks or {}).items()}
    is_empty = not drawn.labels.any()
    warnings = (*drawn.warnings, *_lost(lost), *labelled.lesions.warnings, *_notes(labels, outside, is_empty))
    lesions = replace(labelled.lesions, method=f"imported: {drawn.kind}", warnings=warnings,
                      options={**labelled.lesions.options, "threshold": threshold})  # fmt: skip
    labelled = replace(labelled, lesions=lesions)
    return ImportedLesions(labelled=labelled, names=names, outside=outside, numbered=not one_mask)


def read_drawn(path: Path, threshold: float | None = None) -> DrawnLesions:
    """Read lesions as they were drawn, on their own grid; see :func:`import_lesions`.

    Raises
    ------
    InputError
        If the file cannot be read or holds something else.
    """
    if is_segmentation(path):
        return read_slicer_segmentation(path)
    if is_dicom(path):
        return read_dicom_segmentation(path)
    data, grid = read_nifti(path)
    check_volume(path.name, data, grid.shape)
    if threshold is not None:
        return DrawnLesions(_above(data, threshold, path), grid, f"probability map above {threshold:g}")
    labels = _whole(data, path)
    if not _is_mask(labels):
        return DrawnLesions(labels, grid, "label map")
    value = int(labels.max(initial=0))
    doubt = f"All lesions have the value {value}: it was taken for a mask, and its parts were numbered anew."
    return DrawnLesions(labels, grid, "mask", warnings=() if value in (0, *_MASK_VALUES) else (doubt,))


def _is_mask(labels: NDArray[np.int32]) -> bool:
    """Whether there are no numbers of lesions."""
    from scipy import ndimage

    values = np.unique(labels[labels > 0]).tolist()
    if len(values) != 1 or values[0] in _MASK_VALUES:
        return len(values) < 2
    _, parts = ndimage.label(labels > 0, structure=np.ones((3, 3, 3), dtype=bool))
    return int(parts) > 1


def _above(data: Array, threshold: float, path: Path) -> NDArray[np.int32]:
    if not 0 < threshold < 1:
        raise InputError("threshold of a probability map", f"{threshold:g}", "a value between 0 and 1")
    if not (data.min() >= 0 and data.max() <= 1 + 1e-3):
        raise InputError("lesion probabilities", f"{path.name} with values from {data.min():.4g} to {data.max():.4g}",
                         "probabilities from 0 to 1", "A mask or a label map needs no threshold.")  # fmt: skip
    return (data > threshold).astype(np.int32)


def _whole(data: Array, path: Path) -> NDArray[np.int32]:
    labels = np.rint(data).astype(np.int32)
    if np.abs(data - labels).max(initial=0) > 1e-3 or labels.min(initial=0) < 0:
        hint = "Give a lesion mask or a label map, no image; of a probability map state the threshold, such as 0.5."
        raise InputError("lesions", f"{path.name} with values from {data.min():.4g} to {data.max():.4g}",
                         "0 outside, and 1 or a positive whole number for each lesion", hint)  # fmt: skip
    return labels


def _onto(
    drawn: DrawnLesions, path: Path, grid: Grid, flair: Registered | None
) -> tuple[NDArray[np.int32], Sequence[int]]:
    """Labels on the reference grid, and those that no voxel of it has met."""
    if drawn.grid.matches(grid):
        return drawn.labels, ()
    drawn_on_flair = flair is not None and drawn.grid.matches(flair.own_grid)
    alignment = flair.alignment if flair is not None and drawn_on_flair else None
    moved = np.rint(resample(drawn.labels.astype(np.float32), drawn.grid, grid, alignment, nearest=True))
    if drawn.labels.any() and not moved.any():
        raise InputError("lesions", f"{path.name}, whose lesions lie outside the maps", "lesions of this patient",
                         _OTHER_PATIENT)  # fmt: skip
    lost = np.setdiff1d(np.unique(drawn.labels), np.unique(moved.astype(np.int32)))
    return moved.astype(np.int32), lost.tolist()


def _lost(labels: Sequence[int]) -> tuple[str, ...]:
    if not labels:
        return ()
    return (f"Lost on the way to the reference grid, outside it or smaller than its voxels: {len(labels)} lesions.",)


def _outside(labels: Array, mask: Array, name: str, grid: Grid) -> tuple[int, ...]:
    check_volume(name, mask, grid.shape)
    count = int(labels.max(initial=0)) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels[mask.astype(bool)], minlength=count)
    return tuple(n for n in range(1, count) if sizes[n] and inside[n] < (1 - _OUTSIDE) * sizes[n])


def _notes(labels: Array, outside: Mapping[str, tuple[int, ...]], is_empty: bool) -> tuple[str, ...]:
    count = np.unique(labels[labels > 0]).size
    notes = [] if count else ["The lesion mask is empty." if is_empty else "No lesion is left."]
    if count > _MANY:
        notes.append(f"{count} lesions are more than patients have: check that this is a lesion mask.")
    for name, numbers in outside.items():
        if numbers:
            listed = ", ".join(map(str, numbers[:20])) + (" and more" if len(numbers) > 20 else "")
            notes.append(f"Outside the {name}, more than a fifth of each: lesions {listed}.")
    return tuple(notes)
