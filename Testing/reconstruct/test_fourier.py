"""Padded transforms: what they crop and scale; models whose unknown is a spectrum, and their adjoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ChiSepReconstructLib.physics.fourier import PaddedFourier, Shape, SpectralModel
from ChiSepReconstructLib.physics.operators import DipoleOperator, difference_power
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
def test_a_spectrum_has_the_power_and_the_volume_that_it_stands_for(shape: Shape) -> None:
    dipole = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=0.5)
    model, volume = SpectralModel(dipole.fourier, torch.ones_like(dipole.kernel)), noise(shape)
    values = model.adjoint(volume)
    assert float(values.abs().square().sum()) == pytest.approx(float(volume.square().sum()), rel=1e-5)
    torch.testing.assert_close(dipole.fourier.volume(model.spectrum(values)), volume, atol=1e-5, rtol=0)
    assert not model.image(model.zero()).any()


@pytest.mark.parametrize("shape", [(9, 8, 7), (8, 7, 6)])
@pytest.mark.parametrize(("padding", "sparse"), [(0.0, False), (0.5, False), (0.5, True)])
def test_spectra_and_images_belong_together(shape: Shape, padding: float, sparse: bool) -> None:
    dipole = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=padding)
    response = dipole.kernel * (dipole.kernel.abs() < 0.15) if sparse else dipole.kernel
    operator = SpectralModel(dipole.fourier, response, sparse=sparse)
    u = noise(shape)
    x = operator.adjoint(noise(shape, 6))
    assert x.numel() < 0.5 * response.numel() or not sparse
    forward = float((operator.image(x) * u).sum())
    backward = float(torch.view_as_real(x * operator.adjoint(u).conj())[..., 0].sum())
    assert forward == pytest.approx(backward, rel=1e-5)
    # Aᵀ and then A is the convolution with the response twice.
    torch.testing.assert_close(operator.image(operator.adjoint(u)), dipole.filtered(u, response**2), atol=1e-6, rtol=0)
