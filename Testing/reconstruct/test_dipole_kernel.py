"""The kernel against its formula, written point by point, and its symmetries on even grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.physics.dipole import Vector, dipole_kernel

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (0.8, 1.1, 2.0)


def _formula(m: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """Mean over the aliases of an index: −N/2 and N/2 are the same sample of an even axis."""
    aliases = [(-n // 2, n // 2) if abs(a) * 2 == n else (a,) for a, n in zip(m, shape, strict=True)]
    values = []
    for one in itertools.product(*aliases):
        k = [a / (n * size) for a, n, size in zip(one, shape, _VOXEL_MM, strict=True)]
        along = sum(a * b for a, b in zip(k, _OBLIQUE, strict=True))
        values.append(1 / 3 - along**2 / sum(a * a for a in k))
    return sum(values) / len(values)


@pytest.mark.parametrize("shape", [(7, 5, 9), (6, 8, 4), (6, 5, 8)])
def test_kernel_is_the_formula_at_every_sample(shape: tuple[int, int, int]) -> None:
    kernel = dipole_kernel(shape, _VOXEL_MM, _OBLIQUE, half=False)
    assert kernel.dtype == np.float32
    assert kernel[0, 0, 0] == 0.0
    for index in itertools.product(*(range(n) for n in shape)):
        if any(index):
            signed = tuple(a if a <= (n - 1) // 2 else a - n for a, n in zip(index, shape, strict=True))
            assert kernel[index] == pytest.approx(_formula(signed, shape), abs=1e-7)


@pytest.mark.parametrize("shape", [(7, 5, 9), (6, 8, 4)])
def test_half_layout_is_the_first_half_of_the_full_one(shape: tuple[int, int, int]) -> None:
    full = dipole_kernel(shape, _VOXEL_MM, _OBLIQUE, half=False)
    half = dipole_kernel(shape, _VOXEL_MM, _OBLIQUE)
    np.testing.assert_array_equal(half, full[:, :, : shape[2] // 2 + 1])


def test_a_real_source_makes_a_real_field_on_even_grids_with_oblique_b0() -> None:
    shape = (8, 6, 10)
    chi = np.random.default_rng(1).standard_normal(shape)
    full = dipole_kernel(shape, _VOXEL_MM, _OBLIQUE, half=False)
    field = np.fft.ifftn(full * np.fft.fftn(chi))
    assert np.abs(field.imag).max() < 1e-15
    half = np.fft.irfftn(dipole_kernel(shape, _VOXEL_MM, _OBLIQUE) * np.fft.rfftn(chi), s=shape, axes=(0, 1, 2))
    np.testing.assert_allclose(half, field.real, atol=1e-14)


def test_range_and_indifference_to_the_sign_of_b0() -> None:
    kernel = dipole_kernel((16, 16, 16), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
    assert kernel.min() == pytest.approx(-2 / 3, abs=1e-7)
    assert kernel.max() == pytest.approx(1 / 3, abs=1e-7)
    opposite: Vector = (-0.36, 0.48, -0.8)
    np.testing.assert_array_equal(
        dipole_kernel((6, 7, 8), _VOXEL_MM, _OBLIQUE), dipole_kernel((6, 7, 8), _VOXEL_MM, opposite)
    )


@pytest.mark.parametrize(
    ("voxel_size_mm", "b0_direction_ijk", "quantity"),
    [
        ((1.0, 0.0, 1.0), (0.0, 0.0, 1.0), "voxel size"),
        ((1.0, float("nan"), 1.0), (0.0, 0.0, 1.0), "voxel size"),
        ((1.0, 1.0, 1.0), (0.0, 1.0, 1.0), "B0 direction"),
        ((1.0, 1.0, 1.0), (0.0, 0.0, float("nan")), "B0 direction"),
    ],
)
def test_impossible_geometry_is_refused(voxel_size_mm: Vector, b0_direction_ijk: Vector, quantity: str) -> None:
    with pytest.raises(InputError, match=quantity):
        dipole_kernel((4, 4, 4), voxel_size_mm, b0_direction_ijk)
