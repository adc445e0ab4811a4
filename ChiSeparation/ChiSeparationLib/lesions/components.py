"""From a lesion mask to a label map: one positive integer for each lesion, the largest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, check_volume
from ChiSepPreprocessLib.errors import InputError

#: The paper (section 3.3) evaluates lesions that exceed this volume.
MINIMUM_VOLUME_MM3 = 20.0


@dataclass(frozen=True)
class DroppedLesion:
    """A lesion that is too small.

    Parameters
    ----------
    voxels : int
        Its size.
    volume_mm3 : float
        Its volume, mm³.
    index : tuple of int
        Its first voxel (i, j, k).
    """

    voxels: int
    volume_mm3: float
    index: tuple[int, int, int]


@dataclass(frozen=True)
class LabelledLesions:
    """The label map, and what was left out of it.

    Parameters
    ----------
    lesions : Map
        ``lesions``, numbered 1, 2, … from the largest.
    source_labels : tuple of int
        Number before the renumbering, for each lesion.
    dropped : tuple of DroppedLesion
        Lesions that do not exceed the smallest volume.
    dropped_mask : ndarray of bool
        Their voxels: not lesions to grade, but no white matter to compare with either.
    """

    lesions: Map
    source_labels: tuple[int, ...]
    dropped: tuple[DroppedLesion, ...]
    dropped_mask: NDArray[np.bool_]

    def with_source_numbers(self) -> LabelledLesions:
        """The same lesions under the numbers that they came with, on which names and grades hang."""
        numbers = np.array([0, *self.source_labels], dtype=np.int32)
        return replace(self, lesions=replace(self.lesions, data=numbers[self.lesions.data]))


def label_mask(mask: Array, grid: Grid, minimum_volume_mm3: float = MINIMUM_VOLUME_MM3) -> LabelledLesions:
    """Number the connected parts (26 neighbours) of a lesion mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Lesions.
    grid : Grid
        Where the voxels lie.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³.

    Raises
    ------
    InputError
        If the mask is not of bool or not on the grid.
    """
    from scipy import ndimage

    check_volume("lesion mask", mask, grid.shape)
    if mask.dtype != np.bool_:
        raise InputError("lesion mask", f"dtype {mask.dtype}", "a mask of bool",
                         "Use relabel for a map with one number for each lesion.")  # fmt: skip
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    return _by_size(labels, grid, minimum_volume_mm3, "connected parts of a mask (26 neighbours)")


def relabel(labels: Array, grid: Grid, minimum_volume_mm3: float = MINIMUM_VOLUME_MM3) -> LabelledLesions:
    """Renumber a label map by size; each label stays one lesion, connected or not.

    Parameters
    ----------
    labels : ndarray, shape (I, J, K)
        Whole numbers, 0 outside lesions.
    grid : Grid
        Where the voxels lie.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³.

    Raises
    ------
    InputError
        If the labels are not whole numbers ≥ 0 or not on the grid.
    """
    check_volume("lesions", labels, grid.shape)
    return _by_size(whole_numbers(labels), grid, minimum_volume_mm3, "given label map")


def whole_numbers(labels: Array) -> NDArray[np.int64]:
    """Labels as integers.

    Raises
    ------
    InputError
        If they are of bool, fractional or negative.
    """
    if labels.dtype == np.bool_:
        raise InputError("lesions", "a mask of bool", "one positive whole number for each lesion",
                         "Number the lesions with label_mask first.")  # fmt: skip
    whole = labels.astype(np.int64)
    if np.any(whole != labels) or np.any(whole < 0):
        raise InputError("lesions", "negative or fractional labels", "one positive whole number for each lesion")
    return whole


def compact(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Replace the labels in use by 1, 2, … in their order.

    Returns
    -------
    packed : ndarray
        0 outside.
    used : ndarray
        The label that each new number stands for, ascending.
    """
    inside = labels > 0
    used, inverse = np.unique(labels[inside], return_inverse=True)
    packed = np.zeros(labels.shape, dtype=np.int64)
    packed[inside] = inverse.ravel() + 1
    return packed, used.astype(np.int64)


def _by_size(labels: NDArray[Any], grid: Grid, minimum_volume_mm3: float, method: str) -> LabelledLesions:
    if not minimum_volume_mm3 >= 0:  # not a number is no limit either
        raise InputError("smallest volume of a lesion", f"{minimum_volume_mm3:g} mm³", "0 mm³ or more")
    packed, used = compact(labels)
    sizes = np.bincount(packed.ravel(), minlength=used.size + 1)[1:]
    # A relative margin, so that rounding in the matrix does not decide at the limit itself.
    large = sizes * grid.voxel_volume_mm3 > minimum_volume_mm3 * (1 + 1e-6)
    order = [int(index) for index in np.argsort(-sizes, kind="stable")]
    kept = [index for index in order if large[index]]
    dropped = _dropped(packed, [index for index in order if not large[index]], sizes, grid)
    numbers = np.zeros(used.size + 1, dtype=np.int32)
    numbers[[index + 1 for index in kept]] = np.arange(1, len(kept) + 1)
    lesions = Map(
        name="lesions",
        data=numbers[packed],
        grid=grid,
        method=method,
        options={"minimum_volume_mm3": minimum_volume_mm3},
        warnings=_warnings(dropped, minimum_volume_mm3),
    )
    source_labels = tuple(int(used[index]) for index in kept)
    return LabelledLesions(lesions, source_labels, dropped, (packed > 0) & (lesions.data == 0))


def _dropped(packed: NDArray[np.int64], small: list[int], sizes: NDArray[Any], grid: Grid) -> tuple[DroppedLesion, ...]:
    numbers, first = np.unique(packed, return_index=True)
    place = dict(zip(numbers.tolist(), first.tolist(), strict=True))
    rows = []
    for index in small:
        i, j, k = (int(n) for n in np.unravel_index(place[index + 1], packed.shape))
        voxels = int(sizes[index])
        rows.append(DroppedLesion(voxels, voxels * grid.voxel_volume_mm3, (i, j, k)))
    return tuple(rows)


def _warnings(dropped: tuple[DroppedLesion, ...], minimum_volume_mm3: float) -> tuple[str, ...]:
    if not dropped:
        return ()
    total = sum(one.volume_mm3 for one in dropped)
    return (f"Left out, since no larger than {minimum_volume_mm3:g} mm³: {len(dropped)} lesions of {total:.1f} mm³.",)
