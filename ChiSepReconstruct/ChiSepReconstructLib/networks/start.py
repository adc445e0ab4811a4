"""The QSM that a QSMnet may start from: what total variation makes of the local field alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.progress import Reporter

from ..solvers.field_problem import field_problem
from ..solvers.tv import TvOptions, total_variation

Volume = NDArray[np.float32]

#: A scan stands for the direction of B0 alone.
_ALONG_THIRD_AXIS = ScanParameters(echo_times_s=(0.02,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))


def tv_start(
    local_field_ppm: Volume, mask: NDArray[np.bool_], voxel_size_mm: tuple[float, float, float], report: Reporter
) -> Volume:
    """QSM by total variation with its default options, without weights, as the training had none.

    Parameters
    ----------
    local_field_ppm : ndarray of float32, shape (I, J, K)
        B0 along the third axis.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    voxel_size_mm : tuple of float
        mm.
    report : Reporter
        For progress and cancelling.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm, with mean 0 in the brain and 0 outside.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    grid, options = Grid(mask.shape, np.diag([*voxel_size_mm, 1.0])), TvOptions()
    field = Map(name="local_field", data=local_field_ppm, grid=grid)
    problem = field_problem(MapSet(grid, _ALONG_THIRD_AXIS, {field.name: field}), mask, padding=options.padding)
    chi: Volume = total_variation(problem, None, options, report).x.cpu().numpy()
    return np.where(mask, chi - chi[mask].mean(dtype=np.float64), 0).astype(np.float32)
