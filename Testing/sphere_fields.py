"""Analytic fields of Gaussian balls, and of spheres in and around an ellipsoidal mask."""

from __future__ import annotations

import numpy as np

from ChiSepPreprocessLib.artifacts import Array

FIELD_OF_VIEW_MM = (91.0, 105.0, 87.0)
SEMI_AXES_MM = np.asarray([40.0, 47.0, 38.0])
VOXELS_MM = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (1.5, 1.0, 3.0)]
COARSE_MM = [(2.0, 2.0, 2.0), (2.0, 2.0, 4.0), (3.0, 2.0, 4.0)]
DIRECTIONS = [(0.0, 0.0, 1.0), (0.36, -0.48, 0.8)]
Vector = tuple[float, float, float]


def coordinates_mm(voxel_mm: Vector) -> list[Array]:
    counts = [int(length / size) for length, size in zip(FIELD_OF_VIEW_MM, voxel_mm, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(counts, voxel_mm, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def gaussian_field(offset_mm: Array, sigma_mm: float, b0: Vector = (0.0, 0.0, 1.0)) -> Array:
    """Exact field of a Gaussian ball of 1 ppm at offsets (..., 3) from its centre."""
    from scipy.special import erf

    r = np.maximum(np.linalg.norm(offset_mm, axis=-1), 1e-3 * sigma_mm)
    u = r / (np.sqrt(2) * sigma_mm)
    enclosed = erf(u) - 2 * u / np.sqrt(np.pi) * np.exp(-u * u) * (1 + 2 * u * u / 3)
    moment = (2 * np.pi) ** 1.5 * sigma_mm**3
    return np.asarray(moment * (3 * (offset_mm @ np.array(b0) / r) ** 2 - 1) / (4 * np.pi * r**3) * enclosed)


def sphere_field(voxel_mm: Vector, centre_mm: Vector, radius_mm: float, chi_ppm: float, b0: Vector) -> Array:
    """χ/3 (a/r)³ (3 cos²θ − 1) outside the sphere, 0 inside (Lorentz-corrected)."""
    offsets = [x - c for x, c in zip(coordinates_mm(voxel_mm), centre_mm, strict=True)]
    square = offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2
    along = offsets[0] * b0[0] + offsets[1] * b0[1] + offsets[2] * b0[2]
    outside = np.maximum(square, radius_mm**2)
    field = chi_ppm / 3 * radius_mm**3 / outside**1.5 * (3 * along**2 / outside - 1)
    return np.where(square > radius_mm**2, field, 0.0)


def ellipsoid(voxel_mm: Vector) -> Array:
    x, y, z = (x / a for x, a in zip(coordinates_mm(voxel_mm), SEMI_AXES_MM, strict=True))
    return np.asarray(x**2 + y**2 + z**2 < 1)


def background(voxel_mm: Vector, b0: Vector) -> Array:
    """Field of air-like spheres around the mask."""
    sinuses = [((0.0, 58.0, -25.0), 14.0), ((47.0, -10.0, -28.0), 12.0), ((0.0, -20.0, -75.0), 32.0)]
    fields = [sphere_field(voxel_mm, centre, radius, 9.4, b0) for centre, radius in sinuses]
    return np.sum(fields, axis=0)


#: Small spheres well inside the mask: centre and radius in mm, χ in ppm.
SPHERES = (((-12.0, 5.0, 4.0), 5.0, 0.1), ((12.0, 5.0, 4.0), 4.0, 0.12), ((2.0, -22.0, 8.0), 3.0, -0.1),
           ((-8.0, 20.0, -9.0), 3.5, 0.08), ((15.0, -14.0, -10.0), 4.5, -0.06))  # fmt: skip


def sources(voxel_mm: Vector, b0: Vector) -> Array:
    """Field of the small spheres."""
    fields = [sphere_field(voxel_mm, centre, radius, chi, b0) for centre, radius, chi in SPHERES]
    return np.sum(fields, axis=0)


def source_susceptibility(voxel_mm: Vector) -> Array:
    """χ of the small spheres; a voxel belongs to one if its centre does."""
    total = np.zeros(ellipsoid(voxel_mm).shape)
    for centre, radius, chi in SPHERES:
        offsets = [x - c for x, c in zip(coordinates_mm(voxel_mm), centre, strict=True)]
        total += chi * (offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2 <= radius**2)
    return total


def norm_ratio(one: Array, other: Array, mask: Array) -> float:
    return float(np.linalg.norm(one[mask]) / np.linalg.norm(other[mask]))
