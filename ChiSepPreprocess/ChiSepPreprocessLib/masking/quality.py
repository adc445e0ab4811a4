"""Where the phase can be trusted: ROMEO's quality, and a mask from it.

Dymerska B, Eckstein K, et al. "Phase unwrapping with a rapid opensource minimum spanning tree
algorithm (ROMEO)". Magn Reson Med 85:2294 (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..morphology import Mask, close_mm, dilate_mm, fill_holes, largest_component, open_mm
from ..unwrap.romeo import voxel_quality


@dataclass(frozen=True, kw_only=True)
class QualityOptions:
    """When phase is good enough.

    Parameters
    ----------
    threshold : float
        Least quality, 0 to 1. Noise has below 0.1, nearly all of the brain above 0.6 at a usual resolution; in
        between lies tissue beside air, whose field is steep.
    closing_mm : float
        Voxels of low quality are put back where they are no wider than about twice this length, mm: veins, and
        noise. At least a voxel; 0 puts nothing back.
    opening_mm : float
        Bridges to the scalp that are no wider than about twice this length are cut, mm; only where the brain
        itself is sought by quality.
    """

    threshold: float = 0.5
    closing_mm: float = 2.0
    opening_mm: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError("phase quality threshold", self.threshold, "a value from 0 to below 1")
        if not (0 <= self.closing_mm <= 100 and 0 <= self.opening_mm <= 100):
            raise InputError("phase quality mask", self, "lengths from 0 to 100 mm")


def reliable_part(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], mask: Mask, voxel_size_mm: Sequence[float],
    options: QualityOptions,
) -> Mask:  # fmt: skip
    """Take from a mask's rim what has unreliable phase; what lies inside it, as veins and iron, stays.

    Parameters
    ----------
    phase, magnitude : ndarray, shape (I, J, K, E)
        rad and a.u.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        Not empty.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : QualityOptions
        See there.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Part of ``mask``.

    Raises
    ------
    InputError
        If the arrays do not belong together, or nothing is reliable.
    """
    quality = voxel_quality(phase, magnitude, echo_times_s, mask)
    # Edges that leave the mask count as 0 in the mean of six; the rim must not suffer from it.
    good = mask & (quality >= options.threshold * _share_of_neighbours(mask))
    closed = _closed(good, voxel_size_mm, options) & mask
    return _not_empty(fill_holes(largest_component(closed)) & mask, options)


def with_surroundings(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], mask: Mask, voxel_size_mm: Sequence[float],
    margin_mm: float, options: QualityOptions,
) -> Mask:  # fmt: skip
    """Mask and what lies around it with reliable phase: there the field can be measured too.

    Parameters
    ----------
    phase, magnitude, echo_times_s, voxel_size_mm, options
        As for :func:`reliable_part`.
    mask : ndarray of bool, shape (I, J, K)
        Not empty.
    margin_mm : float
        How far around the mask, mm; 0 for the mask alone.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Holds ``mask``.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    if margin_mm == 0:
        return mask
    wide = dilate_mm(mask, margin_mm, voxel_size_mm)
    return mask | reliable_part(phase, magnitude, echo_times_s, wide, voxel_size_mm, options)


def quality_mask(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float],
    options: QualityOptions,
) -> Mask:  # fmt: skip
    """Largest part of the image with reliable phase, cut off from the scalp at thin bridges.

    Parameters
    ----------
    phase, magnitude, echo_times_s, voxel_size_mm, options
        As for :func:`reliable_part`.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        One connected part without holes.

    Raises
    ------
    InputError
        If the arrays do not belong together, or nothing is reliable.
    """
    everywhere = np.ones(phase.shape[:3], dtype=np.bool_)
    good = np.asarray(voxel_quality(phase, magnitude, echo_times_s, everywhere) >= options.threshold)
    core = largest_component(open_mm(good, options.opening_mm, voxel_size_mm))
    return _not_empty(fill_holes(_closed(core, voxel_size_mm, options)), options)


def _closed(mask: Mask, voxel_size_mm: Sequence[float], options: QualityOptions) -> Mask:
    if options.closing_mm == 0:
        return mask
    return close_mm(mask, max(options.closing_mm, *voxel_size_mm), voxel_size_mm)


def _share_of_neighbours(mask: Mask) -> Array:
    """Share of a voxel's six neighbours that lie in the mask."""
    count = np.zeros(mask.shape, np.float32)
    for axis in range(3):
        values, inside = np.moveaxis(count, axis, 0), np.moveaxis(mask, axis, 0)
        values[1:] += inside[:-1]
        values[:-1] += inside[1:]
    return count / np.float32(6)


def _not_empty(mask: Mask, options: QualityOptions) -> Mask:
    if not mask.any():
        raise InputError("phase quality", f"nowhere {options.threshold:g}", "a part of the image with reliable phase",
                         "Lower the threshold, or use another mask.")  # fmt: skip
    return mask
