"""Scans of two times measured on the same ground, each on its own grid.

Labels and masks go from scan to scan by the nearest voxel; susceptibility is never interpolated, since the blur would
take contrast from small lesions of one time and fake a change (with linear interpolation a sphere with a radius of 3.5
voxels loses about a seventh of it). Both times are measured where the field is valid at both, and against white matter
that looks normal at both, free of lesions of either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.resampling import resample
from ChiSepPreprocessLib.morphology import erode_mm

from .grading import grade_lesions
from .regions import RegionOptions
from .table import LesionTable
from .white_matter import normal_appearing_white_matter

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

#: Tissue that is no white matter in some map; found in any scan it is left out in all.
LEFT_OUT = ("csf_mask", "vessel_mask_para", "vessel_mask_dia")


@dataclass(frozen=True, eq=False)
class Scan:
    """Maps of one scan and where it lies.

    Parameters
    ----------
    maps : MapSet
        On the scan's own grid.
    own_from_first_ras : ndarray, shape (4, 4)
        Takes a point of the first scan to the same tissue in this one, RAS mm.
    """

    maps: MapSet
    own_from_first_ras: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    @property
    def grid(self) -> Grid:
        """Of its maps."""
        return self.maps.grid

    def onto(self, other: Scan, data: Array) -> Array:
        """Labels or a mask of this scan on another one's grid, by the nearest voxel; 0 where it has none."""
        own_from_other = self.own_from_first_ras @ np.linalg.inv(other.own_from_first_ras)
        if np.allclose(own_from_other, np.eye(4)) and self.grid.matches(other.grid):
            return data
        return resample(data, self.grid, other.grid, own_from_other, nearest=True)

    def seen_by(self, other: Scan) -> Mask:
        """Where this scan has voxels, on another one's grid."""
        return self.onto(other, np.ones(self.grid.shape, dtype=np.bool_))

    def valid(self) -> Mask:
        """Where its maps can be trusted.

        Raises
        ------
        InputError
            If there is no mask.
        """
        masks = [self.maps.array(name) for name in ("brain_mask", "field_mask") if name in self.maps]
        if not masks:
            raise InputError("masks", "neither brain_mask nor field_mask", "at least one of them at each time")
        return np.asarray(np.logical_and.reduce(masks))


@dataclass(frozen=True, eq=False)
class Site:
    """A scan with the ground that it shares with others.

    Parameters
    ----------
    scan : Scan
        Its maps hold the common masks.
    white : ndarray of bool or None
        Normal-appearing white matter in all scans, without its edge; all tissue if there is none.
    lesions : ndarray of bool
        Lesions of any scan.
    options : RegionOptions
        Distances.
    """

    scan: Scan
    white: Mask | None
    lesions: Mask
    options: RegionOptions

    def measured(self, labels: Labels) -> LesionTable:
        """Measures of lesions, or of spheres, that are labelled on the scan's grid."""
        lesions = Map(name="lesions", data=labels, grid=self.scan.grid)
        # The edge of the white matter was taken off already.
        options = replace(self.options, white_matter_margin_mm=0.0)
        return grade_lesions(self.scan.maps, lesions, white_matter=self.white, excluded=self.lesions, options=options)


def common_ground(scans: Sequence[Scan], lesions: Sequence[Mask], options: RegionOptions) -> tuple[Site, ...]:
    """Find what all scans can be measured in.

    Parameters
    ----------
    scans : sequence of Scan
        The times to compare, then any others; ground is common to the first two, and to each of the others with them.
    lesions : sequence of ndarray of bool
        Lesions of the first two, each on its own grid.
    options : RegionOptions
        Distances.

    Raises
    ------
    InputError
        If masks are missing, or no voxel is valid at both times.
    """
    times = tuple(scans[:2])
    own_lesions = [_joined(times, lesions, one, np.logical_or) for one in times]
    white = [normal_appearing_white_matter(one.maps, mask) for one, mask in zip(times, own_lesions, strict=True)]
    found = [(one, white_one.mask) for one, white_one in zip(times, white, strict=True) if white_one]
    sites = []
    for one in scans:
        near = _joined(times, lesions, one, np.logical_or)
        pure = None
        if found:
            shared = _joined([scan for scan, _ in found], [mask for _, mask in found], one, np.logical_and)
            pure = _pure(shared, near, one.grid, options)
        sites.append(Site(replace(one, maps=_with_masks(one, times)), pure, near, options))
    if not all(site.scan.maps.array("field_mask").any() for site in sites):
        raise InputError("valid field", "no voxel that is valid at both times", "scans of the same part of the head")
    return tuple(sites)


def _joined(scans: Sequence[Scan], masks: Sequence[Mask], onto: Scan, how: Callable[[Mask, Mask], Mask]) -> Mask:
    """Masks of several scans on the grid of one."""
    moved = [scan.onto(onto, mask) for scan, mask in zip(scans, masks, strict=True)]
    joined = moved[0]
    for one in moved[1:]:
        joined = how(joined, one)
    return joined


def _pure(white: Mask, lesions: Mask, grid: Grid, options: RegionOptions) -> Mask:
    """White matter without its edge and without lesions."""
    margin_mm = options.white_matter_margin_mm
    inner = erode_mm(white | lesions, margin_mm, grid.voxel_size_mm) if margin_mm else white
    return white & inner & ~lesions


def _with_masks(scan: Scan, times: Sequence[Scan]) -> MapSet:
    """Maps with the field that is valid here and at both times, and with what is left out at either."""
    every = [*times, *([] if scan in times else [scan])]
    valid = _joined(every, [one.valid() for one in every], scan, np.logical_and)
    masks = {"field_mask": valid, "brain_mask": valid}
    for name in LEFT_OUT:
        if holders := [one for one in every if name in one.maps]:
            masks[name] = _joined(holders, [one.maps.array(name) for one in holders], scan, np.logical_or)
    return scan.maps.including(*(Map(name=name, data=one, grid=scan.grid) for name, one in masks.items()))
