"""One interpolation from grid to grid, and the passage between RAS and ITK's LPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, Grid, check_volume
from ..errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def flip_ras_lps(matrix: Matrix) -> Matrix:
    """Take a 4×4 matrix between RAS points to the same matrix between LPS points, or back."""
    return _FLIP @ matrix @ _FLIP


def to_itk(data: Array, grid: Grid) -> sitk.Image:
    """ITK image of a volume (I, J, K), placed in LPS; reals as float32, masks as uint8."""
    import SimpleITK as sitk  # noqa: N813

    stored = data.astype(np.uint8) if data.dtype == np.bool_ else data
    if np.issubdtype(stored.dtype, np.floating):
        stored = stored.astype(np.float32, copy=False)
    image = sitk.GetImageFromArray(stored.T)
    image.SetSpacing(grid.voxel_size_mm)
    image.SetOrigin((_FLIP @ grid.affine[:, 3])[:3].tolist())
    image.SetDirection((_FLIP[:3, :3] @ grid.directions).ravel().tolist())
    return image


def resample(
    data: Array, grid: Grid, target: Grid, moving_from_fixed_ras: Matrix | None = None, *, nearest: bool = False
) -> Array:
    """Interpolate a volume, or a series of echoes, once onto another grid.

    Linear interpolation never leaves the range of its neighbours, so magnitudes stay ≥ 0.

    Parameters
    ----------
    data : ndarray, shape (I, J, K) or (I, J, K, E)
        On ``grid``.
    grid, target : Grid
        Where the voxels lie, and where they are wanted.
    moving_from_fixed_ras : ndarray, shape (4, 4), optional
        Takes points of ``target``'s space to ``grid``'s space, RAS mm; identity if absent.
    nearest : bool
        Take the nearest voxel: for labels. Masks always do.

    Returns
    -------
    ndarray, shape (*target.shape,) or (*target.shape, E)
        0 where ``grid`` has no voxel. Reals become float32; labels and masks keep their type.

    Raises
    ------
    InputError
        If the data do not fit the grid, or labels would be interpolated.
    """
    if data.ndim not in (3, 4):
        raise InputError("data to resample", f"{data.ndim} axes", "3, or 4 with echoes last")
    check_volume("data to resample", data, (*grid.shape, *data.shape[3:]))
    if data.ndim == 4:
        echoes = [
            resample(echo, grid, target, moving_from_fixed_ras, nearest=nearest) for echo in np.moveaxis(data, 3, 0)
        ]
        return np.stack(echoes, axis=3)
    if data.dtype == np.bool_:
        return _resample_volume(data, grid, target, moving_from_fixed_ras, nearest=True).astype(np.bool_)
    values = data if nearest else data.astype(np.float32, copy=False)
    return _resample_volume(values, grid, target, moving_from_fixed_ras, nearest=nearest)


def _resample_volume(data: Array, grid: Grid, target: Grid, matrix: Matrix | None, *, nearest: bool) -> Array:
    import SimpleITK as sitk  # noqa: N813

    lps = flip_ras_lps(np.eye(4) if matrix is None else matrix)
    transform = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())
    method = sitk.ResampleImageFilter()
    method.SetSize(target.shape)
    method.SetOutputSpacing(target.voxel_size_mm)
    method.SetOutputOrigin((_FLIP @ target.affine[:, 3])[:3].tolist())
    method.SetOutputDirection((_FLIP[:3, :3] @ target.directions).ravel().tolist())
    method.SetTransform(transform)
    method.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    result: Array = np.ascontiguousarray(sitk.GetArrayFromImage(method.Execute(to_itk(data, grid))).T)
    return result


def inside_fraction(mask: Mask, grid: Grid, other: Grid, other_from_grid_ras: Matrix) -> float:
    """Share of the masked voxels of ``grid`` that fall into ``other``'s field of view."""
    indices = np.argwhere(mask)
    indices = indices[:: max(len(indices) // 100_000, 1)]
    matrix = np.linalg.inv(other.affine) @ other_from_grid_ras @ grid.affine
    landed = indices @ matrix[:3, :3].T + matrix[:3, 3]
    covered = np.all((landed >= -0.5) & (landed <= np.array(other.shape) - 0.5), axis=1)
    return float(covered.mean())
