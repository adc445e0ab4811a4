"""What every background removal asks of its input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array, check_volume
from ..errors import InputError


def check_field(total_field: Array, mask: Array, voxel_size_mm: Sequence[float]) -> None:
    """Check that the field, its mask and the voxel size go together and that the mask is not empty.

    Raises
    ------
    InputError
        If it is not so.
    """
    check_volume("total field", total_field, mask.shape)
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise InputError("mask", f"{mask.dtype} of shape {mask.shape}", "bool with three axes")
    if not mask.any():
        raise InputError("mask", "no voxel inside", "at least one voxel inside")
    if len(voxel_size_mm) != 3 or not all(0 < size < np.inf for size in voxel_size_mm):
        raise InputError("voxel size", f"{tuple(voxel_size_mm)} mm", "three positive lengths")
