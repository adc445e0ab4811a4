"""Cubic interpolation of maps that are known inside a mask alone, without aliasing on coarser grids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, Grid
from ..threads import in_slabs
from .resampling import Mask, index_matrix

#: Values beyond a mask, or an edge, that count: a cubic spline forgets a step by a factor 0.27 each voxel.
_SPLINE_REACH = 4
#: Reach of the low-pass in voxels of the coarser grid.
_LOWPASS_REACH = 3.0
#: Width of the Gaussian on the low-pass' sinc, in voxels of the coarser grid.
_SINC_SIGMA = 1.5
#: Voxels that are hardly longer than the old ones need no low-pass: what it takes away would be more than aliasing.
_COARSER = 1.2


def continued(data: Array, mask: Mask, voxels: int) -> NDArray[np.float32]:
    """Continue a map beyond its mask, layer by layer, by the mean of the known among the 26 neighbours.

    A map that is cut off at its mask bleeds zeros into it when it is interpolated.

    Parameters
    ----------
    data : ndarray, shape (I, J, K)
        Any values outside the mask; they are not looked at.
    mask : ndarray of bool, shape (I, J, K)
        Where the map is known.
    voxels : int
        Layers; 0 beyond, at most 254.
    """
    from . import _kernels

    values = np.where(mask, data, 0).astype(np.float32)
    known_since = mask.astype(np.uint8)
    for layer in range(1, voxels + 1):
        in_slabs(_kernels.add_layer, values.shape[0], values, known_since, layer)
    return values


def cubic(
    data: Array, grid: Grid, target: Grid, wanted: Mask, *, mask: Mask | None = None, low_pass: bool = True
) -> NDArray[np.float32]:
    """Interpolate a volume once by cubic B-splines.

    Parameters
    ----------
    data : ndarray, shape (I, J, K)
        On ``grid``.
    grid, target : Grid
        Where the voxels lie, and where they are wanted.
    wanted : ndarray of bool, shape (*target.shape,)
        Which of them, inside ``grid``; the others are 0.
    mask : ndarray of bool, shape (I, J, K), optional
        Where the data are known; everywhere if absent. They are continued beyond it.
    low_pass : bool
        Take away first what clearly longer voxels of the target cannot hold: otherwise it comes back as noise.
    """
    from scipy.ndimage import spline_filter

    from . import _kernels

    coarser = _coarser_axes(grid, target) if low_pass else ()
    coarsest_mm = max((target.voxel_size_mm[axis] for axis in coarser), default=0.0)
    margin = max(_SPLINE_REACH, int(np.ceil(_LOWPASS_REACH * coarsest_mm / min(grid.voxel_size_mm))))
    if mask is None:
        values = np.pad(data, margin, mode="edge").astype(np.float32, copy=False)
    else:
        values = continued(np.pad(data, margin), np.pad(mask, margin), margin)
    if coarser:
        values = _low_pass(values, grid, target, coarser)
    coefficients = spline_filter(values, order=3, output=np.float32, mode="mirror")
    matrix = index_matrix(grid, target)[:3]
    matrix[:, 3] += margin
    result = np.zeros(target.shape, dtype=np.float32)
    in_slabs(_kernels.cubic, target.shape[0], coefficients, matrix, wanted, result)
    return result


def _coarser_axes(grid: Grid, target: Grid) -> tuple[int, ...]:
    """Axes of the target along which its voxels are clearly longer than the grid's ellipsoidal resolution there."""
    cosines = grid.directions.T @ target.directions
    own_mm = 1 / np.linalg.norm(cosines / np.array(grid.voxel_size_mm)[:, None], axis=0)
    return tuple(np.flatnonzero(np.array(target.voxel_size_mm) > _COARSER * own_mm).tolist())


def _low_pass(values: NDArray[np.float32], grid: Grid, target: Grid, axes: tuple[int, ...]) -> NDArray[np.float32]:
    """Convolve with ``sinc(x/h) exp(−½ (x/1.5h)²)`` along axes of the target, whose voxels have the length h.

    The spectrum of that kernel is a box of width 1/h blurred by a Gaussian: flat, and half at the target's Nyquist
    frequency.
    """
    from scipy import fft

    shape = tuple(int(fft.next_fast_len(n, real=True)) for n in values.shape)
    lengths = [*(np.fft.fftfreq(n, size) for n, size in zip(shape, grid.voxel_size_mm, strict=True))]
    lengths[2] = np.fft.rfftfreq(shape[2], grid.voxel_size_mm[2])
    frequencies = np.meshgrid(*(one.astype(np.float32) for one in lengths), indexing="ij", sparse=True)
    spectrum = fft.rfftn(values, shape, workers=-1)
    for axis in axes:
        weights = grid.directions.T @ target.directions[:, axis] * target.voxel_size_mm[axis]
        turns: Any = sum(np.float32(w) * one for w, one in zip(weights, frequencies, strict=True) if abs(w) > 1e-7)
        spectrum *= _passed(turns)
    i, j, k = values.shape
    return np.ascontiguousarray(fft.irfftn(spectrum, shape, workers=-1)[:i, :j, :k], dtype=np.float32)


def _passed(turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of a wave with that many turns in a voxel that the windowed sinc lets pass."""
    from scipy.special import erf

    width = np.float32(np.sqrt(0.5) * 2 * np.pi * _SINC_SIGMA)
    passed: NDArray[np.float32] = (erf((0.5 + turns) * width) + erf((0.5 - turns) * width)) / np.float32(2)
    return passed
