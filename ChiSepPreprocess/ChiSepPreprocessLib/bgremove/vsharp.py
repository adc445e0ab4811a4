"""V-SHARP: background removal by spherical means of many radii.

Schweser F, Deistung A, Lehr BW, Reichenbach JR. "Quantitative imaging of intrinsic magnetic tissue
properties using MRI signal phase". NeuroImage 54:2789 (2011), for one radius.
Wu B, Li W, Guidon A, Liu C. "Whole brain susceptibility mapping using compressed sensing".
Magn Reson Med 67:137 (2012), for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array, check_volume
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter

#: Points along each axis of a voxel that tell how much of it lies in a sphere.
_SUBVOXELS = 9


@dataclass(frozen=True, kw_only=True)
class VSharpOptions:
    """Options of :func:`vsharp`.

    Parameters
    ----------
    maximum_radius_mm : float
        Radius of the largest sphere, mm; its kernel is the one that is inverted. The consensus
        example has 12 at 1 mm. Smaller keeps more of superficial sources, larger lets less
        background through where slices are thick.
    minimum_radius_mm : float
        Radius of the smallest sphere, mm, but at least the longest voxel edge: smaller ones hold
        no neighbour along that axis. The field is lost this far from the mask's border.
    step_mm : float
        Step from radius to radius, mm.
    threshold : float
        Spatial frequencies at which the kernel is below this are set to zero.
    refinements : int
        Times that what the deconvolution left unexplained is fed back, 0 as published. Where smaller
        spheres were used, the largest one's inverse is too weak; each round repairs a part of that
        and costs as much as the first pass.
    """

    maximum_radius_mm: float = 12.0
    minimum_radius_mm: float = 1.0
    step_mm: float = 1.0
    threshold: float = 0.05
    refinements: int = 0


def vsharp(
    total_field: Array,
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: VSharpOptions,
    report: Reporter,
) -> tuple[Array, Array]:
    """Remove the field of all sources outside the mask.

    That field is harmonic inside, so it equals its mean over any sphere ρ in the mask. With the
    largest sphere that fits at each voxel, (δ − ρ) * field holds only local sources; it is
    deconvolved with δ − ρ of the largest radius.

    Parameters
    ----------
    total_field : ndarray, shape (I, J, K)
        Any unit; the result has the same.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is known. Beyond the volume it is not.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : VSharpOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    local_field : ndarray of float32, shape (I, J, K)
        0 outside ``field_mask``.
    field_mask : ndarray of bool, shape (I, J, K)
        Voxels around which the smallest sphere lies inside the mask.

    Raises
    ------
    InputError
        If shapes differ, an option is out of range or no voxel is left.
    """
    _check(total_field, mask, voxel_size_mm, options)
    if not mask.any():
        raise InputError("mask", "no voxel inside", "at least one voxel inside")
    crop = bounding_box(mask)
    inside = mask[crop]
    depth_mm = _depth_mm(inside, voxel_size_mm)
    radii = [radius for radius in _radii_mm(options, max(voxel_size_mm)) if radius < depth_mm.max()]
    if not radii:
        raise InputError("mask", f"a largest depth of {depth_mm.max():.3g} mm", "room for the smallest sphere",
                         "Check the mask and the voxel size, or use a smaller minimum radius.")  # fmt: skip
    field = np.where(inside, total_field[crop], 0).astype(np.float32)
    local = np.zeros(mask.shape, np.float32)
    local[crop] = _local_field(field, _SphericalMeans(depth_mm, radii, voxel_size_mm), options, report)
    field_mask = np.zeros(mask.shape, np.bool_)
    field_mask[crop] = depth_mm > radii[-1]
    return local, field_mask


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
    shortest = min(voxel_size_mm)
    squares = []
    for size in voxel_size_mm:
        axis_mm = np.sqrt(radius_mm**2 - 5 / 12 * (size**2 - shortest**2))
        squares.append((_subvoxel_positions_mm(axis_mm, size) / axis_mm) ** 2)
    ball = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= 1
    ni, nj, nk = (len(square) // _SUBVOXELS for square in squares)
    share = ball.reshape(ni, _SUBVOXELS, nj, _SUBVOXELS, nk, _SUBVOXELS).mean(axis=(1, 3, 5))
    return (share / share.sum()).astype(np.float32)


def _subvoxel_positions_mm(reach_mm: float, size_mm: float) -> Array:
    """Evenly spaced points in an odd number of voxels that cover ±reach."""
    n_points = (2 * int(np.ceil(reach_mm / size_mm - 0.5)) + 1) * _SUBVOXELS
    return (np.arange(n_points) - (n_points - 1) / 2) * (size_mm / _SUBVOXELS)


class _SphericalMeans:
    """Means over the largest sphere that fits at each voxel, by fast Fourier transforms."""

    def __init__(self, depth_mm: Array, radii_mm: Sequence[float], voxel_size_mm: Sequence[float]) -> None:
        from scipy.fft import next_fast_len

        gap = [int(np.ceil(radii_mm[0] / size)) for size in voxel_size_mm]
        self.shape = [next_fast_len(n + extra, real=True) for n, extra in zip(depth_mm.shape, gap, strict=True)]
        self.crop = tuple(slice(n) for n in depth_mm.shape)
        self.depth_mm, self.radii_mm, self.voxel_size_mm = depth_mm, radii_mm, voxel_size_mm

    def forward(self, field: Array) -> Array:
        from scipy.fft import rfftn

        return np.asarray(rfftn(field, self.shape, workers=-1))

    def backward(self, spectrum: Array) -> Array:
        from scipy.fft import irfftn

        return np.asarray(irfftn(spectrum, self.shape, workers=-1)[self.crop])

    def high_pass(self, radius_mm: float) -> Array:
        """δ − ρ in k-space: real, since the sphere is symmetric."""
        kernel = _around_origin(sphere_kernel(radius_mm, self.voxel_size_mm), self.shape)
        return np.float32(1) - self.forward(kernel).real

    def subtract(self, field: Array, report: Reporter) -> Array:
        """Field minus its mean over the sphere; 0 where none fits."""
        spectrum = self.forward(field)
        difference = np.zeros(field.shape, np.float32)
        upper_mm = np.inf
        for step, radius_mm in enumerate(self.radii_mm):
            report("V-SHARP", step / len(self.radii_mm), f"radius {radius_mm:g} mm")
            shell = (self.depth_mm > radius_mm) & (self.depth_mm <= upper_mm)
            difference[shell] = self.backward(spectrum * self.high_pass(radius_mm))[shell]
            upper_mm = radius_mm
        return difference

    def deconvolve(self, difference: Array, threshold: float) -> Array:
        """Undo the largest sphere's δ − ρ where it is not below the threshold."""
        largest = self.high_pass(self.radii_mm[0])
        inverse = np.divide(1, largest, out=np.zeros_like(largest), where=np.abs(largest) >= threshold)
        local = self.backward(self.forward(difference) * inverse)
        return np.where(self.depth_mm > self.radii_mm[-1], local, np.float32(0))


def _local_field(field: Array, means: _SphericalMeans, options: VSharpOptions, report: Reporter) -> Array:
    """Deconvolve once, then feed back what the smaller spheres still leave."""
    rounds = options.refinements + 1
    measured = means.subtract(field, report.span(0, 1 / rounds))
    local = means.deconvolve(measured, options.threshold)
    for done in range(1, rounds):
        explained = means.subtract(local, report.span(done / rounds, (done + 1) / rounds))
        local += means.deconvolve(measured - explained, options.threshold)
    report("V-SHARP", 1.0)
    return local


def _around_origin(kernel: Array, shape: Sequence[int]) -> Array:
    """Kernel on a periodic grid with its centre at the first voxel."""
    grid = np.zeros(shape, np.float32)
    grid[tuple(slice(n) for n in kernel.shape)] = kernel
    return np.roll(grid, [-(n // 2) for n in kernel.shape], axis=(0, 1, 2))


def _depth_mm(mask: Array, voxel_size_mm: Sequence[float]) -> Array:
    """Radius of the largest sphere around each voxel that touches no voxel outside the mask, mm.

    Outside voxels begin half an edge before their centres. Beyond the volume all is outside.
    """
    from scipy.ndimage import distance_transform_edt

    distances = distance_transform_edt(np.pad(mask, 1), sampling=voxel_size_mm)
    return np.asarray(distances[1:-1, 1:-1, 1:-1] - max(voxel_size_mm) / 2, dtype=np.float32)


def _radii_mm(options: VSharpOptions, longest_edge_mm: float) -> list[float]:
    """From the largest to the smallest radius, both included."""
    smallest = max(options.minimum_radius_mm, longest_edge_mm)
    radii = np.arange(options.maximum_radius_mm, smallest, -options.step_mm)
    return [*(float(radius) for radius in radii), smallest]


def _check(total_field: Array, mask: Array, voxel_size_mm: Sequence[float], options: VSharpOptions) -> None:
    check_volume("total field", total_field, mask.shape)
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise InputError("mask", f"{mask.dtype} of shape {mask.shape}", "bool with three axes")
    if len(voxel_size_mm) != 3 or min(voxel_size_mm) <= 0:
        raise InputError("voxel size", f"{tuple(voxel_size_mm)} mm", "three positive lengths")
    if not 0 < options.minimum_radius_mm <= options.maximum_radius_mm or options.step_mm <= 0:
        got = f"{options.minimum_radius_mm:g} to {options.maximum_radius_mm:g} mm by {options.step_mm:g} mm"
        raise InputError("V-SHARP radii", got, "0 < minimum ≤ maximum and a positive step")
    if not 0 <= options.threshold < 1:
        raise InputError("V-SHARP threshold", options.threshold, "0 ≤ threshold < 1")
    if options.refinements < 0:
        raise InputError("V-SHARP refinements", options.refinements, "0 or more")
