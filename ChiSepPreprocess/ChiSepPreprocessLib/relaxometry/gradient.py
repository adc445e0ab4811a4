"""Decay that comes from the field's slope across a voxel, which is no property of tissue.

A field that changes by Δf_d across the voxel along axis d spreads the phase evenly, and the signal
falls by F(t) = Π_d |sinc(Δf_d t)|, sinc x = sin(πx)/(πx) (Fernández-Seara & Wehrli, MRM 2000;44:358;
as a voxel spread function: Yablonskiy et al., MRM 2013;70:1283). Near air this is faster than R2*.
"""

from __future__ import annotations

import numpy as np

from ..artifacts import Array
from .decay import Floats


def field_spread_hz(field_hz: Array, mask: Array) -> Floats:
    """Difference of the field across each masked voxel along each axis, from neighbours within the mask.

    Central differences inside, one-sided ones of second order at the mask's edge (first order where
    only two voxels lie in a row), 0 for a voxel alone. The voxel's size cancels: the slope times
    the size is the difference from one voxel to the next.

    Parameters
    ----------
    field_hz : ndarray, shape (I, J, K)
        Unwrapped total field (background included), Hz.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is known.

    Returns
    -------
    ndarray of float32, shape (N, 3)
        Hz, a row for each masked voxel in C order.
    """
    columns = []
    for axis in range(3):
        inside = np.moveaxis(mask, axis, 0)
        slope = _slope(np.moveaxis(field_hz, axis, 0), inside)
        columns.append(np.moveaxis(slope, 0, axis)[mask])
    return np.stack(columns, axis=1)


def _slope(field_hz: Array, inside: Array) -> Floats:
    """Difference for each voxel along the first axis."""
    joined = inside[1:] & inside[:-1]
    step = np.where(joined, field_hz[1:] - field_hz[:-1], 0).astype(np.float32)
    ahead, behind = _padded(step, 0, 1), _padded(step, 1, 0)
    has_ahead, has_behind = _padded(joined, 0, 1), _padded(joined, 1, 0)
    slope = (ahead + behind) / np.maximum(has_ahead.astype(np.float32) + has_behind, 1)
    at_start = ~has_behind[:-1] & has_ahead[:-1] & has_ahead[1:]
    at_end = ~has_ahead[1:] & has_behind[1:] & has_behind[:-1]
    slope[:-1] += np.where(at_start, (ahead[:-1] - ahead[1:]) / 2, 0)
    slope[1:] += np.where(at_end, (behind[1:] - behind[:-1]) / 2, 0)
    return np.asarray(slope, dtype=np.float32)


def _padded(values: Array, before: int, after: int) -> Array:
    return np.pad(values, ((before, after), (0, 0), (0, 0)))
