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

from ..artifacts import Array
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter
from .checks import check_field
from .fourier import Values
from .spheres import SphericalMeans, fitting_means

#: No sphere in a head is larger.
_LARGEST_RADIUS_MM = 100.0
#: Finer steps only cost time: spheres of the same voxels follow each other.
_SMALLEST_STEP_MM = 0.1
_MOST_REFINEMENTS = 50


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

    def __post_init__(self) -> None:
        sizes = 0 < self.minimum_radius_mm <= self.maximum_radius_mm <= _LARGEST_RADIUS_MM
        if not (sizes and _SMALLEST_STEP_MM <= self.step_mm < np.inf):
            got = f"{self.minimum_radius_mm:g} to {self.maximum_radius_mm:g} mm by {self.step_mm:g} mm"
            raise InputError("V-SHARP radii", got, f"0 < minimum ≤ maximum ≤ {_LARGEST_RADIUS_MM:g} mm "
                             f"and a step of {_SMALLEST_STEP_MM:g} mm or more")  # fmt: skip
        if not 0 <= self.threshold < 1:
            raise InputError("V-SHARP threshold", self.threshold, "0 ≤ threshold < 1")
        if not 0 <= self.refinements <= _MOST_REFINEMENTS:
            raise InputError("V-SHARP refinements", self.refinements, f"0 to {_MOST_REFINEMENTS}")


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
        If shapes differ or no voxel is left.
    """
    check_field(total_field, mask, voxel_size_mm)
    crop = bounding_box(mask)
    radii = _radii_mm(options, max(voxel_size_mm))
    means = fitting_means(mask[crop], radii, voxel_size_mm, margin_mm=radii[0])
    field = np.where(mask[crop], total_field[crop], 0).astype(np.float32)
    local, field_mask = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.bool_)
    local[crop] = means.transform.fetch(_local_field(means.transform.load(field), means, options, report))
    field_mask[crop] = means.reached()
    return local, field_mask


def _local_field(field: Values, means: SphericalMeans, options: VSharpOptions, report: Reporter) -> Values:
    """Deconvolve once, then feed back what the smaller spheres still leave."""
    rounds = options.refinements + 1
    measured = means.subtract(means.transform.forward(field), report.span(0, 1 / rounds))
    local = means.deconvolve(measured, options.threshold)
    for done in range(1, rounds):
        part = report.span(done / rounds, (done + 1) / rounds)
        explained = means.subtract(means.transform.forward(local), part)
        local += means.deconvolve(measured - explained, options.threshold)
    report("V-SHARP", 1.0)
    return local


def _radii_mm(options: VSharpOptions, longest_edge_mm: float) -> list[float]:
    """From the largest to the smallest radius, both included."""
    smallest = max(options.minimum_radius_mm, longest_edge_mm)
    radii = np.arange(options.maximum_radius_mm, smallest, -options.step_mm)
    return [*(float(radius) for radius in radii), smallest]
