"""Slices as radiologists look at them, from a grid of any orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..artifacts import Array, Grid
from ..box import bounding_box

#: Kept around the mask, as a share of each axis.
_MARGIN = 0.03


@dataclass(frozen=True, eq=False)
class View:
    """One plane, first row at the top.

    Parameters
    ----------
    name : str
        ``"axial"``, ``"coronal"`` or ``"sagittal"``.
    left, right, top : str
        Letters of the directions there, such as R, L and A.
    aspect : float
        Height over width of a pixel.
    """

    name: str
    left: str
    right: str
    top: str
    aspect: float


def to_ras(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Order and sign of the voxel axes that come nearest to right, anterior and superior.

    Returns
    -------
    axes : tuple of int
        Voxel axis for R, A and S.
    signs : tuple of int
        −1 where it runs the other way.
    """
    directions = grid.directions
    order = max(permutations(range(3)), key=lambda axes: sum(abs(directions[w, v]) for w, v in enumerate(axes)))
    signs = tuple(1 if directions[world, axis] > 0 else -1 for world, axis in enumerate(order))
    return (order[0], order[1], order[2]), (signs[0], signs[1], signs[2])


@dataclass(frozen=True, eq=False)
class Planes:
    """Three planes through the middle of a mask, cut to its surroundings.

    Parameters
    ----------
    grid : Grid
        Of the volumes that are cut.
    mask : ndarray of bool, shape (I, J, K)
        At least one voxel inside.
    """

    grid: Grid
    mask: Array

    @property
    def views(self) -> tuple[View, View, View]:
        """Axial and coronal from below and from the front, right on the left; sagittal with the face to the left."""
        axes, _ = to_ras(self.grid)
        x, y, z = (self.grid.voxel_size_mm[axis] for axis in axes)
        return (View("axial", "R", "L", "A", y / x), View("coronal", "R", "L", "S", z / x),
                View("sagittal", "A", "P", "S", z / y))  # fmt: skip

    @property
    def widths(self) -> list[float]:
        """Width over height of each plane."""
        planes = self.cut(self.mask)
        return [one.shape[1] / (one.shape[0] * view.aspect) for one, view in zip(planes, self.views, strict=True)]

    def cut(self, volume: Array) -> tuple[Array, Array, Array]:
        """The three planes of a volume (I, J, K), shape (rows, columns) each."""
        box = self._box
        part = self._turned(volume)[box]
        x, y, z = self._centre
        return part[::-1, ::-1, z].T, part[::-1, y, ::-1].T, part[x, ::-1, ::-1].T

    def _turned(self, volume: Array) -> Array:
        axes, signs = to_ras(self.grid)
        return np.transpose(volume, axes)[tuple(slice(None, None, sign) for sign in signs)]

    @property
    def _box(self) -> tuple[slice, slice, slice]:
        return bounding_box(self._turned(self.mask), margin=int(_MARGIN * max(self.mask.shape)))

    @property
    def _centre(self) -> Sequence[int]:
        """Middle of the mask's volume, as indices into the box."""
        part = self._turned(self.mask)[self._box]
        middles = []
        for axis in range(3):
            counts = np.cumsum(part.sum(axis=tuple(other for other in range(3) if other != axis)))
            middles.append(int(np.searchsorted(counts, 0.5 * counts[-1])))
        return middles
