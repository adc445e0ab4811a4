"""Maps along the axes of the training and back: named anew where they fit, else interpolated once each way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.geometry.b0_axis import Reoriented, to_b0_axis
from ChiSepPreprocessLib.geometry.renaming import Renaming, nearest_axes

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]
Vector = tuple[float, float, float]

#: Axes of the training, as columns in RAS: to posterior, left to right, inferior to superior along B0.
_TRAINED_AXES = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
#: Tilts of B0 that are left: 0.5° changes the field by 1.5 %, as much as interpolating there and back does.
_SAME_DIRECTION = np.cos(np.deg2rad(0.5))
#: Differences of voxel size that are left: 1 % on one axis changes the field by 1 %.
_SAME_SIZE = 0.01


@dataclass(frozen=True, eq=False)
class TrainedFrame:
    """Maps with the axes of the training, and the way back.

    Parameters
    ----------
    maps : MapSet
        Axis 0 runs to posterior, axis 1 from left to right, axis 2 along B0 from inferior to superior; 0 outside the
        mask.
    mask : ndarray of bool, shape (I, J, K)
        The voxels to solve, on that grid.
    original : MapSet
        What they were made of.
    original_mask : ndarray of bool
        The voxels to solve there.
    way : Renaming or Reoriented
        How they were turned.
    """

    maps: MapSet
    mask: Mask
    original: MapSet
    original_mask: Mask
    way: Renaming | Reoriented

    @property
    def voxel_size_mm(self) -> Vector:
        """Along the axes of the training."""
        return self.maps.grid.voxel_size_mm

    def has_size(self, voxel_size_mm: Vector) -> bool:
        """Whether the voxels have that size, but for what hardly matters."""
        return _same_size(self.voxel_size_mm, voxel_size_mm)

    def back(self, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        """Bring volumes by artifact name onto the original grid; 0 outside the original mask."""
        if isinstance(self.way, Renaming):
            return {name: self.way.volume_back(one * self.mask) for name, one in volumes.items()}
        grid = self.maps.grid
        turned = MapSet(grid, self.maps.scan, {n: Map(name=n, data=one, grid=grid) for n, one in volumes.items()})
        return {name: one.data.astype(np.float32, copy=False) for name, one in self.way.back(turned).items()}

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "shape": list(self.maps.grid.shape),
            "voxel_size_mm": [round(size, 4) for size in self.voxel_size_mm],
            "interpolated": isinstance(self.way, Reoriented),
        }


def trained_frame(maps: MapSet, mask: Mask, voxel_size_mm: Vector | None) -> TrainedFrame:
    """Bring maps to the axes of the training.

    Parameters
    ----------
    maps : MapSet
        Real maps on any grid; ``scan.b0_direction_ijk`` tells where B0 is.
    mask : ndarray of bool, shape (I, J, K)
        Where they are known and wanted.
    voxel_size_mm : tuple of float, optional
        Wanted along the new axes; the voxels keep theirs if absent.

    Returns
    -------
    TrainedFrame
        Without interpolation where an axis lies within 0.5° of B0 and the voxels have the wanted size within 1 %: a
        turn about B0 is left as it is, as the networks were trained with all of them.
    """
    directions = trained_directions(maps)
    renaming = nearest_axes(maps.grid, directions)
    grid = renaming.grid(maps.grid)
    if _along_b0(maps, renaming) and (voxel_size_mm is None or _same_size(grid.voxel_size_mm, voxel_size_mm)):
        return _renamed(maps, mask, renaming, grid)
    way = to_b0_axis(maps, voxel_size_mm, directions, mask=mask)
    assert way.mask is not None
    return TrainedFrame(way.maps, way.mask, maps, mask, way)


def _renamed(maps: MapSet, mask: Mask, renaming: Renaming, grid: Grid) -> TrainedFrame:
    turned_mask = renaming.volume(mask)
    scan = replace(maps.scan, b0_direction_ijk=renaming.vector(maps.scan.b0_direction_ijk))
    turned = {
        name: replace(one, data=renaming.volume(one.data).astype(np.float32) * turned_mask, grid=grid)
        for name, one in maps.items()
    }
    return TrainedFrame(MapSet(grid, scan, turned), turned_mask, maps, mask, renaming)


def trained_directions(maps: MapSet) -> NDArray[np.float64]:
    """Axes of the training turned by the smallest angle that brings the third to B0; columns, RAS."""
    b0_ras = maps.grid.directions @ np.array(maps.scan.b0_direction_ijk)
    b0_ras = b0_ras / np.linalg.norm(b0_ras)
    b0_ras = -b0_ras if b0_ras[2] < 0 else b0_ras
    superior = _TRAINED_AXES[:, 2]
    # Rodrigues' rotation about superior × B0; its sine and cosine stand in the vectors themselves.
    x, y, z = np.cross(superior, b0_ras)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned = (np.eye(3) + cross + cross @ cross / (1 + superior @ b0_ras)) @ _TRAINED_AXES
    turned[:, 2] = b0_ras
    return np.asarray(turned)


def _along_b0(maps: MapSet, renaming: Renaming) -> bool:
    b0 = np.array(maps.scan.b0_direction_ijk)
    return bool(abs(b0[renaming.order[2]]) >= _SAME_DIRECTION * np.linalg.norm(b0))


def _same_size(sizes_mm: Vector, wanted_mm: Vector) -> bool:
    return bool(np.allclose(sizes_mm, wanted_mm, rtol=_SAME_SIZE, atol=0))
