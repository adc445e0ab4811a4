"""Axes in another order and sense: grids that fit are turned without interpolation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..artifacts import Array, Grid
from .resampling import Matrix

Axes = tuple[int, int, int]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Renaming:
    """New names for the axes of a grid, and back.

    Parameters
    ----------
    order : tuple of int
        Old axis that becomes each of the new ones.
    reversed : tuple of bool
        Whether each new axis runs against the old one.
    """

    order: Axes
    reversed: tuple[bool, bool, bool]

    def volume(self, data: Array) -> Array:
        """Bring a volume (I, J, K) to the new axes; contiguous."""
        return np.ascontiguousarray(np.flip(data.transpose(self.order), self._turned))

    def volume_back(self, data: Array) -> Array:
        """Bring a volume on the new axes back to the old ones; contiguous."""
        return np.ascontiguousarray(np.flip(data, self._turned).transpose(np.argsort(self.order)))

    def grid(self, grid: Grid) -> Grid:
        """Grid with the new axes; every voxel keeps its place."""
        affine = grid.affine.copy()
        for new, old in enumerate(self.order):
            step = grid.affine[:3, old]
            affine[:3, new] = -step if self.reversed[new] else step
            if self.reversed[new]:
                affine[:3, 3] += step * (grid.shape[old] - 1)
        return Grid(tuple(grid.shape[old] for old in self.order), affine)

    def vector(self, components: Vector) -> Vector:
        """Components along the new axes of a vector given along the old ones."""
        i, j, k = (-components[old] if against else components[old]
                   for old, against in zip(self.order, self.reversed, strict=True))  # fmt: skip
        return i, j, k

    @property
    def _turned(self) -> tuple[int, ...]:
        return tuple(axis for axis, against in enumerate(self.reversed) if against)


def nearest_axes(grid: Grid, directions_ras: Matrix) -> Renaming:
    """Names for the grid's axes that come closest to ``directions_ras`` (columns, unit vectors)."""
    from scipy.optimize import linear_sum_assignment

    cosines = directions_ras.T @ grid.directions
    _, order = linear_sum_assignment(-np.abs(cosines))
    i, j, k = (int(axis) for axis in order)
    against = [bool(cosines[new, old] < 0) for new, old in enumerate((i, j, k))]
    return Renaming((i, j, k), (against[0], against[1], against[2]))
