"""Where a lesion's core, rim and surrounding white matter lie, by distance in mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import dilate_mm

from .components import compact

Mask = NDArray[np.bool_]

#: Voxel sizes come from a matrix with rounding, which must not decide whether a voxel is in.
_TOLERANCE_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """Which voxels are compared.

    Parameters
    ----------
    shell_gap_mm : float
        White matter must be farther than this from every lesion, mm (between voxel centres).
    shell_reach_mm : float
        White matter must be at most this far from the lesion, mm (between voxel centres).
    white_matter_margin_mm : float
        Voxels of a white matter mask that lie as near as this to other tissue, or beside it, are mixed with it, and
        left out, mm; 0 keeps them.
    rim_width_mm : float
        The rim is where a voxel's centre lies at most this far below the lesion's surface, mm.
    minimum_nawm_voxels : int
        Fewer voxels of white matter give no contrast.
    minimum_core_voxels : int
        A smaller core is no core that a rim could stand out from.
    maximum_outside_fraction : float
        A lesion with a larger share outside the valid field is not graded.
    """

    shell_gap_mm: float = 2.0
    shell_reach_mm: float = 5.0
    white_matter_margin_mm: float = 2.0
    rim_width_mm: float = 1.0
    minimum_nawm_voxels: int = 20
    minimum_core_voxels: int = 8
    maximum_outside_fraction: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.shell_gap_mm < self.shell_reach_mm or self.rim_width_mm < 0:
            raise InputError("lesion surroundings", self, "0 ≤ shell_gap_mm < shell_reach_mm and rim_width_mm ≥ 0")
        if self.white_matter_margin_mm < 0:
            raise InputError("margin of the white matter", f"{self.white_matter_margin_mm} mm", "0 or more")
        counts_fit = self.minimum_nawm_voxels >= 2 and self.minimum_core_voxels >= 1
        if not counts_fit or not 0 <= self.maximum_outside_fraction <= 1:
            raise InputError("lesion options", self, "minimum_nawm_voxels ≥ 2, minimum_core_voxels ≥ 1 and "
                                                     "maximum_outside_fraction from 0 to 1")  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """One lesion and its surroundings; all masks lie in ``box``.

    Parameters
    ----------
    label : int
        The lesion's number.
    box : tuple of slice
        Part of the volume that holds the lesion and its shell.
    lesion, core, rim, shell : ndarray of bool
        Whole lesion, its two parts, and the tissue around it (before masks are applied).
    centroid_ras_mm : tuple of float
        Centre of the lesion's voxels.
    """

    label: int
    box: tuple[slice, slice, slice]
    lesion: Mask
    core: Mask
    rim: Mask
    shell: Mask
    centroid_ras_mm: tuple[float, float, float]

    @property
    def voxels(self) -> int:
        """Number of voxels of the whole lesion."""
        return int(np.count_nonzero(self.lesion))


def find_regions(labels: NDArray[np.int64], grid: Grid, options: RegionOptions) -> Iterator[Region]:
    """Go through the lesions of a label map, by ascending label.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        0 outside lesions.
    grid : Grid
        Where the voxels lie.
    options : RegionOptions
        Distances.

    Yields
    ------
    Region
        Of one lesion.
    """
    from scipy import ndimage

    packed, used = compact(labels)
    for number, tight in enumerate(ndimage.find_objects(packed), start=1):
        yield _region(packed, number, int(used[number - 1]), tight, grid, options)


def find_region(labels: NDArray[np.int64], label: int, grid: Grid, options: RegionOptions) -> Region | None:
    """One lesion of a label map, as :func:`find_regions` gives it; ``None`` if it has no voxel."""
    own = labels == label
    if not own.any():
        return None
    return _region(labels, label, label, bounding_box(own), grid, options)


def _region(
    packed: NDArray[np.int64], number: int, label: int, tight: tuple[slice, ...], grid: Grid, options: RegionOptions
) -> Region:
    box = _widened(tight, grid, options.shell_reach_mm)
    lesion = packed[box] == number
    core = core_of(lesion, grid.voxel_size_mm, options.rim_width_mm)
    return Region(
        label=label,
        box=box,
        lesion=lesion,
        core=core,
        rim=lesion & ~core,
        shell=_shell(packed, number, box, grid, options),
        centroid_ras_mm=_centroid(lesion, box, grid),
    )


def core_of(lesion: Mask, voxel_size_mm: tuple[float, float, float], rim_width_mm: float) -> Mask:
    """Voxels whose centre lies deeper than ``rim_width_mm`` below the lesion's voxel surface.

    A centre is deeper than w exactly if no voxel outside has its nearest face, edge or corner within w;
    so the lesion is eroded by the voxels that come that close, whatever their shape.
    """
    from scipy import ndimage

    size = np.array(voxel_size_mm)
    width = rim_width_mm + _TOLERANCE_MM
    reach = np.floor(width / size + 0.5).astype(int)
    axes = [np.maximum(np.abs(np.arange(-n, n + 1)) - 0.5, 0.0) * length for n, length in zip(reach, size, strict=True)]
    squared = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    near = np.asarray(squared <= width**2)
    return np.asarray(ndimage.binary_erosion(lesion, structure=near, border_value=0))


def _shell(
    packed: NDArray[np.int64], number: int, box: tuple[slice, slice, slice], grid: Grid, options: RegionOptions
) -> Mask:
    # Another lesion may lie just outside the box and still be too close to its voxels.
    wide = _widened(box, grid, options.shell_gap_mm)
    within = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    gap_mm, reach_mm = options.shell_gap_mm + _TOLERANCE_MM, options.shell_reach_mm + _TOLERANCE_MM
    too_close = dilate_mm(packed[wide] > 0, gap_mm, grid.voxel_size_mm)[within]
    return dilate_mm(packed[box] == number, reach_mm, grid.voxel_size_mm) & ~too_close


def _widened(box: tuple[slice, ...], grid: Grid, margin_mm: float) -> tuple[slice, slice, slice]:
    margins = np.floor((margin_mm + _TOLERANCE_MM) / np.array(grid.voxel_size_mm)).astype(int)
    i, j, k = (
        slice(max(part.start - int(margin), 0), min(part.stop + int(margin), count))
        for part, margin, count in zip(box, margins, grid.shape, strict=True)
    )
    return i, j, k


def _centroid(lesion: Mask, box: tuple[slice, ...], grid: Grid) -> tuple[float, float, float]:
    index = np.argwhere(lesion).mean(axis=0) + [part.start for part in box]
    r, a, s = grid.affine[:3, :3] @ index + grid.affine[:3, 3]
    return float(r), float(a), float(s)
