"""One interpolation from grid to grid, and the passage between RAS and ITK's LPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, Grid, Map, check_volume
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
    """Interpolate a volume, or all echoes of a series in one pass, once onto another grid.

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
        If the data do not fit the grid.
    """
    from . import _kernels

    if data.ndim not in (3, 4):
        raise InputError("data to resample", f"{data.ndim} axes", "3, or 4 with echoes last")
    check_volume("data to resample", data, (*grid.shape, *data.shape[3:]))
    nearest = nearest or data.dtype == np.bool_
    values = data if nearest else data.astype(np.float32, copy=False)
    result = np.zeros((*target.shape, *data.shape[3:]), values.dtype)
    matrix = index_matrix(grid, target, moving_from_fixed_ras)
    loop = _kernels.nearest if nearest else _kernels.linear
    loop(_as_series(values), matrix[:3], _as_series(result))
    return result


def check_scalar(one: Map) -> None:
    """Refuse wrapped phase: its jumps would be blurred into false values.

    Raises
    ------
    InputError
        If the map is the phase.
    """
    if one.name == "gre_phase":
        raise InputError("map to resample", one.name, "maps of scalars, such as total_field or local_field",
                         "Compute the field on the original grid first.")  # fmt: skip


def index_matrix(grid: Grid, target: Grid, moving_from_fixed_ras: Matrix | None = None) -> Matrix:
    """Matrix (4, 4) from voxel indices of ``target`` to those of ``grid``: the whole road, composed."""
    motion = np.eye(4) if moving_from_fixed_ras is None else moving_from_fixed_ras
    return np.asarray(np.linalg.inv(grid.affine) @ motion @ target.affine)


def _as_series(data: Array) -> Array:
    return data if data.ndim == 4 else data[..., None]


def shrunk(data: Array, grid: Grid, size_mm: float) -> tuple[Array, Grid]:
    """Mean over blocks of whole voxels of about ``size_mm``, float32, and its grid; incomplete blocks are left out."""
    blocks = [max(min(round(size_mm / size), n), 1) for size, n in zip(grid.voxel_size_mm, grid.shape, strict=True)]
    mean = data.astype(np.float32, copy=False)
    for axis, block in enumerate(blocks):
        count = data.shape[axis] // block
        parts = [mean.take(range(first, count * block, block), axis) for first in range(block)]
        mean = np.add.reduce(parts) / np.float32(block) if block > 1 else mean
    affine = grid.affine @ np.diag([*map(float, blocks), 1.0])
    affine[:3, 3] += grid.affine[:3, :3] @ ((np.array(blocks) - 1) / 2)
    return mean, Grid(mean.shape, affine)


def inside_fraction(mask: Mask, grid: Grid, other: Grid, other_from_grid_ras: Matrix) -> float:
    """Share of the masked voxels of ``grid`` that fall into ``other``'s field of view."""
    indices = np.argwhere(mask)
    indices = indices[:: max(len(indices) // 100_000, 1)]
    matrix = index_matrix(other, grid, other_from_grid_ras)
    landed = indices @ matrix[:3, :3].T + matrix[:3, 3]
    covered = np.all((landed >= -0.5) & (landed <= np.array(other.shape) - 0.5), axis=1)
    return float(covered.mean())
