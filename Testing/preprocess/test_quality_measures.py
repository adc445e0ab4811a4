"""Numbers of quality control against exact counts and known noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.quality.measures import jump_fraction, noise_from_phase, phase_residuals

_TIMES_S = (0.0077, 0.01273, 0.01776, 0.02279, 0.02782, 0.03285)
_SIZE_MM = (1.5, 1.2, 2.0)
_SIGMA = 0.02

Volume = NDArray[np.float64]


def _scan(extra_rad: Volume, noise: float = _SIGMA) -> tuple[Volume, Volume, Volume, NDArray[np.bool_]]:
    """Wrapped phase and magnitude of a steep field with a smooth offset, the field in Hz and an odd-shaped mask."""
    random = np.random.default_rng(5)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (31, 28, 25)), indexing="ij")
    field_hz = 60 * x + 40 * y * z
    times = np.asarray(_TIMES_S)
    amplitude = np.exp(-20.0 * times) * np.ones((*x.shape, 1))
    phase = 2 * np.pi * field_hz[..., None] * times + (0.7 + 0.05 * y)[..., None] + extra_rad
    noisy = amplitude * np.exp(1j * phase)
    noisy += noise * (random.standard_normal(phase.shape) + 1j * random.standard_normal(phase.shape))
    return np.angle(noisy), np.abs(noisy), field_hz, x**2 + y**2 + z**2 < 0.9


def test_residual_is_the_noise_of_each_echo() -> None:
    phase, magnitude, field_hz, mask = _scan(np.zeros(6))
    found = phase_residuals(phase, magnitude, _TIMES_S, field_hz, mask, _SIZE_MM)
    expected = _SIGMA / np.exp(-20.0 * np.asarray(_TIMES_S))
    assert found.shape == (int(mask.sum()), 6)
    spread = np.median(np.abs(found), axis=0) / 0.6745
    np.testing.assert_allclose(spread, expected, rtol=0.06)


def test_alternating_readout_shows_in_every_echo() -> None:
    phase, magnitude, field_hz, mask = _scan(np.array([0.0, 0.6, 0.0, 0.6, 0.0, 0.6]))
    median = np.median(phase_residuals(phase, magnitude, _TIMES_S, field_hz, mask, _SIZE_MM), axis=0)
    share = np.exp(-20.0 * np.asarray(_TIMES_S))[1::2].sum() / np.exp(-20.0 * np.asarray(_TIMES_S)).sum()
    np.testing.assert_allclose(median[1::2], 0.6 * (1 - share), atol=0.02)
    np.testing.assert_allclose(median[::2], -0.6 * share, atol=0.02)


def test_wrong_echo_times_leave_a_large_residual() -> None:
    phase, magnitude, field_hz, mask = _scan(np.zeros(6))
    swapped = (*_TIMES_S[:4], 0.035, 0.04)
    median = np.median(np.abs(phase_residuals(phase, magnitude, swapped, field_hz, mask, _SIZE_MM)), axis=0)
    assert median.max() > 0.3


def test_whole_turns_per_spacing_in_the_field_do_not_matter() -> None:
    phase, magnitude, field_hz, mask = _scan(np.zeros(6))
    plain = phase_residuals(phase, magnitude, _TIMES_S, field_hz, mask, _SIZE_MM)
    turned = phase_residuals(phase, magnitude, _TIMES_S, field_hz + 1 / 0.00503, mask, _SIZE_MM)
    np.testing.assert_allclose(turned, plain, atol=2e-4)


@pytest.mark.parametrize(("step", "expected"), [(1.0, 54 / 1344), (0.49, 0.0), (-0.51, 54 / 1344)])
def test_jumps_are_counted_along_the_border_of_a_wrong_turn(step: float, expected: float) -> None:
    """A block of 3³ in 8³ voxels has 54 faces; there are 3 · 7 · 8² pairs."""
    field = np.zeros((10, 10, 10))
    field[4:7, 4:7, 4:7] = step / 0.005
    mask = np.zeros(field.shape, np.bool_)
    mask[1:9, 1:9, 1:9] = True
    assert jump_fraction(field, mask, 0.005) == pytest.approx(expected)


def test_single_voxel_has_no_neighbours() -> None:
    mask = np.zeros((3, 3, 3), np.bool_)
    mask[1, 1, 1] = True
    assert jump_fraction(np.zeros(mask.shape), mask, 0.005) is None


@pytest.mark.parametrize("channels", [1, 32])
def test_noise_from_phase_of_combined_channels_is_that_of_one(channels: int) -> None:
    """Root of the sum of squares: of 32 channels it has 5.7 times the noise in air, but in the brain as much as one."""
    random = np.random.default_rng(3)
    times, sigma, voxels = np.asarray(_TIMES_S), 12.0, 8_000
    gains = random.uniform(0.5, 1.5, (channels, 1, 1)) * np.exp(1j * random.uniform(-3.0, 3.0, (channels, 1, 1)))
    gains /= np.sqrt(np.sum(np.abs(gains) ** 2))
    noise = sigma * random.standard_normal((2, channels, voxels, 6))
    received = gains * 800.0 * np.exp(-25.0 * times) + noise[0] + 1j * noise[1]
    magnitude = np.sqrt(np.sum(np.abs(received) ** 2, axis=0))
    phase = np.angle(np.sum(gains.conj() * received, axis=0))
    weights = times * magnitude**2
    radians_per_s = (weights * phase).sum(axis=1) / (weights @ times)
    residual = phase - radians_per_s[:, None] * times + random.normal(0.0, 0.3, (voxels, 1))
    assert noise_from_phase(residual, magnitude, _TIMES_S) == pytest.approx(sigma, rel=0.03)


def test_noise_of_two_echoes_cannot_be_told_from_the_offset() -> None:
    assert noise_from_phase(np.zeros((5, 2)), np.ones((5, 2)), (0.01, 0.02)) is None
