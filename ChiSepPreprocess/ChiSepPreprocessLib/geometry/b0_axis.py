"""Scalar maps on a grid whose third axis is B0, as networks need them, and back again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..artifacts import Array, Grid, Kind, Map, MapSet
from ..errors import InputError
from .resampling import check_scalar, index_matrix, resample

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OrientationOptions:
    """How maps are turned.

    Parameters
    ----------
    interpolation : {"cubic", "linear"}
        Of real maps; cubic B-splines keep thin veins, and overshoots below a map's minimum are clipped.
        Masks and labels take the nearest voxel.
    """

    interpolation: str = "cubic"

    def __post_init__(self) -> None:
        if self.interpolation not in ("cubic", "linear"):
            raise InputError("interpolation", repr(self.interpolation), "'cubic' or 'linear'")


@dataclass(frozen=True, eq=False)
class Reoriented:
    """Maps with B0 along their third axis, and the way back.

    Parameters
    ----------
    maps : MapSet
        ``scan.b0_direction_ijk`` is (0, 0, 1); every voxel keeps its place in the scanner.
    original : MapSet
        What they were made of.
    options : OrientationOptions
        Interpolation, the same both ways.
    """

    maps: MapSet
    original: MapSet
    options: OrientationOptions

    def back(self, maps: MapSet | None = None) -> MapSet:
        """Bring maps of the turned grid, such as a network's, onto the original grid by one interpolation.

        Parameters
        ----------
        maps : MapSet, optional
            On the turned grid; the turned maps themselves if absent.

        Raises
        ------
        InputError
            If the maps lie on another grid, or there is a phase among them.
        """
        maps = maps or self.maps
        if not maps.grid.matches(self.maps.grid):
            raise InputError(
                "maps to turn back", f"a grid {maps.grid.shape}", f"the turned grid {self.maps.grid.shape}"
            )
        original = self.original
        turned = {name: _moved(one, original.grid, self.options) for name, one in maps.items()}
        return MapSet(original.grid, original.scan, turned)


def to_b0_axis(
    maps: MapSet, voxel_size_mm: float | tuple[float, float, float] | None = None,
    directions_ras: ArrayLike | None = None, options: OrientationOptions | None = None,
) -> Reoriented:  # fmt: skip
    """Resample maps once onto a grid whose third axis is parallel to B0.

    Parameters
    ----------
    maps : MapSet
        Scalar maps, masks and labels; never the wrapped phase.
    voxel_size_mm : float or tuple of float, optional
        Wanted along the new axes; that of the nearest old axes if absent.
    directions_ras : array_like, shape (3, 3), optional
        Unit vectors of the new axes in RAS, as columns; the third along B0, either way. The axes
        closest to R, A and S if absent.
    options : OrientationOptions, optional
        Interpolation.

    Returns
    -------
    Reoriented
        The new grid covers every voxel of the old one, corners too; 0 outside of it.

    Raises
    ------
    InputError
        If there is a phase among the maps, or the wanted axes or voxel sizes cannot be used.
    """
    options, b0_ras = options or OrientationOptions(), _b0_ras(maps)
    directions = _axes_along(b0_ras) if directions_ras is None else _checked_axes(directions_ras, b0_ras)
    grid = covering_grid(maps.grid, directions, _voxel_size(voxel_size_mm, maps.grid, directions))
    scan = replace(maps.scan, b0_direction_ijk=(0.0, 0.0, float(np.sign(directions[:, 2] @ b0_ras))))
    turned = {name: _moved(one, grid, options) for name, one in maps.items()}
    return Reoriented(MapSet(grid, scan, turned), maps, options)


def covering_grid(grid: Grid, directions: Matrix, voxel_size_mm: tuple[float, float, float]) -> Grid:
    """Smallest grid along ``directions`` (columns, RAS) about the same centre that holds every voxel of ``grid``."""
    size = np.array(voxel_size_mm)
    corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]) * np.array(grid.shape) / 2
    reach_mm = np.abs(corners @ grid.affine[:3, :3].T @ directions).max(axis=0)
    shape = np.ceil(2 * reach_mm / size - 1e-3).astype(int)
    centre = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = directions * size
    affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid(tuple(shape.tolist()), affine)


def _b0_ras(maps: MapSet) -> Matrix:
    along = maps.grid.directions @ np.array(maps.scan.b0_direction_ijk)
    along /= np.linalg.norm(along)
    return np.asarray(-along if along[2] < 0 else along)


def _axes_along(b0_ras: Matrix) -> Matrix:
    """Right-handed axes, the third along B0, the first as close to R as that allows."""
    right = np.array([1.0, 0.0, 0.0]) if abs(b0_ras[0]) < 0.9 else np.array([0.0, 0.0, -1.0])
    first = right - (right @ b0_ras) * b0_ras
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(b0_ras, first), b0_ras])


def _checked_axes(directions_ras: ArrayLike, b0_ras: Matrix) -> Matrix:
    wanted = np.array(directions_ras, dtype=np.float64)
    if wanted.shape != (3, 3) or np.abs(wanted.T @ wanted - np.eye(3)).max() > 1e-3:
        raise InputError("target axes", np.round(wanted, 3).tolist(), "three perpendicular unit vectors as columns")
    if abs(wanted[:, 2] @ b0_ras) < 1 - 1e-6:
        raise InputError("third target axis", np.round(wanted[:, 2], 4).tolist(),
                         f"one parallel to B0, {np.round(b0_ras, 4).tolist()} in RAS")  # fmt: skip
    return wanted


def _voxel_size(
    wanted: float | tuple[float, float, float] | None, grid: Grid, directions: Matrix
) -> tuple[float, float, float]:
    from scipy.optimize import linear_sum_assignment

    if wanted is None:
        _, nearest = linear_sum_assignment(-np.abs(directions.T @ grid.directions))
        sizes = np.array(grid.voxel_size_mm)[nearest]
    else:
        sizes = np.broadcast_to(np.asarray(wanted, dtype=np.float64), (3,))
    if not np.all((sizes > 0.05) & (sizes < 50)):
        raise InputError("voxel size", f"{wanted} mm", "one or three lengths from 0.05 to 50 mm")
    return float(sizes[0]), float(sizes[1]), float(sizes[2])


def _moved(one: Map, target: Grid, options: OrientationOptions) -> Map:
    """One map on another grid, by one interpolation that suits its kind."""
    check_scalar(one)
    if one.spec.kind is not Kind.REAL or options.interpolation == "linear":
        data = resample(one.data, one.grid, target, nearest=one.spec.kind is not Kind.REAL)
    else:
        data = _cubic(one.data, one.grid, target)
    if one.spec.kind is Kind.REAL and one.spec.minimum is not None:
        data = np.maximum(data, np.float32(one.spec.minimum))
    return replace(one, data=data, grid=target)


def _cubic(data: Array, grid: Grid, target: Grid) -> Array:
    """Cubic B-spline, 0 outside of the voxels' own extent."""
    from scipy.ndimage import affine_transform

    if data.ndim == 4:
        return np.stack([_cubic(data[..., n], grid, target) for n in range(data.shape[3])], axis=3)
    matrix = index_matrix(grid, target)
    values: Array = affine_transform(
        data.astype(np.float32, copy=False), matrix[:3, :3], matrix[:3, 3], target.shape, order=3, mode="nearest"
    )
    return values * resample(np.ones(grid.shape, dtype=np.bool_), grid, target)
