"""Named places in the brain to jump to: the user's own regions, or roughly where nuclei lie in a brain of this size.

No nucleus is looked for in the images. Without regions, the positions of nuclei in the MNI template are carried over to
the patient by the brain mask alone: its nod (rotation about the left-right axis), its width, its length, and its top.

References
----------
A. Fonov et al., "Unbiased average age-appropriate atlases for pediatric studies", NeuroImage 54, 313–327, 2011 (the
MNI template). Positions of nuclei are the usual ones of anatomical atlases in its space, rounded to mm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, check_volume
from ChiSepPreprocessLib.errors import InputError

Points = NDArray[np.float64]

#: Middle of each nucleus on the right, MNI mm; the left mirrors it.
_NUCLEI: Mapping[str, tuple[float, float, float]] = MappingProxyType({
    "Caudate": (13.0, 9.0, 10.0),
    "Putamen": (26.0, 3.0, 0.0),
    "Pallidum": (19.0, -4.0, -1.0),
    "Thalamus": (11.0, -18.0, 7.0),
    "Red nucleus": (5.0, -21.0, -9.0),
    "Substantia nigra": (10.0, -17.0, -12.0),
    "Dentate": (15.0, -57.0, -34.0),
})  # fmt: skip

#: Of the MNI brain mask: ends between which 99.8 % of the voxels lie, and the angle of its long axis in the
#: sagittal plane.
_MNI_LOW, _MNI_HIGH = np.array([-70.0, -104.0, -64.0]), np.array([70.0, 70.0, 78.0])
_MNI_NOD_RAD = np.deg2rad(10.2)

_PERCENTILES = (0.1, 99.9)

#: Plausible length of a brain, mm, and the least height as a part of it; below, the mask is no whole brain.
_LENGTH_MM, _LEAST_HEIGHT = (110.0, 230.0), 0.62

#: Voxels of the mask that are enough to find its ends.
_ENOUGH = 200_000

#: Parts of a region smaller than this share of it are specks.
_SPECK = 0.1

_APPROXIMATE = (
    "An estimate from the size and the nod of the brain mask, without an atlas: expect it within about 1 cm of the "
    "nucleus, farther off where the head is turned or the brain is deformed."
)


@dataclass(frozen=True)
class Place:
    """A named point.

    Parameters
    ----------
    name : str
        What lies there, with its side.
    position_ras : tuple of float
        RAS, mm.
    approximate : bool
        Whether it was estimated, not taken from a region.
    """

    name: str
    position_ras: tuple[float, float, float]
    approximate: bool

    @property
    def title(self) -> str:
        """Name for menus, which says where a place is only approximate."""
        return f"{self.name} (approximate)" if self.approximate else self.name

    @property
    def tooltip(self) -> str:
        """Where the position comes from, in one sentence."""
        return _APPROXIMATE if self.approximate else "The middle of a region of the chosen segmentation or label map."


def approximate_places(brain_mask: Array, grid: Grid) -> tuple[Place, ...]:
    """Where the deep grey nuclei lie, roughly, in a brain of this size and nod.

    Parameters
    ----------
    brain_mask : ndarray of bool, shape (I, J, K)
        Whole brain with cerebellum; up to 2 cm may be missing at the bottom.
    grid : Grid
        Of the mask.

    Returns
    -------
    tuple of Place
        Each nucleus right and left, all approximate.

    Raises
    ------
    InputError
        If the mask is empty or covers no whole brain, for then its size says nothing.
    """
    ras_from_mni = brain_from_mni(brain_mask, grid)
    return tuple(
        Place(f"{name}, {side}", _as_triple(ras_from_mni[:3, :3] @ [sign * x, y, z] + ras_from_mni[:3, 3]), True)
        for name, (x, y, z) in _NUCLEI.items()
        for side, sign in (("right", 1.0), ("left", -1.0))
    )


def brain_from_mni(brain_mask: Array, grid: Grid) -> Points:
    """Matrix (4, 4) that takes points of MNI space into a brain of this size and nod, RAS mm; roughly.

    Parameters
    ----------
    brain_mask, grid
        As for :func:`approximate_places`.

    Raises
    ------
    InputError
        If the mask is empty or covers no whole brain, for then its size says nothing.
    """
    check_volume("brain mask", brain_mask, grid.shape)
    points = _points_ras(np.argwhere(brain_mask), grid)
    if len(points) < 2:
        raise InputError("brain mask", f"{len(points)} voxels inside", "the whole brain")
    nod = _rotation_about_x(_nod_rad(points) - _MNI_NOD_RAD)
    low, high = np.percentile(points @ nod, _PERCENTILES, axis=0)
    _check_extent(high - low)
    origin = nod @ _carried_over(np.zeros(3), low, high)
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([nod @ _carried_over(axis, low, high) - origin for axis in np.eye(3)])
    matrix[:3, 3] = origin
    return matrix


def places_of_regions(regions: Iterable[tuple[str, Array, Grid]]) -> tuple[Place, ...]:
    """Middles of regions that the user has drawn or loaded.

    A region of two separate parts, such as one label for both putamina, gives a place for each side.

    Parameters
    ----------
    regions : iterable of (str, ndarray of bool, Grid)
        Name, mask (I, J, K) and its grid, as :func:`ChiSepPreprocessLib.scene.labels.named_masks` gives them.

    Returns
    -------
    tuple of Place
        The voxel of each part that is nearest to its centroid, in the order of the regions.

    Raises
    ------
    InputError
        If a region is empty or does not fit its grid.
    """
    return tuple(place for name, mask, grid in regions for place in _places_of(name, mask, grid))


def _places_of(name: str, mask: Array, grid: Grid) -> Iterator[Place]:
    check_volume(f"region '{name}'", mask, grid.shape)
    if not mask.any():
        raise InputError(f"region '{name}'", "no voxel inside", "a region with voxels inside")
    parts = [_points_ras(part, grid) for part in _parts(mask)]
    middles = [part[np.argmin(np.linalg.norm(part - part.mean(axis=0), axis=1))] for part in parts]
    if len(middles) != 2:
        yield Place(name, _as_triple(middles[0]), False)
        return
    left, right = sorted(middles, key=lambda middle: float(middle[0]))
    yield Place(f"{name}, right", _as_triple(right), False)
    yield Place(f"{name}, left", _as_triple(left), False)


def _parts(mask: Array) -> list[Array]:
    """Voxel indices of the connected parts, without specks, the largest first."""
    from scipy import ndimage

    indices = np.argwhere(mask)
    low, high = indices.min(axis=0), indices.max(axis=0) + 1
    labels, _ = ndimage.label(mask[tuple(map(slice, low, high))], np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    order = [label for label in np.argsort(-sizes, kind="stable") if sizes[label] >= _SPECK * sizes.sum()]
    return [np.argwhere(labels == label + 1) + low for label in (order or [int(np.argmax(sizes))])]


def _points_ras(indices: Array, grid: Grid) -> Points:
    """RAS positions, mm, of voxels; thinned out evenly where they are more than enough."""
    thinned = indices[:: max(1, len(indices) // _ENOUGH)]
    return thinned @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def _nod_rad(points: Points) -> float:
    """Angle of the long axis of a cloud of points in the sagittal plane, from A towards S."""
    spread = np.cov(points[:, 1], points[:, 2])
    return 0.5 * float(np.arctan2(2.0 * spread[0, 1], spread[0, 0] - spread[1, 1]))


def _rotation_about_x(angle_rad: float) -> Points:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def _check_extent(extent_mm: Points) -> None:
    length, height = float(extent_mm[1]), float(extent_mm[2])
    if not (_LENGTH_MM[0] <= length <= _LENGTH_MM[1] and height >= _LEAST_HEIGHT * length):
        raise InputError("brain mask", f"{length:.0f} mm long and {height:.0f} mm high", "a whole brain",
                         "Choose a segmentation of the nuclei instead.")  # fmt: skip


def _carried_over(mni: Points, low: Points, high: Points) -> Points:
    """Point of MNI space in the patient's upright brain.

    The height is scaled as the length is and counted from the top, as masks end anywhere along the brain stem.
    """
    scale = (high - low) / (_MNI_HIGH - _MNI_LOW)
    scale[2] = scale[1]
    moved = (low + high) / 2.0 + (mni - (_MNI_LOW + _MNI_HIGH) / 2.0) * scale
    moved[2] = high[2] - (_MNI_HIGH[2] - mni[2]) * scale[2]
    return moved


def _as_triple(point: Points) -> tuple[float, float, float]:
    r, a, s = point.tolist()
    return r, a, s
