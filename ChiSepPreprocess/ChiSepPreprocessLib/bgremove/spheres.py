"""Spheres that fit into a mask: their kernels, their spectra, and how deep each voxel lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..artifacts import Array
from ..distance import distance_mm
from ..errors import InputError
from ..progress import Reporter
from .fourier import Fourier, Values, fast_shape, fourier

#: Points along each axis of a voxel that tell how much of it lies in a sphere.
_SUBVOXELS = 9


def sphere_kernel(radius_mm: float, voxel_size_mm: Sequence[float]) -> Array:
    """Normalised solid sphere; each voxel weighs as much as its part inside the sphere.

    A mean over voxel centres keeps the mean-value property of harmonic fields only if the
    weights' second moments are equal along all axes. Lumping a solid into voxels of edge h adds
    h²/12 to its moment along that axis, and a solid of semi-axis a has the moment a²/5: so axes
    with longer voxels get a² = r² − 5/12 (h² − h²_min).

    Parameters
    ----------
    radius_mm : float
        Radius r, mm; at least the longest voxel edge.
    voxel_size_mm : sequence of float
        Edges h along i, j, k, mm.

    Returns
    -------
    ndarray of float32, odd shape
        Sum 1, centred.
    """
    octant = _sphere_octant(radius_mm, voxel_size_mm)
    ni, nj, nk = (np.abs(np.arange(1 - n, n)) for n in octant.shape)
    return octant[np.ix_(ni, nj, nk)]


def _sphere_octant(radius_mm: float, voxel_size_mm: Sequence[float]) -> Array:
    """Part of :func:`sphere_kernel` at and after the centre; the others are its mirror images."""
    shortest = min(voxel_size_mm)
    squares = []
    for size in voxel_size_mm:
        axis_mm = np.sqrt(radius_mm**2 - 5 / 12 * (size**2 - shortest**2))
        n_voxels = int(np.ceil(axis_mm / size - 0.5)) + 1
        points = np.arange(n_voxels * _SUBVOXELS) - (_SUBVOXELS - 1) / 2
        squares.append((points * (size / _SUBVOXELS / axis_mm)) ** 2)
    ball = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= 1
    ni, nj, nk = (len(square) // _SUBVOXELS for square in squares)
    share = ball.reshape(ni, _SUBVOXELS, nj, _SUBVOXELS, nk, _SUBVOXELS).mean(axis=(1, 3, 5))
    mirrored = [np.where(np.arange(n) > 0, 2, 1) for n in share.shape]
    return (share / np.einsum("ijk,i,j,k", share, *mirrored)).astype(np.float32)


class SphericalMeans:
    """Means over the largest sphere that fits at each voxel, by fast Fourier transforms."""

    def __init__(
        self, depth_mm: Array, radii_mm: Sequence[float], voxel_size_mm: Sequence[float], margin_mm: float = 0.0
    ) -> None:
        self.grid = fast_shape(depth_mm.shape, [int(np.ceil(margin_mm / size)) for size in voxel_size_mm])
        self.transform = fourier(depth_mm.shape, self.grid)
        self.depth_mm = self.transform.load(depth_mm)
        self.radii_mm, self.voxel_size_mm = radii_mm, voxel_size_mm

    def high_pass(self, radius_mm: float) -> Values:
        """δ − ρ in k-space, half spectrum."""
        return high_pass(radius_mm, self.voxel_size_mm, self.grid, self.transform)

    def shells(self) -> Iterator[tuple[float, Values]]:
        """Each radius with the voxels whose largest sphere it is, from the largest on."""
        upper_mm = np.inf
        for radius_mm in self.radii_mm:
            yield radius_mm, (self.depth_mm > radius_mm) & (self.depth_mm <= upper_mm)
            upper_mm = radius_mm

    def reached(self) -> Array:
        """Voxels around which some sphere fits."""
        return self.transform.fetch(self.depth_mm > self.radii_mm[-1])

    def subtract(self, spectrum: Values, report: Reporter) -> Values:
        """Field, of which the spectrum is given, minus its mean over the sphere; 0 where none fits."""
        difference: Values = 0
        for step, (radius_mm, shell) in enumerate(self.shells()):
            report("spherical means", step / len(self.radii_mm), f"radius {radius_mm:g} mm")
            part = self.transform.backward(spectrum * self.high_pass(radius_mm))
            part *= shell
            difference += part
        return difference

    def deconvolve(self, difference: Values, threshold: float) -> Values:
        """Undo the largest sphere's δ − ρ where it is not below the threshold."""
        largest = self.high_pass(self.radii_mm[0])
        kept = abs(largest) >= threshold
        # Adding 1 where nothing is kept avoids the division by 0.
        local = self.transform.backward(self.transform.forward(difference) * (kept / (largest + ~kept)))
        return local * (self.depth_mm > self.radii_mm[-1])


def high_pass(
    radius_mm: float, voxel_size_mm: Sequence[float], grid: Sequence[int], transform: Fourier,
    block: Sequence[int] = (1, 1, 1),
) -> Values:  # fmt: skip
    """δ − ρ in k-space, half spectrum: real, as ρ is even along each axis, so that cosines of its octant do.

    With blocks, only the frequencies of a grid of blocks of voxels.
    """
    octant = _sphere_octant(radius_mm, voxel_size_mm)
    ci, cj, ck = (transform.load(_cosines(*axis)) for axis in zip(grid, octant.shape, block, strict=True))
    lines = transform.load(octant) @ ck[: grid[2] // 2 + 1].T
    planes = (cj @ lines).reshape(len(octant), -1)
    return 1 - (ci @ planes).reshape(len(ci), len(cj), -1)


def _cosines(length: int, reach: int, block: int) -> Array:
    """Matrix that takes the half ``0 … reach − 1`` of an even function to its spectrum, shape (length, reach)."""
    angles = 2 * np.pi / block * np.fft.fftfreq(length)[:, None] * np.arange(reach)
    return (np.cos(angles) * np.where(np.arange(reach) > 0, 2, 1)).astype(np.float32)


def fitting_means(
    mask: Array, radii_mm: Sequence[float], voxel_size_mm: Sequence[float], margin_mm: float = 0.0
) -> SphericalMeans:
    """Means over those spheres that fit somewhere into a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Where the field is known.
    radii_mm : sequence of float
        From the largest on, mm.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    margin_mm : float
        Room between the mask and its periodic image, mm. Spheres that fit need none.

    Raises
    ------
    InputError
        If none fits.
    """
    depth_mm = mask_depth_mm(mask, radii_mm[0], voxel_size_mm)
    fitting = [radius for radius in radii_mm if radius < depth_mm.max()]
    if not fitting:
        raise InputError("mask", f"a largest depth of {depth_mm.max():.3g} mm",
                         f"room for the smallest sphere, of {radii_mm[-1]:.3g} mm",
                         "Check the mask, its reliable part and the voxel size.")  # fmt: skip
    return SphericalMeans(depth_mm, fitting, voxel_size_mm, margin_mm)


def mask_depth_mm(mask: Array, most_mm: float, voxel_size_mm: Sequence[float]) -> Array:
    """Radius of the largest sphere around each voxel that touches no voxel outside the mask, mm; inf above a radius.

    Outside voxels begin half an edge before their centres. Beyond the volume all is outside.
    """
    half_edge_mm = max(voxel_size_mm) / 2
    distances = distance_mm(np.pad(mask, 1), most_mm + half_edge_mm, voxel_size_mm)
    return np.ascontiguousarray(distances[1:-1, 1:-1, 1:-1]) - np.float32(half_edge_mm)
