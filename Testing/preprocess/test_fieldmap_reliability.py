"""Noise and systematic error of the field, predicted and measured."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, FieldFit, combine_echoes
from ChiSepPreprocessLib.fieldmap.reliability import estimate_noise_sigma, field_sigma_hz, noise_sigma_hz
from ChiSepPreprocessLib.quantities import TWO_PI

TIMES = np.asarray([0.0077 + 0.00503 * echo for echo in range(6)])
VOXELS_MM = (1.0, 1.2, 2.0)
SHAPE = (45, 38, 23)
SIGMA = 1.5


def measured(offset_rad: Array, n_echoes: int = 6) -> tuple[Array, FieldFit, Array]:
    """Magnitude, fit and mask of a head without field, whose phase has an offset and noise."""
    rng = np.random.default_rng(3)
    x = np.linspace(0.4, 1.0, SHAPE[0])[:, None, None, None]
    times = TIMES[:n_echoes]
    clean = 100 * x * np.exp(-20 * times) * np.exp(1j * offset_rad[..., None])
    noisy = clean + SIGMA * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    mask = np.ones(SHAPE, np.bool_)
    mask[:, :3] = False
    magnitude, phase = np.abs(noisy).astype(np.float32), np.angle(noisy).astype(np.float32)
    return magnitude, combine_echoes(phase, magnitude, tuple(times), mask, CombineOptions()), mask


@pytest.mark.parametrize("n_echoes", [2, 3, 6])
def test_the_noise_is_found_beside_systematic_misfit(n_echoes: int) -> None:
    offset = np.zeros(SHAPE)
    _, fit, mask = measured(offset, n_echoes)
    assert estimate_noise_sigma(fit.misfit, mask, n_echoes) == pytest.approx(SIGMA, rel=0.02)
    offset[:3] = 0.6
    _, fit, mask = measured(offset, n_echoes)
    # 7 % of the voxels have an offset.
    assert estimate_noise_sigma(fit.misfit, mask, n_echoes) == pytest.approx(SIGMA, rel=0.10)


def test_noise_alone_is_predicted() -> None:
    magnitude, fit, mask = measured(np.zeros(SHAPE))
    sigma = noise_sigma_hz(magnitude, tuple(TIMES), mask, SIGMA)
    assert np.std(fit.field_hz[mask] / sigma[mask]) == pytest.approx(1.0, abs=0.02)
    assert not sigma[~mask].any()


def test_an_offset_that_was_left_is_told_by_the_misfit() -> None:
    x = np.arange(SHAPE[0])[:, None, None]
    offset = np.broadcast_to(0.5 / (1 + np.exp(-(x - 25) / 3.0)), SHAPE)
    magnitude, fit, mask = measured(offset)
    sigma = field_sigma_hz(magnitude, tuple(TIMES), mask, SIGMA, fit.misfit, VOXELS_MM)
    power = magnitude.astype(np.float64) ** 2
    bias = offset * (power @ TIMES) / (power @ TIMES**2) / TWO_PI
    # Where there is no offset, pooled noise is still sometimes above its mean.
    for part, ratio in ((slice(0, 12), 1.19), (slice(22, 28), 1.12), (slice(36, 45), 0.99)):
        inside = np.zeros(SHAPE, np.bool_)
        inside[part] = mask[part]
        error_hz = np.sqrt(np.mean(fit.field_hz[inside] ** 2))
        assert np.sqrt(np.mean(sigma[inside] ** 2)) / error_hz == pytest.approx(ratio, abs=0.04)
    large = mask & (bias > 2.0)
    assert np.median(sigma[large] / bias[large]) == pytest.approx(1.0, abs=0.03)


def test_a_single_echo_tells_of_noise_only_and_no_signal_of_nothing() -> None:
    magnitude, fit, mask = measured(np.zeros(SHAPE), 1)
    magnitude[0, 10, 10] = 0
    sigma = field_sigma_hz(magnitude, (0.0077,), mask, SIGMA, fit.misfit, VOXELS_MM)
    np.testing.assert_array_equal(sigma, noise_sigma_hz(magnitude, (0.0077,), mask, SIGMA))
    assert np.isinf(sigma[0, 10, 10])
    with pytest.raises(InputError, match="two echoes"):
        estimate_noise_sigma(fit.misfit, mask, 1)
