"""Means of maps over the regions of a label map, and how two maps agree in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

Volume = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RegionStatistics:
    """One region of a map.

    Parameters
    ----------
    label : int
        Its number in the label map.
    name : str
        Its name, or the number.
    voxels : int
        How many were looked at.
    mean, sd : float
        In the map's unit; sd with n − 1, and 0 for a single voxel.
    """

    label: int
    name: str
    voxels: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Line:
    """Straight line by least squares, ``y = slope x + intercept``.

    Parameters
    ----------
    slope, intercept : float
        Of the line.
    slope_error : float or None
        Standard error of the slope from the scatter about the line; none with two points.
    r_squared : float or None
        Share of the variance of y that the line explains; none where y does not vary.
    points : int
        Number of points.
    """

    slope: float
    intercept: float
    slope_error: float | None
    r_squared: float | None
    points: int


def region_statistics(
    values: Volume, labels: Volume, names: Mapping[int, str] | None = None, mask: Mask | None = None
) -> tuple[RegionStatistics, ...]:
    """Mean, standard deviation and number of voxels of each region.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        A map.
    labels : ndarray of int, shape (I, J, K)
        0 is the background; see :func:`as_labels`.
    names : mapping of int to str, optional
        Names of labels; a label without one is called by its number.
    mask : ndarray of bool, shape (I, J, K), optional
        Voxels outside are left out.

    Returns
    -------
    tuple of RegionStatistics
        By ascending label; regions without a voxel are left out.

    Raises
    ------
    InputError
        If shapes differ.
    """
    used = np.ones(values.shape, dtype=bool) if mask is None else mask
    if not values.shape == labels.shape == used.shape:
        raise InputError("label map", f"shape {labels.shape}", f"the map's shape {values.shape}")
    used = used & (labels > 0)
    numbers, which = np.unique(labels[used], return_inverse=True)
    x = values[used].astype(np.float64)
    counts = np.bincount(which, minlength=numbers.size)
    means = np.bincount(which, x, minlength=numbers.size) / np.maximum(counts, 1)
    squares = np.bincount(which, np.square(x - means[which]), minlength=numbers.size)
    sds = np.sqrt(squares / np.maximum(counts - 1, 1))
    named = names or {}
    return tuple(
        RegionStatistics(int(n), named.get(int(n), str(n)), int(count), float(mean), float(sd))
        for n, count, mean, sd in zip(numbers, counts, means, sds, strict=True)
    )


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Ordinary least squares of y on x.

    Raises
    ------
    InputError
        If there are fewer than two points or x does not vary.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2 or a.shape != b.shape or np.ptp(a) == 0:
        raise InputError("regression over regions", f"{a.size} regions, of {np.unique(a).size} different means",
                         "two regions or more whose means differ", "Check the label map.")  # fmt: skip
    da, db = a - a.mean(), b - b.mean()
    slope = float(da @ db / (da @ da))
    residual, total = float(np.square(db - slope * da).sum()), float(db @ db)
    return Line(
        slope=slope,
        intercept=float(b.mean() - slope * a.mean()),
        slope_error=float(np.sqrt(residual / (a.size - 2) / (da @ da))) if a.size > 2 else None,
        r_squared=1.0 - residual / total if total else None,
        points=int(a.size),
    )


@dataclass(frozen=True)
class RegionComparison:
    """A map region by region, and its reference where there is one (Kim et al. 2025, Figure 5).

    Parameters
    ----------
    estimate : tuple of RegionStatistics
        Of the map.
    truth : tuple of RegionStatistics or None
        Of the reference, the same regions in the same voxels.
    line : Line or None
        Regression of the map's means on the reference's.
    """

    estimate: tuple[RegionStatistics, ...]
    truth: tuple[RegionStatistics, ...] | None
    line: Line | None


def compare_regions(
    estimate: Volume, truth: Volume | None, labels: Volume, mask: Mask, names: Mapping[int, str] | None = None
) -> RegionComparison:
    """Compare the means of two maps over the same regions; see :func:`region_statistics`.

    Raises
    ------
    InputError
        If shapes differ, no region lies in the mask, or fewer than two where there is a truth.
    """
    found = region_statistics(estimate, labels, names, mask)
    if not found:
        raise InputError("label map", "no label inside the brain", "regions of this patient's brain",
                         "Check that the label map lies on these maps.")  # fmt: skip
    if truth is None:
        return RegionComparison(found, None, None)
    true = region_statistics(truth, labels, names, mask)
    return RegionComparison(found, true, fit_line([one.mean for one in true], [one.mean for one in found]))


def as_labels(data: Volume, what: str) -> NDArray[np.int32]:
    """Voxels of a label map as whole numbers.

    Raises
    ------
    InputError
        If there are fractions, negative numbers or no label at all.
    """
    if not np.all(np.isfinite(data)) or data.min() < 0 or np.any(data != np.rint(data)):
        raise InputError("label map", f"{what}, whose voxels are no whole numbers from 0 up",
                         "a number for each region, 0 outside",
                         "Resample label maps by nearest neighbour.")  # fmt: skip
    labels = data.astype(np.int32)
    if not labels.any():
        raise InputError("label map", f"{what} without a label", "a number for each region, 0 outside")
    return labels
