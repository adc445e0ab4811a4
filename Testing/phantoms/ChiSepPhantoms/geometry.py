"""Where scans lie: grids, their subdivision and the mean over sub-voxels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.progress import Reporter

Volume = NDArray[Any]
Matrix = NDArray[np.float64]

#: The machine that this is written for has two cores; the FFTs use as many.
WORKERS = 2

#: Columns: i towards L, j towards P, k towards S, as an axial DICOM series has them.
_AXIAL = np.diag([-1.0, -1.0, 1.0])


def rotation(angles_deg: tuple[float, float, float]) -> Matrix:
    """Rotation about R, then A, then S, shape (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(angles_deg)), np.sin(np.deg2rad(angles_deg))
    about_r = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_a = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_s = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_s @ about_a @ about_r)


def head_grid(
    points_mm: Matrix,
    voxel_size_mm: tuple[float, float, float],
    tilt_deg: tuple[float, float, float],
    shape: tuple[int, int, int] | None = None,
    margin_mm: float = 4.0,
) -> Grid:
    """Axial grid, tilted, centred on the head; without ``shape`` it covers all points (N, 3) in RAS mm."""
    axes = rotation(tilt_deg) @ _AXIAL
    along = points_mm @ axes
    low, high = along.min(axis=0) - margin_mm, along.max(axis=0) + margin_mm
    count = np.array(shape) if shape else np.ceil((high - low) / voxel_size_mm).astype(int)
    first = (low + high) / 2 - (count - 1) / 2 * np.array(voxel_size_mm)
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(voxel_size_mm)
    affine[:3, 3] = axes @ first
    return Grid(tuple(count), affine)


@dataclass(frozen=True, eq=False)
class FineGrid:
    """A grid with each voxel cut into ``division`` cells along its own axes."""

    coarse: Grid
    division: tuple[int, int, int]

    @classmethod
    def of(cls, grid: Grid, fine_mm: float) -> FineGrid:
        """Cells of at most ``fine_mm``."""
        ni, nj, nk = (max(1, int(np.ceil(size / fine_mm - 1e-6))) for size in grid.voxel_size_mm)
        return cls(grid, (ni, nj, nk))

    @property
    def grid(self) -> Grid:
        """Grid of the cells."""
        cells = np.array(self.division)
        affine = self.coarse.affine.copy()
        affine[:3, :3] /= cells
        affine[:3, 3] -= affine[:3, :3] @ ((cells - 1) / 2)
        return Grid(tuple(np.array(self.coarse.shape) * cells), affine)

    def mean(self, fine: Volume) -> Volume:
        """Mean over the cells of each voxel: the box point-spread function."""
        return block_mean(fine, self.division)


def block_mean(fine: Volume, division: tuple[int, int, int]) -> Volume:
    """Mean over blocks of ``division`` cells; the shape is divisible by it."""
    total = fine if np.issubdtype(fine.dtype, np.inexact) else fine.astype(np.float32)
    for axis, count in enumerate(division):
        parts = [total[(slice(None),) * axis + (slice(n, None, count),)] for n in range(count)]
        total = sum(parts[1:], start=parts[0])
    return np.asarray(total / np.float32(np.prod(division)))


def slabs(count: int, thickness: int) -> Iterator[slice]:
    """Consecutive slices of ``thickness`` that cover ``count``."""
    for start in range(0, count, thickness):
        yield slice(start, min(start + thickness, count))


def for_each_slab(work: Callable[[slice], None], count: int, thickness: int, step: str, report: Reporter) -> None:
    """Run ``work`` on every slab, in threads; numpy and scipy release the interpreter."""
    parts = list(slabs(count, thickness))
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, _ in enumerate(pool.map(work, parts)):
            report(step, done / len(parts))
