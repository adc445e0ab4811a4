"""The field of a susceptibility distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import check_volume

from .fourier import DEFAULT_PADDING
from .operators import DipoleOperator, Vector, as_tensor, best_device


def field_from_chi(
    chi_ppm: NDArray[Any], voxel_size_mm: Vector, b0_direction_ijk: Vector, padding: float = DEFAULT_PADDING
) -> NDArray[np.float32]:
    """Field in ppm that a susceptibility distribution in ppm causes; see :class:`~.operators.DipoleOperator`.

    Outside a paramagnetic sphere the field is positive along B0 and negative across it; inside it is 0.

    Raises
    ------
    InputError
        If the geometry is impossible or a voxel is not finite.
    """
    i, j, k = chi_ppm.shape
    check_volume("susceptibility", chi_ppm, (i, j, k))
    device = best_device()
    operator = DipoleOperator((i, j, k), voxel_size_mm, b0_direction_ijk, padding=padding, device=device)
    field: NDArray[np.float32] = operator(as_tensor(chi_ppm, device)).cpu().numpy()
    return field
