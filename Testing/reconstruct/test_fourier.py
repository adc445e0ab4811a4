"""Padded transforms: what they crop and scale; filters of volumes and of regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ChiSepReconstructLib.physics.fourier import PaddedFourier, Shape, blend
from ChiSepReconstructLib.physics.operators import DipoleOperator, difference_power
from ChiSepReconstructLib.physics.region import Box, Region
from inversion_cases import OBLIQUE as _OBLIQUE
from inversion_cases import VOXEL_MM as _VOXEL_MM

_SHAPES: list[Shape] = [(9, 8, 7), (8, 7, 6)]


def noise(shape: Shape, seed: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("padding", [0.0, 0.5])
def test_transforms_are_those_of_numpy(shape: Shape, padding: float) -> None:
    fourier, (first, second) = PaddedFourier(shape, padding, "cpu"), (noise(shape, seed).numpy() for seed in (1, 2))
    padded = np.zeros(fourier.padded_shape)
    padded[: shape[0], : shape[1], : shape[2]] = second
    fourier.spectrum(torch.from_numpy(first))  # leaves nothing behind
    found = fourier.spectrum(torch.from_numpy(second))
    assert tuple(found.shape) == fourier.spectrum_shape
    np.testing.assert_allclose(found, np.fft.rfftn(padded), atol=2e-5)
    spectrum = np.fft.rfftn(np.random.default_rng(3).standard_normal(fourier.padded_shape))
    expected = np.fft.irfftn(spectrum, s=fourier.padded_shape, axes=(0, 1, 2))
    back = fourier.volume(torch.from_numpy(spectrum.astype(np.complex64)))
    np.testing.assert_allclose(back, expected[: shape[0], : shape[1], : shape[2]], atol=2e-6)
    assert back.is_contiguous()


@pytest.mark.parametrize("shape", _SHAPES)
def test_the_mean_of_a_response_is_its_point_spread_peak(shape: Shape) -> None:
    fourier = PaddedFourier(shape, 0.0, "cpu")
    response = difference_power(fourier, _VOXEL_MM)
    point = np.fft.irfftn(response.numpy().astype(complex), s=shape, axes=(0, 1, 2))
    assert fourier.mean(response) == pytest.approx(point[0, 0, 0], rel=1e-6)
    # Minus the Laplacian of a point, straight from the differences.
    assert point[0, 0, 0] == pytest.approx(sum(2 / size**2 for size in _VOXEL_MM), rel=1e-6)
    assert point[0, 1, 0] == pytest.approx(-1 / _VOXEL_MM[1] ** 2, rel=1e-5)


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("padding", [0.0, 0.5])
def test_a_filter_is_the_product_in_the_whole_of_k_space(shape: Shape, padding: float) -> None:
    dipole, volume = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=padding), noise(shape)
    padded = np.zeros(dipole.fourier.padded_shape)
    padded[: shape[0], : shape[1], : shape[2]] = volume
    expected = np.fft.irfftn(np.fft.rfftn(padded) * dipole.kernel.numpy(), s=padded.shape, axes=(0, 1, 2))
    found = dipole.fourier.filtered(volume, dipole.kernel)
    np.testing.assert_allclose(found, expected[: shape[0], : shape[1], : shape[2]], atol=1e-6)
    assert dipole.fourier.filtered(volume, dipole.kernel, out=volume) is volume
    torch.testing.assert_close(volume, found)


@pytest.mark.parametrize("shape", [*_SHAPES, (70, 44, 65)])
def test_blending_is_its_equation(shape: Shape) -> None:
    generator = torch.Generator().manual_seed(3)
    spectrum, one, other = (torch.randn(shape, dtype=torch.complex64, generator=generator) for _ in range(3))
    share, weight, kernel = (torch.randn(shape, generator=generator) for _ in range(3))
    expected = share.numpy() * one.numpy() + weight.numpy() * (kernel.numpy() * spectrum.numpy() + other.numpy())
    blend(spectrum, share, one, weight, kernel, other)
    np.testing.assert_allclose(spectrum, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", _SHAPES)
def test_filters_between_the_vectors_of_a_region_and_within_its_lines(shape: Shape) -> None:
    dipole, region = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=0.5), Region(noise(shape, 4) > 1.2)
    inside, values = region.volume(torch.ones(region.shape)).clone(), region.values(noise(shape))
    whole, expected = dipole(noise(shape)), dipole(noise(shape) * inside)
    for _ in range(2):  # what was transformed before leaves nothing behind
        torch.testing.assert_close(dipole(values, region=region), region.values(expected))
        lines = dipole.fourier.spectrum(noise(shape), Box(shape, region.spans))
        torch.testing.assert_close(dipole.fourier.volume(lines, dipole.kernel), expected)
        torch.testing.assert_close(dipole(noise(shape)), whole)
