"""Scalar maps on a grid whose third axis is B0, as networks need them, and back again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..artifacts import Array, Grid, Kind, Map, MapSet, check_volume
from ..errors import InputError
from .interpolation import continued, cubic
from .resampling import Mask, check_scalar, resample

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
    mask, original_mask : ndarray of bool, optional
        Where the turned and the original maps are known; real maps are 0 elsewhere.
    """

    maps: MapSet
    original: MapSet
    options: OrientationOptions
    mask: Mask | None = None
    original_mask: Mask | None = None

    def back(self, maps: MapSet | None = None) -> MapSet:
        """Bring maps of the turned grid, such as a network's, onto the original grid by one interpolation.

        Nothing is smoothed before: what was made from the original maps holds little that their voxels cannot.

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
        move = _Move(original.grid, self.options, self.mask, self.original_mask, low_pass=False)
        return MapSet(original.grid, original.scan, {name: move(one) for name, one in maps.items()})


def to_b0_axis(
    maps: MapSet, voxel_size_mm: float | tuple[float, float, float] | None = None,
    directions_ras: ArrayLike | None = None, options: OrientationOptions | None = None, *, mask: Mask | None = None,
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
    mask : ndarray of bool, shape (I, J, K), optional
        Where the real maps are known. They are continued beyond it before they are interpolated, so that nothing of
        what lies there bleeds into it, and are 0 outside of it afterwards; the same on the way back.

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
    if mask is not None:
        check_volume("mask", mask, maps.grid.shape)
    turned_mask = None if mask is None else resample(mask, maps.grid, grid)
    move = _Move(grid, options, mask, turned_mask, low_pass=True)
    return Reoriented(MapSet(grid, scan, {name: move(one) for name, one in maps.items()}), maps, options, turned_mask,
                      mask)  # fmt: skip


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


@dataclass(frozen=True, eq=False)
class _Move:
    """To another grid by one interpolation that suits the map's kind."""

    target: Grid
    options: OrientationOptions
    mask: Mask | None
    target_mask: Mask | None
    low_pass: bool

    def __call__(self, one: Map) -> Map:
        check_scalar(one)
        if one.spec.kind is not Kind.REAL:
            return replace(one, data=resample(one.data, one.grid, self.target, nearest=True), grid=self.target)
        data = self._series(one.data, one.grid)
        if one.spec.minimum is not None:
            np.maximum(data, np.float32(one.spec.minimum), out=data)
        return replace(one, data=data, grid=self.target)

    def _series(self, data: Array, grid: Grid) -> Array:
        wanted = self.target_mask
        if wanted is None:
            wanted = resample(np.ones(grid.shape, dtype=np.bool_), grid, self.target)
        if data.ndim == 4:
            return np.stack([self._volume(data[..., n], grid, wanted) for n in range(data.shape[3])], axis=3)
        return self._volume(data, grid, wanted)

    def _volume(self, data: Array, grid: Grid, wanted: Mask) -> Array:
        if self.options.interpolation == "cubic":
            return cubic(data, grid, self.target, wanted, mask=self.mask, low_pass=self.low_pass)
        known = data if self.mask is None else continued(data, self.mask, 2)
        return resample(known, grid, self.target) * wanted
