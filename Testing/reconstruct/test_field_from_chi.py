"""The field of spheres and Gaussian balls, whose formulas are exact, and of a body summed up dipole by dipole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import Vector

_AXIAL: Vector = (0.0, 0.0, 1.0)
_OBLIQUE: Vector = (0.36, -0.48, 0.8)

Real = NDArray[np.float64]


def _positions_mm(shape: Shape, voxel_size_mm: Vector) -> Real:
    axes = [(np.arange(n) - n // 2) * size for n, size in zip(shape, voxel_size_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_sphere_on_and_across_the_field() -> None:
    # χ = 1 ppm and radius 8 in 64³: V (3 cos² − 1) / (4π r³) at 16 voxels is 1/12 along B0 and −1/24 across it.
    distance = np.linalg.norm(_positions_mm((64, 64, 64), (1.0, 1.0, 1.0)), axis=-1)
    chi = (distance <= 8).astype(np.float32)
    volume = chi.sum() / (4 / 3 * np.pi * 8**3)
    field = field_from_chi(chi, (1.0, 1.0, 1.0), _AXIAL, padding=1.0)
    assert field[32, 32, 48] == pytest.approx(volume / 12, rel=0.014)
    assert field[48, 32, 32] == pytest.approx(-volume / 24, rel=0.014)
    assert field[32, 48, 32] == pytest.approx(-volume / 24, rel=0.014)
    assert abs(field[distance < 5].mean()) < 1e-6


def _gaussian_field(positions: Real, sigma_mm: float, b0: Vector) -> Real:
    """Field of ``χ = exp(−r²/2σ²)``: ``(cos² − 1/3) r d/dr(φ′/r)`` of its potential ``φ = m erf(r/√2σ)/(4π r)``."""
    from scipy.special import erf

    r = np.maximum(np.linalg.norm(positions, axis=-1), 1e-3 * sigma_mm)
    u = r / (np.sqrt(2) * sigma_mm)
    moment = (2 * np.pi) ** 1.5 * sigma_mm**3
    enclosed = erf(u) - 2 * u / np.sqrt(np.pi) * np.exp(-u * u) * (1 + 2 * u * u / 3)
    cosine = positions @ np.array(b0) / r
    field: Real = moment * (3 * cosine**2 - 1) / (4 * np.pi * r**3) * enclosed
    field[np.linalg.norm(positions, axis=-1) == 0] = 0.0
    return field


@pytest.mark.parametrize(
    ("shape", "voxel_size_mm", "b0", "padding", "largest_error"),
    [
        ((64, 64, 64), (1.0, 1.0, 1.0), _AXIAL, 2.0, 0.00042),
        ((64, 64, 64), (1.0, 1.0, 1.0), _OBLIQUE, 2.0, 0.00043),
        ((45, 37, 29), (1.0, 1.2, 1.7), _OBLIQUE, 2.0, 0.0011),
        ((48, 40, 30), (1.0, 1.2, 1.7), _OBLIQUE, 2.0, 0.00085),
        ((48, 40, 30), (1.0, 1.2, 1.7), _OBLIQUE, 0.5, 0.019),
    ],
)
def test_gaussian_ball(shape: Shape, voxel_size_mm: Vector, b0: Vector, padding: float, largest_error: float) -> None:
    positions = _positions_mm(shape, voxel_size_mm)
    sigma_mm = 4.0
    chi = np.exp(-np.square(positions).sum(axis=-1) / (2 * sigma_mm**2))
    expected = _gaussian_field(positions, sigma_mm, b0)
    error = field_from_chi(chi, voxel_size_mm, b0, padding) - expected
    assert np.linalg.norm(error) / np.linalg.norm(expected) < largest_error


def test_body_without_symmetry_against_the_sum_of_its_dipoles() -> None:
    # Made of points at a third of the voxel size and summed in real space: shares nothing with the operator.
    shape, voxel_size_mm, finer = (21, 18, 15), (1.0, 1.2, 1.5), 3
    fine_mm = np.array(voxel_size_mm) / finer
    fine = np.stack(np.meshgrid(*(np.arange(n * finer) for n in shape), indexing="ij"), -1) * fine_mm
    chi_fine = sum(
        weight * np.exp(-np.square((fine - centre) / width).sum(axis=-1))
        for weight, centre, width in (
            (1.0, (9.0, 9.0, 10.0), (2.0, 2.5, 2.5)),
            (-0.6, (11.0, 12.0, 12.0), (2.5, 2.0, 2.2)),
        )
    )
    chi = chi_fine.reshape(21, finer, 18, finer, 15, finer).mean(axis=(1, 3, 5))
    field = field_from_chi(chi.astype(np.float32), voxel_size_mm, _OBLIQUE, padding=2.0)
    corner = np.zeros(shape, dtype=bool)
    corner[::5, ::17, ::14] = True
    centres = (np.argwhere(corner) + (finer - 1) / (2 * finer)) * voxel_size_mm
    strong = np.abs(chi_fine) > 1e-4
    sources, moments = fine[strong], chi_fine[strong] * np.prod(fine_mm)
    expected = []
    for point in centres:
        offset = point - sources
        r = np.linalg.norm(offset, axis=1)
        expected.append(np.sum(moments * (3 * (offset @ np.array(_OBLIQUE) / r) ** 2 - 1) / (4 * np.pi * r**3)))
    assert len(expected) == 20
    assert np.linalg.norm(field[corner] - expected) / np.linalg.norm(expected) < 0.0105


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        field_from_chi(np.full((4, 4, 4), np.nan), (1.0, 1.0, 1.0), _AXIAL)
    with pytest.raises(InputError, match="voxel size"):
        field_from_chi(np.zeros((4, 4, 4)), (1.0, 0.0, 1.0), _AXIAL)
    with pytest.raises(InputError, match="padding"):
        field_from_chi(np.zeros((4, 4, 4)), (1.0, 1.0, 1.0), _AXIAL, padding=-0.1)
