"""Dipole inversion by one division in k-space: what thresholded division and Tikhonov's regularisation share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import check_volume
from ChiSepPreprocessLib.progress import Reporter

from ..physics.operators import DipoleOperator, Vector, as_tensor, best_device

if TYPE_CHECKING:
    from torch import Tensor


def divide(
    local_field_ppm: NDArray[Any], mask: NDArray[np.bool_], voxel_size_mm: Vector, b0_direction_ijk: Vector,
    padding: float, response: Callable[[DipoleOperator], Tensor], report: Reporter | None,
) -> NDArray[np.float32]:  # fmt: skip
    """Filter the field inside the mask by a response in k-space; ppm, up to a constant, 0 outside the mask.

    Raises
    ------
    InputError
        If shapes disagree or a voxel is not finite.
    """
    report = report or Reporter()
    i, j, k = local_field_ppm.shape
    check_volume("local_field", local_field_ppm, mask.shape)
    report("dipole inversion", 0.0)
    dipole = DipoleOperator((i, j, k), voxel_size_mm, b0_direction_ijk, padding=padding, device=best_device())
    inside = as_tensor(mask, dipole.device)
    chi = dipole.filtered(as_tensor(local_field_ppm, dipole.device) * inside, response(dipole)).mul_(inside)
    report("dipole inversion", 1.0)
    inverted: NDArray[np.float32] = chi.cpu().numpy()
    return inverted
