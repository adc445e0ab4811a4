"""Decay that comes from the field's slope across a voxel, which is no property of tissue.

A field that changes by Δf_d across the voxel along axis d spreads the phase evenly, and the signal
falls by F(t) = Π_d |sinc(Δf_d t)|, sinc x = sin(πx)/(πx) (Fernández-Seara & Wehrli, MRM 2000;44:358;
as a voxel spread function: Yablonskiy et al., MRM 2013;70:1283). Near air this is faster than R2*.
"""

from __future__ import annotations

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..threads import in_slabs
from .decay import PLANES, Floats, plane_starts


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
    from ._decay_kernels import field_spread

    box = bounding_box(mask)
    inside, field = np.pad(mask[box], 2), np.pad(np.asarray(field_hz[box], np.float32), 2)
    starts = plane_starts(inside)
    spread_hz = np.empty((starts[-1], 3), np.float32)
    strides = (inside.shape[1] * inside.shape[2], inside.shape[2], 1)
    in_slabs(field_spread, len(inside), field.ravel(), inside.ravel(), strides, starts, spread_hz, thickness=PLANES)
    return spread_hz
