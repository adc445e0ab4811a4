"""Noise and systematic error of the field, predicted and measured."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, FieldFit, Weighting, combine_echoes
from ChiSepPreprocessLib.fieldmap.field import FieldMethod, FieldOptions, measure_field
from ChiSepPreprocessLib.fieldmap.reliability import estimate_noise_sigma, field_sigma_hz
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.methods import UnwrapOptions

TIMES = np.asarray([0.0077 + 0.00503 * echo for echo in range(6)])
VOXELS_MM = (1.0, 1.2, 2.0)
SHAPE = (45, 38, 23)
SIGMA = 1.5


def noisy_echoes(offset_rad: Array, n_echoes: int = 6) -> tuple[Array, Array, Array]:
    """Magnitude, phase and mask of a head without field, whose phase has an offset and noise."""
    rng = np.random.default_rng(3)
    x = np.linspace(0.4, 1.0, SHAPE[0])[:, None, None, None]
    times = TIMES[:n_echoes]
    clean = 100 * x * np.exp(-20 * times) * np.exp(1j * offset_rad[..., None])
    noisy = clean + SIGMA * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    mask = np.ones(SHAPE, np.bool_)
    mask[:, :3] = False
    magnitude, phase = np.abs(noisy).astype(np.float32), np.angle(noisy).astype(np.float32)
    return magnitude, phase, mask


def measured(offset_rad: Array, n_echoes: int = 6, weighting: Weighting = "magnitude") -> tuple[Array, FieldFit, Array]:
    """Magnitude, weighted average and mask."""
    magnitude, phase, mask = noisy_echoes(offset_rad, n_echoes)
    options = CombineOptions(weighting=weighting)
    return magnitude, combine_echoes(phase, magnitude, tuple(TIMES[:n_echoes]), mask, options), mask


def complex_fitted(magnitude: Array, phase: Array, mask: Array) -> FieldFit:
    options, times = FieldOptions(method="complex-fit"), tuple(TIMES[: phase.shape[-1]])
    return measure_field(phase, magnitude, times, mask, VOXELS_MM, options, UnwrapOptions(), Reporter())[0]


@pytest.mark.parametrize("n_echoes", [2, 3, 6])
def test_the_noise_is_found_beside_systematic_misfit(n_echoes: int) -> None:
    offset = np.zeros(SHAPE)
    _, fit, mask = measured(offset, n_echoes)
    assert estimate_noise_sigma(fit, mask) == pytest.approx(SIGMA, rel=0.02)
    offset[:3] = 0.6
    _, fit, mask = measured(offset, n_echoes)
    # 7 % of the voxels have an offset.
    assert estimate_noise_sigma(fit, mask) == pytest.approx(SIGMA, rel=0.10)


@pytest.mark.parametrize("weighting", ["magnitude", "wu2012"])
def test_the_noise_of_the_average_is_predicted(weighting: Weighting) -> None:
    _, fit, mask = measured(np.zeros(SHAPE), weighting=weighting)
    assert np.std(fit.field_hz[mask] / (SIGMA * fit.noise_gain[mask])) == pytest.approx(1.0, abs=0.02)
    assert not fit.noise_gain[~mask].any()
    sigma = field_sigma_hz(fit, mask, SIGMA, VOXELS_MM)
    # Pooled noise is sometimes above its mean.
    assert np.std(fit.field_hz[mask] / sigma[mask]) == pytest.approx(0.905, abs=0.015)
    assert not sigma[~mask].any()


@pytest.mark.parametrize("n_echoes", [3, 6])
def test_noise_and_error_of_the_complex_fit_are_predicted(n_echoes: int) -> None:
    fit = complex_fitted(*noisy_echoes(np.full(SHAPE, 0.4), n_echoes))
    mask = fit.noise_gain > 0
    noise = estimate_noise_sigma(fit, mask)
    assert noise == pytest.approx(SIGMA, rel=0.02)
    sigma = field_sigma_hz(fit, mask, noise, VOXELS_MM)
    assert np.std(fit.field_hz[mask] / sigma[mask]) == pytest.approx(0.993, abs=0.015)


def test_without_a_degree_of_freedom_the_error_is_relative() -> None:
    magnitude, phase, mask = noisy_echoes(np.full(SHAPE, 0.4), 2)
    magnitude[0, 10, 10] = 0
    fit = complex_fitted(magnitude, phase, mask)
    assert estimate_noise_sigma(fit, mask) == 0
    sigma = field_sigma_hz(fit, mask, 0.0, VOXELS_MM)
    assert np.isfinite(sigma).all() and sigma[mask].min() > 0 and not sigma[~mask].any()
    assert np.median(sigma[mask]) == pytest.approx(1.0, abs=1e-3)
    assert sigma[0, 10, 10] > 1e3
    seen = mask & (magnitude[..., 0] > 0)
    ratio = fit.field_hz[seen] / sigma[seen]
    halves = ratio[: ratio.size // 2].std(), ratio[ratio.size // 2 :].std()
    # The field's own deviation differs by 1.6 between the halves.
    assert halves[0] / halves[1] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("scale", [1e-7, 1e8])
@pytest.mark.parametrize("method", ["weighted-average", "complex-fit"])
def test_the_unit_of_the_magnitude_does_not_matter(method: FieldMethod, scale: float) -> None:
    magnitude, phase, mask = noisy_echoes(np.full(SHAPE, 0.1))
    phase[:20] += np.float32(0.3)
    magnitude[30, 20:22, 11] = 0
    options, results = FieldOptions(method=method), []
    for unit in (1.0, scale):
        scaled = magnitude * np.float32(unit)
        fit, _ = measure_field(phase, scaled, tuple(TIMES), mask, VOXELS_MM, options, UnwrapOptions(), Reporter())
        noise = estimate_noise_sigma(fit, mask)
        results.append((fit.field_hz, fit.residual_rad, field_sigma_hz(fit, mask, noise, VOXELS_MM), noise / unit))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


def test_an_offset_that_was_left_is_told_by_the_misfit() -> None:
    x = np.arange(SHAPE[0])[:, None, None]
    offset = np.broadcast_to(0.5 / (1 + np.exp(-(x - 25) / 3.0)), SHAPE)
    magnitude, fit, mask = measured(offset)
    sigma = field_sigma_hz(fit, mask, SIGMA, VOXELS_MM)
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


def test_a_single_echo_tells_nothing_of_noise() -> None:
    _, fit, mask = measured(np.zeros(SHAPE), 1)
    assert estimate_noise_sigma(fit, mask) == 0
    np.testing.assert_allclose(field_sigma_hz(fit, mask, SIGMA, VOXELS_MM), SIGMA * fit.noise_gain, rtol=1e-6)
    with pytest.raises(InputError, match="empty mask"):
        estimate_noise_sigma(fit, np.zeros_like(mask))
