"""The dipole kernel against its formula, written point by point, and its symmetries on even grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import InputError

Shape = tuple[int, int, int]
OBLIQUE = (0.36, -0.48, 0.8)
VOXEL_MM = (0.8, 1.1, 2.0)
SHAPES: list[Shape] = [(7, 5, 9), (6, 8, 4), (6, 5, 8), (9, 6, 7)]


def one_sample(m: tuple[int, ...], shape: Shape) -> float:
    """Mean over the aliases of an index: −N/2 and N/2 are the same sample of an even axis."""
    aliases = [(-n // 2, n // 2) if abs(a) * 2 == n else (a,) for a, n in zip(m, shape, strict=True)]
    values = []
    for one in itertools.product(*aliases):
        k = [a / (n * size) for a, n, size in zip(one, shape, VOXEL_MM, strict=True)]
        along = sum(a * b for a, b in zip(k, OBLIQUE, strict=True))
        values.append(1 / 3 - along**2 / sum(a * a for a in k) if any(k) else 0.0)
    return sum(values) / len(values)


def whole_spectrum(shape: Shape) -> Array:
    """The formula at each sample, in the layout of ``fftn``."""
    signed = [[a if a <= (n - 1) // 2 else a - n for a in range(n)] for n in shape]
    return np.reshape([one_sample(m, shape) for m in itertools.product(*signed)], shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_is_the_formula_at_every_sample(shape: Shape) -> None:
    kernel = dipole_kernel(shape, VOXEL_MM, OBLIQUE)
    assert kernel.dtype == np.float32
    assert kernel[0, 0, 0] == 0.0
    np.testing.assert_allclose(kernel, whole_spectrum(shape)[..., : shape[2] // 2 + 1], atol=1.5e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_real_source_makes_a_real_field_with_oblique_b0(shape: Shape) -> None:
    whole = whole_spectrum(shape)
    np.testing.assert_allclose(whole, np.roll(whole[::-1, ::-1, ::-1], 1, axis=(0, 1, 2)), atol=1e-12)
    chi = np.random.default_rng(1).standard_normal(shape)
    field = np.fft.ifftn(whole * np.fft.fftn(chi))
    assert np.abs(field.imag).max() < 1e-15
    half = np.fft.irfftn(dipole_kernel(shape, VOXEL_MM, OBLIQUE) * np.fft.rfftn(chi), s=shape, axes=(0, 1, 2))
    np.testing.assert_allclose(half, field.real, atol=2e-7)


def test_range_and_indifference_to_the_sign_of_b0() -> None:
    kernel = dipole_kernel((16, 16, 16), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
    assert kernel.min() == pytest.approx(-2 / 3, abs=1e-7)
    assert kernel.max() == pytest.approx(1 / 3, abs=1e-7)
    np.testing.assert_array_equal(
        dipole_kernel((6, 7, 8), VOXEL_MM, OBLIQUE), dipole_kernel((6, 7, 8), VOXEL_MM, (-0.36, 0.48, -0.8))
    )


def test_the_direction_of_b0_may_be_an_array() -> None:
    kernel = dipole_kernel((6, 5, 4), VOXEL_MM, np.asarray(OBLIQUE))  # type: ignore[arg-type]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, dipole_kernel((6, 5, 4), VOXEL_MM, OBLIQUE))


@pytest.mark.parametrize(
    ("voxel_size_mm", "b0_direction_ijk", "quantity"),
    [
        ((1.0, 0.0, 1.0), (0.0, 0.0, 1.0), "voxel size"),
        ((1.0, float("nan"), 1.0), (0.0, 0.0, 1.0), "voxel size"),
        ((1.0, 1.0), (0.0, 0.0, 1.0), "voxel size"),
        ((1.0, 1.0, 1.0), (0.0, 1.0, 1.0), "B0 direction"),
        ((1.0, 1.0, 1.0), (0.0, 0.0, float("nan")), "B0 direction"),
        ((1.0, 1.0, 1.0), (0.0, 1.0), "B0 direction"),
    ],
)
def test_impossible_geometry_is_refused(
    voxel_size_mm: tuple[float, ...], b0_direction_ijk: tuple[float, ...], quantity: str
) -> None:
    with pytest.raises(InputError, match=quantity):
        dipole_kernel((4, 4, 4), voxel_size_mm, b0_direction_ijk)
